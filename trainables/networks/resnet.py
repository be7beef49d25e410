"""A residual network of basic blocks (He et al. 2015, arXiv:1512.03385), for images from 8x8 pixels on."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import relu

from trainables.networks.normalization import BatchNorm2d

Stem = Literal["small", "large"]


class ResNet(nn.Module):
    """A stem, `stages` of basic blocks that halve the image in between, mean over places, linear head.

    The small stem is a 3x3 convolution, the large one a 7x7 convolution of stride 2 and a pooling.
    From images [N, in_channels, H, W] of any size to logits [N, num_classes]; see ResNetOptions.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        width: int = 16,
        stages: int = 3,
        blocks: int = 1,
        stem: Stem = "small",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.stem = _stem(in_channels, width, stem)
        widths = [width * 2**stage for stage in range(stages)]
        self.stages = nn.ModuleList(
            _stage(widths[max(stage - 1, 0)], widths[stage], blocks, stride=2 if stage else 1)
            for stage in range(stages)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        for stage in self.stages:
            features = stage(features)
        return self.head(self.dropout(features.mean(dim=(2, 3))))

    def layers(self) -> list[list[nn.Module]]:
        """The layers from input to head: the stem, each block, the head."""
        blocks = [block for stage in self.stages for block in stage.children()]
        return [[self.stem], *([block] for block in blocks), [self.head]]


class _BasicBlock(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride=stride, bias=False), BatchNorm2d(after)
            )

    def forward(self, features: Tensor) -> Tensor:
        changed = self.norm2(self.conv2(relu(self.norm1(self.conv1(features)))))
        return relu(changed + self.shortcut(features))


def _stem(in_channels: int, width: int, stem: Stem) -> nn.Sequential:
    large = stem == "large"
    size, stride = (7, 2) if large else (3, 1)
    convolution = nn.Conv2d(in_channels, width, size, stride=stride, padding=size // 2, bias=False)
    pooling = [nn.MaxPool2d(3, stride=2, padding=1)] if large else []
    return nn.Sequential(convolution, BatchNorm2d(width), nn.ReLU(inplace=True), *pooling)


def _stage(before: int, after: int, blocks: int, stride: int) -> nn.Sequential:
    first = _BasicBlock(before, after, stride)
    return nn.Sequential(first, *(_BasicBlock(after, after, 1) for _ in range(blocks - 1)))
