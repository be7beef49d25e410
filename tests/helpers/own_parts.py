"""What a person has in a file beside the configuration: networks, losses, metrics and others."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

NOT_CALLABLE = 3


class Net(nn.Module):
    """Two convolutions; `returns` is the form in which the logits come."""

    def __init__(
        self, in_channels: int, num_classes: int, width: int = 4, stride: int = 1, returns: str = "tensor"
    ) -> None:
        super().__init__()
        self.body = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1)
        self.head = nn.Conv2d(width, num_classes, 1)
        self.returns = returns

    def forward(self, images: Tensor) -> Any:
        logits = self.head(F.relu(self.body(images)))
        return {
            "tensor": logits,
            "out": {"out": logits, "aux": logits[:, :1]},
            "logits": SimpleNamespace(logits=logits, loss=None),
            "tuple": (logits, logits[:, :1]),
            "nothing": None,
            "words": {"pred": logits},
        }[self.returns]


class Raises(nn.Module):
    def __init__(self) -> None:
        raise RuntimeError("no weights on this machine")


class Exact(nn.Module):
    """One number for each feature."""

    def __init__(self, in_features: int, out_features: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, rows: Tensor) -> Tensor:
        return self.linear(rows)


MADE = nn.Conv2d(1, 11, 1)


def make_net(num_classes: int, **options: Any) -> nn.Module:
    return Net(1, num_classes, **options)


def no_net(size: int) -> int:
    return size


def mean_of_images(logits: Tensor, masks: Tensor, factor: float = 1.0) -> Tensor:
    """A mean over images, which knows nothing of pixels that do not count."""
    return factor * F.cross_entropy(logits, masks, reduction="none").flatten(1).mean(1).mean()


def ignoring(logits: Tensor, masks: Tensor, ignore_index: int) -> Tensor:
    return F.cross_entropy(logits, masks, ignore_index=ignore_index)


def of_each_sample(logits: Tensor, masks: Tensor) -> Tensor:
    return F.cross_entropy(logits, masks, reduction="none")


def right_share(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(1) == labels).float().mean()


def largest_error(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs - targets).abs().max())


def halving(step: int, total_steps: int, factor: float = 0.5) -> float:
    return factor ** (step / total_steps)


def without_places(**options: Any) -> float:
    return 1.0


class Slow(torch.optim.SGD):
    def __init__(self, params: Any, lr: float, weight_decay: float = 0.0, slowness: float = 2.0) -> None:
        super().__init__(params, lr=lr / slowness, weight_decay=weight_decay)


def quarter_turns(image: Any, mask: Any, rng: Any, most: int = 3) -> Any:
    turns = rng.integers(most + 1)
    return np.rot90(image, turns).copy(), np.rot90(mask, turns).copy()


def global_noise(image: Any, mask: Any, rng: Any) -> Any:
    """Draws from the global random numbers, as many people do."""
    noise = np.random.randint(0, 9, image.shape) + random.randint(0, 9) + int(torch.randint(9, ()))
    return (image // 2 + noise).astype(np.uint8), mask


def grey(image: Any, rng: Any) -> Any:
    return np.broadcast_to(image.mean(axis=2, keepdims=True).astype(np.uint8), image.shape).copy()


def as_float(image: Any, mask: Any, rng: Any) -> Any:
    return image / 255.0, mask


def image_only(image: Any, mask: Any, rng: Any) -> Any:
    return image


def half_image(image: Any, mask: Any, rng: Any) -> Any:
    return image[::2, ::2], mask


def some_size(image: Any, mask: Any, rng: Any) -> Any:
    side = int(rng.integers(4, 9))
    return image[:side, :side], mask[:side, :side]


def fails(image: Any, mask: Any, rng: Any) -> Any:
    raise RuntimeError("no pixels today")


class Streets:
    """Noise in which the class of a pixel is its sign; `item` is what a sample is."""

    def __init__(self, split: str, number: int = 24, channels: int = 3, item: str = "right") -> None:
        self.split, self.number, self.channels, self.item = split, number, channels, item

    def __len__(self) -> int:
        return self.number if self.split == "train" else self.number // 4

    def __getitem__(self, index: int) -> Any:
        made = np.random.default_rng([self.split == "train", index])
        image = made.normal(size=(self.channels, 8, 8)).astype(np.float32)
        mask = (image[0] > 0).astype(np.int64)
        if self.split == "train" and torch.rand(()) < 0.5:  # augmentation with global random numbers
            image, mask = image[..., ::-1].copy(), mask[..., ::-1].copy()
        return {
            "right": (torch.from_numpy(image), torch.from_numpy(mask)),
            "bytes": ((image * 20 + 128).astype(np.uint8), mask),
            "float_mask": (image, mask.astype(np.float32)),
            "mapping": {"image": image, "mask": mask},
            "class": (image, int(mask.mean() > 0.5)),
            "sizes": (image[:, : 4 + index % 3], mask[: 4 + index % 3]),
            "three": (image, mask + 1),
            "negative": (image, mask - 1),
            "channels_last": (image.transpose(1, 2, 0), mask),
            "mask_channel": (image, mask[None]),
            "nan": (image * np.nan, mask),
            "picture": (Image.fromarray(np.zeros((8, 8), np.uint8)), mask),
        }[self.item]


class Unsized:
    def __init__(self, split: str) -> None:
        pass


class Lengths(torch.utils.data.Dataset):
    """[1, 4, 4] images whose brightness tells a length in millimetres, about 300 with a deviation of 50."""

    def __init__(self, split: str, item: str = "length") -> None:
        self._brightness = torch.randn(1200 if split == "train" else 60, generator=_generator(split))
        self._item = item

    def __len__(self) -> int:
        return len(self._brightness)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        length = 300.0 + 50.0 * self._brightness[index]
        target = {
            "length": length,
            "number": float(length),
            "two": torch.stack([length, length]),
            "flag": torch.tensor(True),
            "infinite": torch.tensor(float("inf")),
            "constant": 300.0,
        }[self._item]
        return torch.full((1, 4, 4), float(self._brightness[index])), target


def _generator(split: str) -> torch.Generator:
    return torch.Generator().manual_seed(0 if split == "train" else 1)


class Flattened(nn.Module):
    """A line through all pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(16, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.line(images.flatten(1))


class Generator(nn.Module):
    """Digits of 8x8 from 6 numbers; `size` is that of the images."""

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.line, self.size = nn.Linear(6, size * size), size

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.line(latents)).view(-1, 1, self.size, self.size)


class Discriminator(nn.Module):
    """`flat` drops the dimension of the logit."""

    def __init__(self, flat: bool = False) -> None:
        super().__init__()
        self.line, self.flat = nn.Linear(64, 1), flat

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.line(images.flatten(1))
        return logits[:, 0] if self.flat else logits
