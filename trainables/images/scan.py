"""Samples decoded before a search, in threads: all of them, with their pixels where they fit, or a few."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from trainables.data.threads import in_threads, num_threads
from trainables.findings import some
from trainables.images.options import ImageOptions
from trainables.images.readers import Reader
from trainables.images.statistics import pixel_sums, value_counts
from trainables.images.targets import NO_CLASS, Decoder

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
    """How often each class is in a target; empty for one that was not decoded."""
    problems: Mapping[int, str]
    """What is wrong with each sample that is skipped, by its number."""

    def class_counts(self, part: str) -> np.ndarray:
        """How often each class is in the targets of a part: int64 [largest class + 1, 256 at least]."""
        total = Counter[int]()
        for counts in self.classes[self.parts[part]]:
            total.update(counts)
        together = np.zeros(1 + max([255, *total]), np.int64)
        together[list(total)] = list(total.values())
        return together


class Pixels:
    """The pixels of all images one after another, and their targets.

    Args:
        areas: pixels of each image: int64 [N].
    """

    def __init__(self, areas: np.ndarray, decoder: Decoder) -> None:
        self._channels, self._per_pixel = decoder.channels, decoder.nothing.ndim > 0
        self.starts = np.concatenate([[0], np.cumsum(areas)]).astype(np.int64)
        """First pixel of each sample, and the end of the last."""
        self._target_starts = self.starts if self._per_pixel else np.arange(len(areas) + 1)
        self.images = np.empty(self.starts[-1] * decoder.channels, np.uint8)
        fill = 0 if self._per_pixel else NO_CLASS
        self.targets = np.full(self._target_starts[-1], fill, decoder.nothing.dtype)

    def keep(self, number: int, image: np.ndarray, target: np.ndarray) -> None:
        first, end = self.starts[number : number + 2] * self._channels
        self.images[first:end] = image.ravel()
        first, end = self._target_starts[number : number + 2]
        self.targets[first:end] = target.ravel()

    def as_arrays(self, part: str, chosen: slice, shapes: np.ndarray) -> dict[str, np.ndarray]:
        """The samples of a part: stacked where all have one size, else in flat arrays."""
        bounds = [chosen.start, chosen.stop]
        first, end = self.starts[bounds] * self._channels
        images = self.images[first:end]
        first, end = self._target_starts[bounds]
        targets = self.targets[first:end]
        if (shapes == shapes[0]).all():
            images = images.reshape(-1, *shapes[0], self._channels)
            targets = targets.reshape(-1, *shapes[0]) if self._per_pixel else targets
            return {f"{part}_inputs": images, f"{part}_targets": targets}
        places = {
            f"{part}_shapes": shapes,
            f"{part}_first_pixels": self.starts[chosen] - self.starts[chosen.start],
        }
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
        keep: whether pixels may be kept; otherwise all samples of the readers are decoded.
        classes_known: whether the classes are known without the masks.

    Raises:
        ValueError: listing what is wrong with the samples, if there are more than `max_skipped`, or `scan` is
            sample and the classes are not known.
    """
    located = [(reader, number) for reader in readers.values() for number in range(len(reader))]
    ends = np.cumsum([len(reader) for reader in readers.values()]).tolist()
    parts = {part: slice(end - len(readers[part]), end) for part, end in zip(readers, ends, strict=True)}
    problems: dict[int, str] = {}

    def size(number: int) -> tuple[int, int]:
        reader, of_part = located[number]
        return decoder.size(reader.encoded(of_part))

    everything = range(len(located))
    sizes = _run(size, everything, problems, lambda done: progress(f"sizes: {done} of {len(located)}"))
    shapes = np.array([found or (0, 0) for found in sizes], np.int64).reshape(-1, 2)
    areas = shapes.prod(axis=1)
    needed = int(areas.sum()) * (decoder.channels + 1)
    wanted = _choose(parts, needed, options, classes_known, progress) if keep else everything
    complete = len(wanted) == len(located)
    pixels = Pixels(areas, decoder) if keep and complete and needed <= options.max_memory else None

    def look(number: int) -> tuple[np.ndarray, dict[int, int]]:
        reader, of_part = located[number]
        image, target = decoder.decode(reader.encoded(of_part))
        if image.shape[:2] != tuple(shapes[number]):
            raise ValueError(f"{reader.name(of_part)}: changed while it was read")
        if pixels is not None:
            pixels.keep(number, image, target)
        return pixel_sums(image), value_counts(target) if target.ndim else {int(target): 1}

    nothing = np.zeros((3, decoder.channels)), dict[int, int]()
    contents = [nothing] * len(located)
    looked = _run(look, wanted, problems, lambda done: progress(f"images: {done} of {len(wanted)}"))
    for number, content in zip(wanted, looked, strict=True):
        contents[number] = content or nothing
    _refuse_or_report(list(problems.values()), len(located), max_skipped, progress)
    shapes[list(problems)] = 0
    return Decoded(
        parts=parts,
        shapes=shapes,
        complete=complete,
        pixels=pixels,
        sums=np.array([sums for sums, _ in contents]),
        classes=[classes for _, classes in contents],
        problems=problems,
    )


def to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


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
        wanted += sorted((drawn + chosen.start).tolist())
    progress(
        f"{size}: statistics are those of {len(wanted)} of them, and wrong files are found when they are "
        "needed (data.scan)"
    )
    return wanted


def _run(
    function: Callable[[int], Result],
    numbers: Sequence[int],
    problems: dict[int, str],
    report: Callable[[int], None],
) -> list[Result | None]:
    """Results for these samples in order; None for one in `problems`, to which ValueErrors are added.

    Args:
        report: gets the number of samples done, every two seconds.
    """

    def guarded(place: int) -> Result | ValueError | None:
        try:
            return None if numbers[place] in problems else function(numbers[place])
        except ValueError as error:
            return error

    results: list[Result | None] = []
    reported = time.monotonic()
    for outcome in in_threads(guarded, len(numbers), num_threads()):
        if isinstance(outcome, ValueError):
            problems[numbers[len(results)]] = str(outcome)
            outcome = None
        results.append(outcome)
        if time.monotonic() - reported > 2.0:
            reported = time.monotonic()
            report(len(results))
    return results


def _refuse_or_report(problems: list[str], total: int, max_skipped: int, progress: Progress) -> None:
    if len(problems) > max_skipped:
        if len(problems) == 1:
            raise ValueError(problems[0])
        limit = f", and data.max_skipped is {max_skipped}" if max_skipped else ""
        listed = some(problems, separator="\n")
        raise ValueError(f"{len(problems)} of {total} samples are wrong{limit}:\n{listed}")
    if problems:
        listed = some(problems, NUM_TOLD, separator="; ")
        progress(f"{len(problems)} of {total} samples are skipped: {listed}")
