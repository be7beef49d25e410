"""Samples decoded before a search, in threads: all of them, with their pixels where they fit, or a few."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from trainables.images.images import num_threads
from trainables.images.layouts.find import SHOWN
from trainables.images.readers import PairReader
from trainables.images.statistics import pixel_sums

NUM_TOLD = 3
"""Skipped samples of which the line about them says what is wrong."""

Result = TypeVar("Result")
Progress = Callable[[str], None]

Scan = Literal["auto", "all", "sample"]
"""What is decoded: all; a sample of each part; or a sample if all would neither fit nor be few."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """N samples; one that is skipped has the shape (0, 0), no sums and no labels."""

    parts: Mapping[str, slice]
    """Where each part's samples are."""
    shapes: np.ndarray
    """int64 [N, 2]"""
    starts: np.ndarray
    """First pixel of each sample in the flat buffers, and the end of the last: int64 [N + 1]."""
    complete: bool
    """Whether all samples were decoded, and not only some of them."""
    images: np.ndarray | None
    """uint8 [starts[-1] * channels]; None where they are read when needed."""
    masks: np.ndarray | None
    """uint8 [starts[-1]]"""
    sums: np.ndarray
    """`pixel_sums` of each image, 0 of one that was not decoded: float64 [N, 3, channels]."""
    pixels: Sequence[Mapping[int, int]]
    """Number of pixels of each label in a mask; none of one that was not decoded."""
    problems: Mapping[int, str]
    """What is wrong with each sample that is skipped, by its number."""


def decode_pairs(
    readers: Mapping[str, PairReader],
    *,
    channels: int,
    max_memory: int,
    max_skipped: int,
    scan: Scan,
    sample_size: int,
    classes_known: bool,
    progress: Progress,
) -> Decoded:
    """Decode pairs, and keep the pixels if all are decoded and fit into `max_memory` bytes.

    Sizes are those in the headers of the masks, which are read in any case.

    Args:
        readers: of each part.
        sample_size: samples of each part that are decoded where not all are, drawn with a fixed seed.
        classes_known: whether the classes need not be learnt from the masks.

    Raises:
        ValueError: listing what is wrong with the samples, if there are more than `max_skipped`, or a sample
            is asked for though the classes are not known.
    """
    parts, located = _located(readers)
    run = _Runner(len(located), progress)
    found = run(lambda number: located[number][0].shape(located[number][1]), "sizes")
    shapes = np.array([shape or (0, 0) for shape in found], np.int64).reshape(-1, 2)
    areas = shapes.prod(axis=1)
    needed = int(areas.sum()) * (channels + 1)
    wanted = _choose(parts, needed, max_memory, scan, sample_size, classes_known, progress)
    complete = len(wanted) == len(located)
    buffers = _Buffers(areas, channels, complete and needed <= max_memory)

    def decode(number: int) -> tuple[np.ndarray, dict[int, int]]:
        reader, of_part = located[number]
        image, labels = reader.read(of_part)
        if labels.shape != tuple(shapes[number]):
            raise ValueError(f"{reader.name(of_part)}: changed while it was read")
        buffers.keep(number, image, labels)
        return pixel_sums(image), _label_pixels(labels)

    nothing = np.zeros((3, channels)), dict[int, int]()
    contents = [nothing] * len(located)
    for number, content in zip(wanted, run(decode, "images and masks", wanted), strict=True):
        contents[number] = content or nothing
    _refuse_or_tell(list(run.problems.values()), len(located), max_skipped, progress)
    shapes[list(run.problems)] = 0
    return Decoded(
        parts=parts,
        shapes=shapes,
        starts=buffers.starts,
        complete=complete,
        images=buffers.images,
        masks=buffers.masks,
        sums=np.array([sums for sums, _ in contents]),
        pixels=[pixels for _, pixels in contents],
        problems=run.problems,
    )


def to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _located(
    readers: Mapping[str, PairReader],
) -> tuple[dict[str, slice], list[tuple[PairReader, int]]]:
    """Where each part's samples are when all parts stand one after another, and each one's reader."""
    parts: dict[str, slice] = {}
    located: list[tuple[PairReader, int]] = []
    for part, reader in readers.items():
        parts[part] = slice(len(located), len(located) + len(reader))
        located += [(reader, number) for number in range(len(reader))]
    return parts, located


def _choose(
    parts: Mapping[str, slice],
    needed: int,
    max_memory: int,
    scan: Scan,
    sample_size: int,
    classes_known: bool,
    progress: Progress,
) -> Sequence[int]:
    """The numbers of the samples to decode, ascending."""
    total = sum(chosen.stop - chosen.start for chosen in parts.values())
    few = total <= len(parts) * sample_size
    if scan == "all" or (scan == "auto" and (few or needed <= max_memory)):
        return range(total)
    size = f"{total} samples need {needed / 2**30:.1f} GB decoded"
    if not classes_known:
        advice = "set data.num_classes or data.class_names"
        if scan == "sample":
            raise ValueError(f"data.scan is sample, so the classes cannot be taken from all masks: {advice}")
        progress(f"{size}, and all are decoded once to find their classes; {advice} to begin at once")
        return range(total)
    rng = np.random.default_rng(0)
    wanted: list[int] = []
    for chosen in parts.values():
        length = chosen.stop - chosen.start
        drawn = rng.choice(length, min(sample_size, length), replace=False)
        wanted += sorted(int(number) + chosen.start for number in drawn)
    progress(
        f"{size}: statistics are those of {len(wanted)} of them, and wrong files are found when they are "
        "needed (data.scan)"
    )
    return wanted


class _Buffers:
    """Room for the pixels of all samples, if they are kept."""

    def __init__(self, areas: np.ndarray, channels: int, fits: bool) -> None:
        self._channels = channels
        self.starts = np.concatenate([[0], np.cumsum(areas)]).astype(np.int64)
        area = int(self.starts[-1])
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

    def __call__(
        self, function: Callable[[int], Result], what: str, numbers: Sequence[int] | None = None
    ) -> list[Result | None]:
        """Results for these items, or all, in order; None for an item that is wrong, or was before."""
        wanted = range(self._num_items) if numbers is None else numbers

        def guarded(number: int) -> Result | ValueError | None:
            try:
                return None if number in self.problems else function(number)
            except ValueError as error:
                return error

        results: list[Result | None] = []
        told = time.monotonic()
        with ThreadPoolExecutor(num_threads()) as pool:
            for done, (number, outcome) in enumerate(zip(wanted, pool.map(guarded, wanted), strict=True)):
                if isinstance(outcome, ValueError):
                    self.problems[number] = str(outcome)
                    outcome = None
                results.append(outcome)
                if time.monotonic() - told > 2.0:
                    told = time.monotonic()
                    self._progress(f"{what}: {done + 1} of {len(wanted)}")
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
