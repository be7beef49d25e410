"""Raw images of a program as the pixels that a network was trained on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainables.images.decode import read_channels, resized, size_text
from trainables.images.depth import MOST_OUTSIDE
from trainables.predicting.inference import ImageInputs


def as_pixels(given: Any, inputs: ImageInputs) -> tuple[np.ndarray, bool]:
    """Images uint8 [N, H, W, C], and whether one was given alone.

    Args:
        given: a path, or an image of Pillow, which is read as files are (turned by its EXIF, palettes as
            their colours); a list of these; or raw pixels [H, W, C] or [N, H, W, C], of one channel also
            [H, W], which are taken as they are. One channel is repeated where the network takes three.

    Raises:
        ValueError: shape, size or type are others than those of images of the training, or a file cannot be
            read.
    """
    if isinstance(given, _PICTURES):
        return _read(given, inputs)[None], True
    if isinstance(given, list | tuple) and any(isinstance(each, _PICTURES) for each in given):
        return _of_one_size([_read(each, inputs) for each in given]), False
    if isinstance(given, list | tuple) and given and all(isinstance(each, np.ndarray) for each in given):
        given = _of_one_size(given)
    array = np.asarray(given)
    rule = f"must be [H, W, {inputs.channels}] or [N, H, W, {inputs.channels}]"
    if array.ndim == 2 and inputs.channels in (1, 3):
        array = array[..., None]
    if array.ndim not in (3, 4) or not array.size:
        raise ValueError(f"received an array {list(array.shape)}; images {rule}, of 1 or more pixels")
    held = array.shape[-1]
    if held != inputs.channels and (held, inputs.channels) != (1, 3):
        raise ValueError(
            f"received images {list(array.shape)} of {held} channels; they {rule}{_hint(inputs)}"
        )
    images = _eight_bits(array if array.ndim == 4 else array[None], inputs)
    images = images if held == inputs.channels else images.repeat(3, axis=-1)
    return np.stack([fitted(image, inputs) for image in images]), array.ndim == 3


_PICTURES = (str, os.PathLike, Image.Image)
"""What is read as a file."""


def _read(given: Any, inputs: ImageInputs) -> np.ndarray:
    if isinstance(given, Image.Image) and inputs.channels in (1, 3):
        return fitted(inputs.reading.of_picture(given), inputs)
    if isinstance(given, Image.Image):
        raise ValueError(
            f"received an image of Pillow, and the model takes {inputs.channels} channels: give an array "
            f"[H, W, {inputs.channels}], or the path of a file that holds them"
        )
    if not isinstance(given, str | os.PathLike):
        raise ValueError(f"received {type(given).__name__} among images; each must be a path or an image")
    return fitted(np.asarray(read_channels([Path(given)], inputs.reading)), inputs)


def _of_one_size(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images [N, ...]; raises ValueError if they differ, of which no array can be."""
    for image in images:
        if image.shape != images[0].shape:
            raise ValueError(
                f"received images {list(images[0].shape)} and {list(image.shape)}, and several at once must "
                "be of one size: predict them one by one"
            )
    return np.stack(images)


def fitted(pixels: np.ndarray, inputs: ImageInputs) -> np.ndarray:
    """The image [H, W, C] in the size that the network takes.

    Raises:
        ValueError: it has another, and the training did not resize.
    """
    if inputs.resize is not None:
        return resized(pixels, inputs.resize)
    if inputs.size is not None and pixels.shape[:2] != tuple(inputs.size):
        height, width = inputs.size
        raise ValueError(
            f"is {size_text(pixels)}, and the training images were {width}x{height}: resize it, or train "
            "with data.resize, by which images of any size are then predicted"
        )
    return pixels


def _hint(inputs: ImageInputs) -> str:
    if inputs.channels not in (1, 3):
        return ""
    several = ", and several greys are [N, H, W, 1]" if inputs.channels == 1 else ""
    return f"{several}; a path, or Image.open(file), is converted as the files of the training"


def _eight_bits(array: np.ndarray, inputs: ImageInputs) -> np.ndarray:
    scale = inputs.value_range
    if array.dtype == np.uint8 and (scale is None or not scale.of_all):
        return array
    if scale is None:
        raise ValueError(
            f"received images of {array.dtype}; they must be uint8 from 0 to 255, as those of the training, "
            "and neither scaled nor normalized before"
        )
    if array.dtype.kind not in "uif":
        raise ValueError(f"received images of {array.dtype}; they must be numbers from {scale}")
    if not np.isfinite(array).all():
        raise ValueError("received images with values that are NaN or infinite: replace them, as by 0")
    if (outside := scale.outside(array)) > MOST_OUTSIDE:
        warnings.warn(
            f"{outside:.0%} of the values are outside of {scale}, the range of the training, and clipped: "
            "are they in the units of its images?",
            stacklevel=5,  # where predict() is called
        )
    return scale.scaled(array)
