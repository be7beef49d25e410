"""Networks that graphs can and cannot be made of, and a task that calls its network as it likes."""

from __future__ import annotations

from typing import Any

import torch
from tiny_tasks import DigitsTask
from torch import Tensor, nn
from torch.nn import functional as F


class Fours(nn.Module):
    """Takes sides that are multiples of four alone."""

    def __init__(self, in_channels: int = 1, num_classes: int = 11) -> None:
        super().__init__()
        self.down = nn.Conv2d(in_channels, 8, 4, stride=4)
        self.head = nn.Conv2d(8, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[2] % 4 or images.shape[3] % 4:
            raise ValueError("sides must be multiples of 4")
        return F.interpolate(self.head(self.down(images)), scale_factor=4)


class OneSize(nn.Module):
    """Has a weight for each pixel of an image of 16."""

    def __init__(self, in_channels: int = 1, num_classes: int = 11) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(1, in_channels, 16, 16))
        self.head = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images + self.place)


class Counting(nn.Module):
    """Knows how often it was called."""

    def __init__(self, in_channels: int = 1, num_classes: int = 11) -> None:
        super().__init__()
        self.head, self.calls = nn.Conv2d(in_channels, num_classes, 1), 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.head(images) * (1 + self.calls % 3)


class Deciding(nn.Module):
    """Does one thing or another, as the values are."""

    def __init__(self, in_channels: int = 1, num_classes: int = 11) -> None:
        super().__init__()
        self.head = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images) if float(images.mean()) > 0 else -self.head(images)


class Bessel(nn.Module):
    """Computes what ONNX does not have."""

    def __init__(self, in_channels: int = 1, num_classes: int = 11) -> None:
        super().__init__()
        self.head = nn.Conv2d(in_channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.special.bessel_j0(images))


class Two(nn.Module):
    """Two inputs, the second one by its name, and a mapping of two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.upper, self.lower = nn.Linear(32, 10), nn.Linear(32, 10)

    def forward(self, upper: Tensor, *, lower: Tensor, gain: float = 1.0) -> dict[str, Tensor]:
        return {"logits": gain * self.upper(upper) + self.lower(lower), "upper": self.upper(upper)}


class TwoInputsTask(DigitsTask):
    """The halves of a digit as two inputs."""

    def build_model(self) -> nn.Module:
        return Two()

    def forward(self, model: nn.Module, batch: Any) -> Tensor:
        rows = batch[0]
        return model(rows[:, :32], lower=rows[:, 32:], gain=2.0)["logits"]


class PartsTask(TwoInputsTask):
    """Calls the parts of its network one by one."""

    def forward(self, model: Any, batch: Any) -> Tensor:
        return model.upper(batch[0][:, :32]) + model.lower(batch[0][:, 32:])
