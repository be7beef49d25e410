"""A small convolutional network for images."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.networks.normalization import BatchNorm2d


class CNN(nn.Module):
    """Levels of two 3x3 convolutions each, halved in between; the mean over all places; a linear head.

    From images [N, in_channels, H, W] of any size to logits [N, num_classes]; see CNNOptions.
    """

    def __init__(
        self, *, in_channels: int, num_classes: int, width: int = 16, depth: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        widths = [in_channels, *(width * 2**level for level in range(depth + 1))]
        self.levels = nn.ModuleList(_level(before, after) for before, after in itertools.pairwise(widths))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = images
        for number, level in enumerate(self.levels):
            # Rounding up leaves at least one pixel, however small the image.
            features = level(F.max_pool2d(features, 2, ceil_mode=True) if number else features)
        return self.head(self.dropout(features.mean(dim=(2, 3))))

    def layers(self) -> list[list[nn.Module]]:
        """The layers from input to head: each level, the head."""
        return [*([level] for level in self.levels), [self.head]]


def _level(before: int, after: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for channels in (before, after):
        parts.append(nn.Conv2d(channels, after, 3, padding=1, bias=False))
        parts += [BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)
