"""Samples decoded before a search, in threads: all of them, with their pixels where they fit, or a few."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trainables.data.threads import in_threads, num_threads
from trainables.findings import some
from trainables.images.options import ImageOptions
from trainables.images.readers import Reader
from trainables.images.statistics import pixel_sums
from trainables.images.targets import NO_CLASS, Decoder

NUM_SHOWN = 3
"""Number of skipped samples whose problems the summary line lists."""

Progress = Callable[[str], None]


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


class Scan:
    """N samples, decoded; one that is skipped has the shape (0, 0), no sums and no classes.

    Args:
        readers: of each part.
        keep: whether pixels may be kept, which they are if all are decoded and fit into `max_memory` bytes;
            otherwise all samples of the readers are decoded.
        classes_known: whether the classes are known without the masks.

    Raises:
        ValueError: listing what is wrong with the samples, if there are more than `max_skipped`, or `scan` is
            sample and the classes are not known.
    """

    def __init__(
        self,
        readers: Mapping[str, Reader],
        decoder: Decoder,
        options: ImageOptions,
        *,
        keep: bool,
        classes_known: bool,
        max_skipped: int,
        progress: Progress,
    ) -> None:
        self._decoder, self._options, self._progress = decoder, options, progress
        self._located = [(reader, number) for reader in readers.values() for number in range(len(reader))]
        total = len(self._located)
        ends = np.cumsum([len(reader) for reader in readers.values()]).tolist()
        self.parts = {
            part: slice(end - len(readers[part]), end) for part, end in zip(readers, ends, strict=True)
        }
        """Where each part's samples are."""
        self.problems: dict[int, str] = {}
        """What is wrong with each sample that is skipped, by its number."""
        self.shapes = np.zeros((total, 2), np.int64)
        self._run(self._find_size, range(total), "sizes")
        areas = self.shapes.prod(axis=1)
        needed = int(areas.sum()) * (decoder.channels + 1)
        wanted = self._choose(needed, classes_known) if keep else range(total)
        self.complete = len(wanted) == total
        """Whether all samples were decoded, and not only some of them."""
        kept = keep and self.complete and needed <= options.max_memory
        self.pixels = Pixels(areas, decoder) if kept else None
        """None where samples are read when needed."""
        self.sums = np.zeros((total, 3, decoder.channels))
        """`pixel_sums` of each image, 0 of one that was not decoded: float64 [N, 3, channels]."""
        self._classes: list[Mapping[int, int]] = [{}] * total
        self._run(self._look, wanted, "images")
        self._refuse_or_report(max_skipped)
        self.shapes[list(self.problems)] = 0

    def class_counts(self, part: str) -> np.ndarray:
        """How often each class is in the targets of a part: int64 [largest class + 1, 256 at least]."""
        total = Counter[int]()
        for counts in self._classes[self.parts[part]]:
            total.update(counts)
        together = np.zeros(1 + max([255, *total]), np.int64)
        together[list(total)] = list(total.values())
        return together

    def _find_size(self, number: int) -> None:
        reader, of_part = self._located[number]
        self.shapes[number] = self._decoder.size(reader.encoded(of_part))

    def _look(self, number: int) -> None:
        reader, of_part = self._located[number]
        image, target = self._decoder.decode(reader.encoded(of_part))
        if image.shape[:2] != tuple(self.shapes[number]):
            raise ValueError(f"{reader.name(of_part)}: changed while it was read")
        if self.pixels is not None:
            self.pixels.keep(number, image, target)
        self.sums[number] = pixel_sums(image)
        self._classes[number] = self._decoder.counts(target)

    def _choose(self, needed: int, classes_known: bool) -> Sequence[int]:
        """The numbers of the samples to decode, ascending.

        Args:
            needed: bytes that all samples take when they are decoded.
        """
        options, total = self._options, len(self._located)
        few = total <= len(self.parts) * options.sample_size
        if options.scan == "all" or (options.scan == "auto" and (few or needed <= options.max_memory)):
            return range(total)
        size = f"{total} samples need {needed / 2**30:.1f} GB decoded"
        if not classes_known:
            advice = "set data.num_classes or data.class_names"
            if options.scan == "sample":
                raise ValueError(
                    f"data.scan is sample, so the classes cannot be taken from all masks: {advice}"
                )
            self._progress(
                f"{size}, and all are decoded once to find their classes; {advice} to begin at once"
            )
            return range(total)
        rng = np.random.default_rng(0)
        wanted: list[int] = []
        for chosen in self.parts.values():
            length = chosen.stop - chosen.start
            drawn = rng.choice(length, min(options.sample_size, length), replace=False)
            wanted += sorted((drawn + chosen.start).tolist())
        self._progress(
            f"{size}: statistics are those of {len(wanted)} of them, and wrong files are found when they are "
            "needed (data.scan)"
        )
        return wanted

    def _run(self, function: Callable[[int], None], numbers: Sequence[int], what: str) -> None:
        """Call the function for these samples in threads; one that raises a ValueError is a problem."""

        def guarded(place: int) -> str | None:
            try:
                if numbers[place] not in self.problems:
                    function(numbers[place])
            except ValueError as error:
                return str(error)
            return None

        reported = time.monotonic()
        for place, problem in enumerate(in_threads(guarded, len(numbers), num_threads())):
            if problem is not None:
                self.problems[numbers[place]] = problem
            if time.monotonic() - reported > 2.0:
                reported = time.monotonic()
                self._progress(f"{what}: {place + 1} of {len(numbers)}")

    def _refuse_or_report(self, max_skipped: int) -> None:
        problems, total = list(self.problems.values()), len(self._located)
        if len(problems) > max_skipped:
            if len(problems) == 1:
                raise ValueError(problems[0])
            limit = f", and data.max_skipped is {max_skipped}" if max_skipped else ""
            listed = some(problems, separator="\n")
            raise ValueError(f"{len(problems)} of {total} samples are wrong{limit}:\n{listed}")
        if problems:
            listed = some(problems, NUM_SHOWN, separator="; ")
            self._progress(f"{len(problems)} of {total} samples are skipped: {listed}")


def to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
