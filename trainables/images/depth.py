"""Images of more than 8 bits, and the range of values that becomes 0 to 255."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image

MOST_OUTSIDE = 0.01
"""Share of an image's values that may be clipped without a word."""
_told = set[str]()
"""Ranges of which this process has told that they clip an image."""


@dataclass(frozen=True)
class ValueRange:
    """Values of images that become 0 and 255; those beyond are clipped, those between are rounded.

    Args:
        of_all: whether it holds for images of 8 bits too, and not for deeper ones alone.
    """

    low: float | tuple[float, ...]
    """One for all channels, or one for each; `high` alike."""
    high: float | tuple[float, ...]
    of_all: bool = False

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """uint8, in the shape of `values`."""
        # Clipped first, so that what is far outside cannot overflow.
        if isinstance(self.low, float | int) and isinstance(self.high, float | int):
            clipped = np.clip(values.astype(np.float32), self.low, self.high)
            return np.rint((clipped - self.low) * (255.0 / (self.high - self.low))).astype(np.uint8)
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        clipped = np.clip(values.astype(np.float32), low, high)
        return np.rint((clipped - low) * (255.0 / (high - low))).astype(np.uint8)

    def outside(self, values: np.ndarray) -> float:
        """Share of the values that are clipped."""
        return float(((values < np.asarray(self.low)) | (values > np.asarray(self.high))).mean())

    def tell_outside(self, file: str, values: np.ndarray, *, can_be_set: bool = True) -> None:
        """Print the first image of a process of which more than `MOST_OUTSIDE` is clipped.

        Args:
            can_be_set: whether the range can still be set, and is not that of a trained model.
        """
        of_each = isinstance(self.low, tuple)
        sides = tuple(range(values.ndim - of_each))
        low, high = (bounds.astype(float) for bounds in (values.min(axis=sides), values.max(axis=sides)))
        low, high = np.minimum(low, self.low), np.maximum(high, self.high)
        if ((low == self.low) & (high == self.high)).all() or str(self) in _told:
            return
        outside = self.outside(values)
        if outside > MOST_OUTSIDE:
            _told.add(str(self))
            wider = ValueRange(*((tuple(low), tuple(high)) if of_each else (float(low), float(high))))
            of_what, way_out = (
                "which the images hold that were looked at",
                (f"; set data.range: {wider} or wider (`check --data` lists such images)"),
            )
            if not can_be_set:
                of_what, way_out = "the range of the training", ": are they in the units of its images?"
            message = (
                f"{file}: {outside:.0%} of its values are outside of {self}, {of_what}, and are clipped, "
                f"perhaps in other images too{way_out}"
            )
            print(message, file=sys.stderr, flush=True)

    def __str__(self) -> str:
        if isinstance(self.low, tuple) and isinstance(self.high, tuple):
            pairs = zip(self.low, self.high, strict=True)
            return "[" + ", ".join(f"[{low:g}, {high:g}]" for low, high in pairs) + "]"
        return f"[{self.low:g}, {self.high:g}]"

    @classmethod
    def of_array(cls, bounds: np.ndarray | None) -> ValueRange | None:
        """From float64 [2], or [2, C] for each channel."""
        if bounds is None:
            return None
        low, high = (tuple(each) if isinstance(each, list) else each for each in bounds.tolist())
        return cls(low, high)


def is_deep(image: Image.Image) -> bool:
    """Whether the open image has more than 8 bits a channel in its file, though Pillow may show 8 of them."""
    return image.mode.startswith(("I", "F")) or raw_mode(image).endswith(";16B")


def depth_and_mode(image: Image.Image) -> str:
    """The mode of an open image, with its bits if it is deep: such as RGB, 16-bit L and 32-bit float."""
    if not is_deep(image):
        return image.mode
    bits = 16 if "16" in image.mode + raw_mode(image) else 12 if "12" in raw_mode(image) else 32
    return f"{bits}-bit " + {"I": "L", "F": "float"}.get(image.mode[0], image.mode)


def holds_upper_bytes(image: Image.Image) -> bool:
    """Whether Pillow has 8 of the 16 bits that the image has in its file; also where it is loaded already."""
    file = getattr(image, "filename", "")
    if not getattr(image, "tile", ()) and file and os.path.isfile(file):
        with Image.open(file) as fresh:
            return holds_upper_bytes(fresh)
    return is_deep(image) and not image.mode.startswith(("I", "F"))


def lacks_lower_bytes(image: Image.Image) -> bool:
    """Whether Pillow cannot read all of the 16 bits, as those of greys with transparency."""
    return is_deep(image) and image.mode != "F" and raw_mode(image).startswith("LA")


def show_lower_bytes(image: Image.Image) -> bool:
    """Make an open image of 16-bit colours, of which Pillow decodes the upper bytes, decode the lower ones.

    The raw mode of the reversed byte order takes the other byte of each pair.

    Returns:
        False for an image that is decoded with all its bits.
    """
    mode = raw_mode(image)
    if image.mode.startswith(("I", "F")) or not mode.endswith(";16B"):
        return False
    tiles = vars(image)["tile"]
    tiles[:] = [tile._replace(args=mode.removesuffix("B") + "L") for tile in tiles]
    return True


def raw_mode(image: Image.Image) -> str:
    """How the file holds pixels, as Pillow's decoders name it."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0].args if tiles else ""
    return arguments if isinstance(arguments, str) else str(arguments[0]) if arguments else ""
