"""Samples decoded before a search, in threads: all of them, with their pixels where they fit, or a few."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from trainables.findings import some
from trainables.images.decode import num_threads
from trainables.images.options import ImageOptions
from trainables.images.readers import Reader
from trainables.images.statistics import pixel_sums, value_counts
from trainables.images.targets import Decoder, decode

NUM_TOLD = 3
"""Skipped samples of which the line about them says what is wrong."""

Result = TypeVar("Result")
Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """N samples; one that is skipped has the shape (0, 0), no sums and no classes."""

    parts: Mapping[str, slice]
    """Where each part's samples are."""
    shapes: np.ndarray
    """int64 [N, 2]"""
    complete: bool
    """Whether all samples were decoded, and not only some of them."""
    pixels: Pixels | None
    """None where samples are read when needed."""
    sums: np.ndarray
    """`pixel_sums` of each image, 0 of one that was not decoded: float64 [N, 3, channels]."""
    classes: Sequence[Mapping[int, int]]
    """How often each class is in a target; none of one that was not decoded."""
    problems: Mapping[int, str]
    """What is wrong with each sample that is skipped, by its number."""

    def class_counts(self, part: str) -> np.ndarray:
        """How often each class is in the targets of a part: int64 [largest class + 1, 256 at least]."""
        of_part = self.classes[self.parts[part]]
        together = np.zeros(1 + max([255, *(c for counts in of_part for c in counts)]), np.int64)
        for counts in of_part:
            for number, count in counts.items():
                together[number] += count
        return together


class Pixels:
    """The pixels of all images one after another, and their targets.

    Args:
        areas: pixels of each image: int64 [N].
    """

    def __init__(self, areas: np.ndarray, decoder: Decoder) -> None:
        self._channels, self._per_pixel = decoder.channels, decoder.per_pixel
        self.starts = np.concatenate([[0], np.cumsum(areas)]).astype(np.int64)
        """First pixel of each sample, and the end of the last."""
        area = int(self.starts[-1])
        self.images = np.empty(area * decoder.channels, np.uint8)
        length = area if decoder.per_pixel else len(areas)
        self.targets = np.full(length, decoder.nothing if not decoder.per_pixel else 0, decoder.nothing.dtype)

    def keep(self, number: int, image: np.ndarray, target: np.ndarray) -> None:
        start, stop = self.starts[number], self.starts[number + 1]
        self.images[start * self._channels : stop * self._channels] = image.ravel()
        if self._per_pixel:
            self.targets[start:stop] = target.ravel()
        else:
            self.targets[number] = target

    def as_arrays(self, part: str, chosen: slice, shapes: np.ndarray) -> dict[str, np.ndarray]:
        """Of the samples of a part: stacked where all have one size, else in flat arrays."""
        first, end = self.starts[chosen.start], self.starts[chosen.stop]
        images = self.images[first * self._channels : end * self._channels]
        targets = self.targets[first:end] if self._per_pixel else self.targets[chosen]
        if (shapes == shapes[0]).all():
            height, width = shapes[0]
            images = images.reshape(-1, height, width, self._channels)
            targets = targets.reshape(-1, height, width) if self._per_pixel else targets
            return {f"{part}_inputs": images, f"{part}_targets": targets}
        places = {f"{part}_shapes": shapes, f"{part}_first_pixels": self.starts[chosen] - first}
        return {f"{part}_inputs": images, f"{part}_targets": targets, **places}


def decode_samples(
    readers: Mapping[str, Reader],
    decoder: Decoder,
    options: ImageOptions,
    *,
    keep: bool,
    classes_known: bool,
    max_skipped: int,
    progress: Progress,
) -> Decoded:
    """Decode samples, and keep the pixels if all are decoded and fit into `max_memory` bytes.

    Args:
        readers: of each part.
        keep: whether pixels may be kept at all; without it all samples of the readers are decoded.
        classes_known: whether the classes need not be learnt from the masks.

    Raises:
        ValueError: listing what is wrong with the samples, if there are more than `max_skipped`, or a sample
            is asked for though the classes are not known.
    """
    parts, located = _located(readers)
    run = _Runner(len(located), progress)
    sizes = run(lambda number: decoder.size(located[number][0].encoded(located[number][1])), "sizes")
    shapes = np.array([size or (0, 0) for size in sizes], np.int64).reshape(-1, 2)
    areas = shapes.prod(axis=1)
    needed = int(areas.sum()) * (decoder.channels + 1)
    wanted: Sequence[int] = range(len(located))
    if keep:
        wanted = _choose(parts, needed, options, classes_known, progress)
    complete = len(wanted) == len(located)
    pixels = Pixels(areas, decoder) if keep and complete and needed <= options.max_memory else None

    def look(number: int) -> tuple[np.ndarray, dict[int, int]]:
        reader, of_part = located[number]
        image, target = decode(decoder, reader.encoded(of_part))
        if image.shape[:2] != tuple(shapes[number]):
            raise ValueError(f"{reader.name(of_part)}: changed while it was read")
        if pixels is not None:
            pixels.keep(number, image, target)
        return pixel_sums(image), value_counts(target) if target.ndim else {int(target): 1}

    nothing = np.zeros((3, decoder.channels)), dict[int, int]()
    contents = [nothing] * len(located)
    for number, content in zip(wanted, run(look, "images", wanted), strict=True):
        contents[number] = content or nothing
    _refuse_or_tell(list(run.problems.values()), len(located), max_skipped, progress)
    shapes[list(run.problems)] = 0
    return Decoded(
        parts=parts,
        shapes=shapes,
        complete=complete,
        pixels=pixels,
        sums=np.array([sums for sums, _ in contents]),
        classes=[classes for _, classes in contents],
        problems=run.problems,
    )


def to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _located(readers: Mapping[str, Reader]) -> tuple[dict[str, slice], list[tuple[Reader, int]]]:
    """Where each part's samples are when all parts stand one after another, and each one's reader."""
    parts: dict[str, slice] = {}
    located: list[tuple[Reader, int]] = []
    for part, reader in readers.items():
        parts[part] = slice(len(located), len(located) + len(reader))
        located += [(reader, number) for number in range(len(reader))]
    return parts, located


def _choose(
    parts: Mapping[str, slice],
    needed: int,
    options: ImageOptions,
    classes_known: bool,
    progress: Progress,
) -> Sequence[int]:
    """The numbers of the samples to decode, ascending."""
    total = sum(chosen.stop - chosen.start for chosen in parts.values())
    few = total <= len(parts) * options.sample_size
    if options.scan == "all" or (options.scan == "auto" and (few or needed <= options.max_memory)):
        return range(total)
    size = f"{total} samples need {needed / 2**30:.1f} GB decoded"
    if not classes_known:
        advice = "set data.num_classes or data.class_names"
        if options.scan == "sample":
            raise ValueError(f"data.scan is sample, so the classes cannot be taken from all masks: {advice}")
        progress(f"{size}, and all are decoded once to find their classes; {advice} to begin at once")
        return range(total)
    rng = np.random.default_rng(0)
    wanted: list[int] = []
    for chosen in parts.values():
        length = chosen.stop - chosen.start
        drawn = rng.choice(length, min(options.sample_size, length), replace=False)
        wanted += sorted(int(number) + chosen.start for number in drawn)
    progress(
        f"{size}: statistics are those of {len(wanted)} of them, and wrong files are found when they are "
        "needed (data.scan)"
    )
    return wanted


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


def _refuse_or_tell(problems: list[str], total: int, max_skipped: int, progress: Progress) -> None:
    if len(problems) > max_skipped:
        if len(problems) == 1:
            raise ValueError(problems[0])
        limit = f", and data.max_skipped is {max_skipped}" if max_skipped else ""
        told = some(problems, separator="\n")
        raise ValueError(f"{len(problems)} of {total} samples are wrong{limit}:\n{told}")
    if problems:
        told = some(problems, NUM_TOLD, separator="; ")
        progress(f"{len(problems)} of {total} samples are skipped: {told}")
