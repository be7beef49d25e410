"""What an inspection of image files shares, whatever the images are for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainables.images.images import SampleError, opened
from trainables.inspect.inspection import Finding, Kind

UNREADABLE_FILE = Kind(name="unreadable file", severity="error", remedy="copy it again, or remove the sample")
EMPTY = Kind(name="empty file", severity="error", remedy="copy it again")
DOUBLED = Kind(
    name="in training and validation",
    severity="error",
    remedy="remove one of the two: validation would flatter what was learnt by heart",
)
OTHER_MODE = Kind(
    name="converted image", severity="warning", remedy="set data.channels, or save all images alike"
)
LEVELS = np.arange(256, dtype=np.float64)


@dataclass(frozen=True)
class SeenImage:
    """An image file that was read, or what is wrong with it."""

    pixels: np.ndarray | None
    """uint8 [H, W, C]"""
    mode: str | None
    """As Pillow names it: L is grey, RGBA has transparency."""
    findings: Sequence[Finding]

    def contents(self) -> dict[str, Any]:
        """The fields of `Contents` that an image has."""
        if self.pixels is None:
            return {}
        height, width = self.pixels.shape[:2]
        return {"digests": [_digest(self.pixels)], "size": (width, height), "sums": _sums(self.pixels)}


def see_image(files: Sequence[Path], read: Callable[[], np.ndarray]) -> SeenImage:
    """Read an image that lies in these files; of several the mode tells nothing."""
    empty = [file for file in files if is_empty(file)]
    if empty:
        return SeenImage(None, None, [Finding(EMPTY, str(file), "") for file in empty])
    try:
        mode = None
        if len(files) == 1:
            with opened(files[0]) as header:
                mode = header.mode
        return SeenImage(read(), mode, [])
    except SampleError as error:
        return SeenImage(None, None, [unreadable(files[0], error)])


def unreadable(file: Path, error: SampleError) -> Finding:
    return Finding(UNREADABLE_FILE, str(file), str(error).removeprefix(f"{file}: "))


def other_modes(files: Sequence[Path], modes: Sequence[str | None], channels: int) -> list[Finding]:
    """Images that are converted: one finding if all of them are of one such mode."""
    expected = ("RGB",) if channels == 3 else ("L", "1")
    others = [n for n, mode in enumerate(modes) if mode is not None and mode not in expected]
    found = {mode for mode in modes if mode is not None}
    if len(found) == 1 and len(others) > 1:
        told = f"all {len(others)} images are {found.pop()}, read as {expected[0]}"
        return [Finding(OTHER_MODE, str(files[others[0]].parent), told)]
    return [Finding(OTHER_MODE, str(files[n]), f"{modes[n]}, read as {expected[0]}") for n in others]


def num_bytes(file: Path) -> int:
    """Size; 0 where there is no such file."""
    try:
        return file.stat().st_size
    except OSError:
        return 0


def is_empty(file: Path) -> bool:
    return file.is_file() and not num_bytes(file)


def label_counts(labels: np.ndarray) -> dict[int, int]:
    """How often each value is in uint8 [H, W]."""
    # Pillow counts without the copy to int64 that np.bincount needs.
    counts = Image.fromarray(labels).histogram()
    return {label: count for label, count in enumerate(counts) if count}


def _digest(pixels: np.ndarray) -> bytes:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def _sums(pixels: np.ndarray) -> np.ndarray:
    """Number, sum and sum of squares by channel, 1 being the value 255: float64 [3, C]."""
    planes = [pixels] if pixels.shape[-1] == 3 else [pixels[..., c] for c in range(pixels.shape[-1])]
    histograms = [Image.fromarray(np.ascontiguousarray(plane)).histogram() for plane in planes]
    counts = np.array(histograms, np.float64).reshape(-1, 256)
    return np.stack([counts.sum(1), counts @ LEVELS / 255.0, counts @ LEVELS**2 / 255.0**2])
