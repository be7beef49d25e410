"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597), with padded convolutions and optional normalization."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Normalization = Literal["batch", "instance", "group", "none"]


class UNet(nn.Module):
    """An encoder of `depth` halvings and a decoder that joins each level's features on its way back.

    Args:
        in_channels: Channels of the image.
        num_classes: Channels of the logits.
        width: Channels of the first level; each level below has twice as many.
        depth: Number of halvings. 0 is a plain stack of convolutions.
        normalization: After each convolution; "group" takes 4 channels together where they divide.
        dropout: Share of channels dropped at the lowest level while training.

    The input is [N, in_channels, H, W] of any size, the output [N, num_classes, H, W]: sizes that the
    halvings do not divide are padded with zeros inside, and the output is cropped.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        width: int = 16,
        depth: int = 3,
        normalization: Normalization = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.multiple = 2**depth
        self.down = nn.ModuleList(
            _block(before, after, normalization)
            for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.shrink = nn.ModuleList(nn.Conv2d(below, level, 1) for level, below in itertools.pairwise(widths))
        self.up = nn.ModuleList(_block(2 * level, level, normalization) for level in widths[:-1])
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        up, multiple = self.multiple - 1, self.multiple
        features = fitted(images, (height + up) // multiple * multiple, (width + up) // multiple * multiple)
        skipped: list[Tensor] = []
        for level, block in enumerate(self.down):
            features = block(features if level == 0 else F.max_pool2d(features, 2))
            skipped.append(features)
        features = self.dropout(skipped.pop())
        for shrink, block in zip(reversed(self.shrink), reversed(self.up), strict=True):
            larger = F.interpolate(shrink(features), scale_factor=2, mode="nearest")
            features = block(torch.cat([skipped.pop(), larger], dim=1))
        return fitted(self.head(features), height, width)

    def layers(self) -> list[list[nn.Module]]:
        """The layers from input to head: each level of the encoder, the decoder, the head."""
        return [*([level] for level in self.down), [self.shrink, self.up], [self.head]]


def _block(before: int, after: int, normalization: Normalization) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers.append(nn.Conv2d(channels, after, 3, padding=1, bias=normalization == "none"))
        layers.extend(_normalization(after, normalization))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _normalization(channels: int, name: Normalization) -> list[nn.Module]:
    if name == "batch":
        return [nn.BatchNorm2d(channels)]
    groups = {"instance": channels, "group": channels // math.gcd(4, channels)}
    return [nn.GroupNorm(groups[name], channels)] if name in groups else []


def fitted(images: Tensor, height: int, width: int) -> Tensor:
    """Images [..., H, W] in this size: padded with zeros, or cropped, at the bottom and on the right."""
    bottom, right = height - images.shape[-2], width - images.shape[-1]
    # An exported graph is for all sizes: a condition on one would hold for the others too.
    if torch.compiler.is_exporting() or bottom or right:
        return F.pad(images, (0, right, 0, bottom))
    return images
