"""All samples of a folder decoded once, in threads: what they hold, and their pixels where they fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from trainables.segmentation.decode import count_pixels, num_threads, read_pair
from trainables.segmentation.layout import SHOWN, Pair
from trainables.segmentation.statistics import pixel_sums

NUM_TOLD = 3
"""Skipped samples of which the line about them says what is wrong."""

Result = TypeVar("Result")
Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """N samples; one that is skipped has the shape (0, 0), no sums and no labels."""

    shapes: np.ndarray
    """int64 [N, 2]"""
    starts: np.ndarray
    """First pixel of each sample in the flat buffers, and the end of the last: int64 [N + 1]."""
    images: np.ndarray | None
    """uint8 [starts[-1] * channels]; None where they stay on disk."""
    masks: np.ndarray | None
    """uint8 [starts[-1]]"""
    sums: np.ndarray
    """`pixel_sums` of each image: float64 [N, 3, channels]."""
    pixels: Sequence[Mapping[int, int]]
    """Number of pixels of each label in a mask."""


def decode_pairs(
    pairs: Sequence[Pair],
    *,
    channels: int,
    lookup: np.ndarray,
    num_classes: int,
    max_memory: int,
    max_skipped: int,
    progress: Progress,
) -> Decoded:
    """Decode every pair, and keep the pixels if all fit into `max_memory` bytes.

    Raises:
        ValueError: listing what is wrong with the samples, if there are more than `max_skipped`.
    """
    run = _Runner(len(pairs), progress)
    areas = run(lambda number: count_pixels(pairs[number].image), "sizes")
    buffers = _Buffers(areas, channels, max_memory)

    def decode(number: int) -> tuple[tuple[int, ...], np.ndarray, dict[int, int]]:
        pair = pairs[number]
        image, labels = read_pair(pair.image, pair.mask, channels, lookup, num_classes)
        if labels.size != areas[number]:
            raise ValueError(f"{pair.image}: changed while it was read")
        buffers.keep(number, image, labels)
        return labels.shape, pixel_sums(image), _label_pixels(labels)

    nothing = (0, 0), np.zeros((3, channels)), dict[int, int]()
    contents = [found or nothing for found in run(decode, "images and masks")]
    _refuse_or_tell(list(run.problems.values()), len(pairs), max_skipped, progress)
    return Decoded(
        shapes=np.array([shape for shape, _, _ in contents], np.int64),
        starts=buffers.starts,
        images=buffers.images,
        masks=buffers.masks,
        sums=np.array([sums for _, sums, _ in contents]),
        pixels=[pixels for _, _, pixels in contents],
    )


class _Buffers:
    """Room for the pixels of all samples, if they fit into `max_memory` bytes."""

    def __init__(self, areas: Sequence[int | None], channels: int, max_memory: int) -> None:
        self._channels = channels
        self.starts = np.concatenate([[0], np.cumsum([area or 0 for area in areas])]).astype(np.int64)
        area = int(self.starts[-1])
        fits = area * (channels + 1) <= max_memory
        self.images = np.empty(area * channels, np.uint8) if fits else None
        self.masks = np.empty(area, np.uint8) if fits else None

    def keep(self, number: int, image: np.ndarray, labels: np.ndarray) -> None:
        start, stop = self.starts[number], self.starts[number + 1]
        if self.images is not None and self.masks is not None:
            self.images[start * self._channels : stop * self._channels] = image.ravel()
            self.masks[start:stop] = labels.ravel()


def _label_pixels(labels: np.ndarray) -> dict[int, int]:
    pixels = np.bincount(labels.ravel())
    return {int(label): int(pixels[label]) for label in pixels.nonzero()[0]}


class _Runner:
    """Calls functions for numbered items in threads, tells how far it is, and keeps their ValueErrors."""

    def __init__(self, num_items: int, progress: Progress) -> None:
        self._num_items, self._progress = num_items, progress
        self.problems: dict[int, str] = {}

    def __call__(self, function: Callable[[int], Result], what: str) -> list[Result | None]:
        """Results in order; None for an item that is wrong, or was before."""

        def guarded(number: int) -> Result | ValueError | None:
            try:
                return None if number in self.problems else function(number)
            except ValueError as error:
                return error

        results: list[Result | None] = []
        told = time.monotonic()
        with ThreadPoolExecutor(num_threads()) as pool:
            for number, outcome in enumerate(pool.map(guarded, range(self._num_items))):
                if isinstance(outcome, ValueError):
                    self.problems[number] = str(outcome)
                    outcome = None
                results.append(outcome)
                if time.monotonic() - told > 2.0:
                    told = time.monotonic()
                    self._progress(f"{what}: {number + 1} of {self._num_items}")
        return results


def _refuse_or_tell(problems: Sequence[str], total: int, max_skipped: int, progress: Progress) -> None:
    if len(problems) > max_skipped:
        if len(problems) == 1:
            raise ValueError(problems[0])
        limit = f", and data.max_skipped is {max_skipped}" if max_skipped else ""
        more = f"\n… and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise ValueError(
            f"{len(problems)} of {total} samples are wrong{limit}:\n" + "\n".join(problems[:SHOWN]) + more
        )
    if problems:
        more = f"; and {len(problems) - NUM_TOLD} more" if len(problems) > NUM_TOLD else ""
        told = "; ".join(problems[:NUM_TOLD])
        progress(f"{len(problems)} of {total} samples are skipped: {told}{more}")
