"""SegFormer (Xie et al. 2021, arXiv:2105.15203) as transformers has it, with logits of the image's size."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.networks.unet import fitted

MISSING = (
    "model segformer needs transformers, which is not installed: pip install 'tune-search[transformers]'"
)

LEAST_SIDE = 32
"""The first attention reduces the quarter-size features by 8."""

_B1_WIDTHS = (64, 128, 320, 512)
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"depths": (1, 1, 1, 1), "hidden_sizes": (16, 32, 64, 128), "decoder_hidden_size": 64},
    "b0": {"depths": (2, 2, 2, 2), "hidden_sizes": (32, 64, 160, 256), "decoder_hidden_size": 256},
    "b1": {"depths": (2, 2, 2, 2), "hidden_sizes": _B1_WIDTHS, "decoder_hidden_size": 256},
    "b2": {"depths": (3, 4, 6, 3), "hidden_sizes": _B1_WIDTHS, "decoder_hidden_size": 768},
    "b3": {"depths": (3, 4, 18, 3), "hidden_sizes": _B1_WIDTHS, "decoder_hidden_size": 768},
    "b4": {"depths": (3, 8, 27, 3), "hidden_sizes": _B1_WIDTHS, "decoder_hidden_size": 768},
    "b5": {"depths": (3, 6, 40, 3), "hidden_sizes": _B1_WIDTHS, "decoder_hidden_size": 768},
}
"""Sizes of table 6 of the paper; tiny is ours, for small images and tests."""


def transformers_found() -> bool:
    """Whether transformers is installed; does not import it."""
    try:
        return importlib.util.find_spec("transformers") is not None
    except (ImportError, ValueError):  # something of that name that is not a module
        return False


class Segformer(nn.Module):
    """Images [N, C, H, W] to logits [N, num_classes, H, W]: the network's quarter-size logits, resized.

    Images smaller than 32 pixels along a side, which the network cannot take, are padded with zeros inside.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        padded = fitted(images, *(torch.sym_max(side, LEAST_SIDE) for side in (height, width)))
        logits = self.network(pixel_values=padded).logits
        resized = F.interpolate(logits, size=padded.shape[-2:], mode="bilinear", align_corners=False)
        return fitted(resized, height, width)

    def layers(self) -> list[list[nn.Parameter]]:
        """The layers from input to head: the four stages, each with its patch embedding, the decode head."""
        stages: dict[int, list[nn.Parameter]] = {}
        # The modules that hold a stage differ between releases; its number comes first in all names.
        for name, parameter in self.network.segformer.named_parameters():  # type: ignore[union-attr]
            stages.setdefault(int(re.findall(r"\d+", name)[0]), []).append(parameter)
        head: nn.Module = self.network.decode_head  # type: ignore[assignment]
        return [*(stages[number] for number in sorted(stages)), list(head.parameters())]


def build_segformer(
    *,
    in_channels: int,
    num_classes: int,
    size: str = "b0",
    path: str | None = None,
    dropout: float = 0.1,
    drop_path: float = 0.1,
) -> Segformer:
    """A SegFormer with random weights of `size`, or with those of the local folder `path`.

    Nothing is downloaded, and only safetensors are read. A head for other classes is drawn afresh.

    Raises:
        ModuleNotFoundError: without transformers.
        ValueError: if `path` is no such folder, or was trained for another number of channels.
    """
    try:
        from transformers import SegformerConfig, SegformerForSemanticSegmentation
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error

    rates = {"classifier_dropout_prob": dropout, "drop_path_rate": drop_path}
    if path is None:
        config = SegformerConfig(num_channels=in_channels, num_labels=num_classes, **SIZES[size], **rates)
        return Segformer(SegformerForSemanticSegmentation(config))

    folder = Path(os.path.expanduser(path)).resolve()
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise ValueError(
                f"model.path is {path}; it must be a folder with config.json and model.safetensors"
            )
    config = SegformerConfig.from_pretrained(folder, local_files_only=True, num_labels=num_classes, **rates)
    if config.num_channels != in_channels:
        raise ValueError(
            f"model.path {path} is for images with {config.num_channels} channels, the data has "
            f"{in_channels}: set data.channels: {config.num_channels}"
        )
    network = SegformerForSemanticSegmentation.from_pretrained(
        folder, config=config, local_files_only=True, use_safetensors=True, ignore_mismatched_sizes=True
    )
    return Segformer(network)
