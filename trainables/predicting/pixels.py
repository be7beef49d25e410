"""Raw images of a program as the pixels that a network was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainables.images.decode import resized, size_text
from trainables.predicting.inference import ImageInputs


def as_pixels(given: Any, inputs: ImageInputs) -> tuple[np.ndarray, bool]:
    """Images uint8 [N, H, W, C], and whether one was given alone.

    Args:
        given: as `np.asarray(Image.open(file))`: [H, W, C] or [N, H, W, C], of one channel also [H, W]. One
            channel is repeated where the network takes three.

    Raises:
        ValueError: shape or type are others than those of images of the training.
    """
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
    modes = {1: "L", 3: "RGB"}
    if inputs.channels not in modes:
        return ""
    return f"; Image.open(file).convert({modes[inputs.channels]!r}) gives such an image"


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
    return scale.scaled(array)
