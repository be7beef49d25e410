"""Images and masks of a folder, checked and decoded once."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from trainables.segmentation.augment import IGNORE
from trainables.segmentation.decode import map_labels, num_threads, read_image, read_mask, read_size
from trainables.segmentation.layout import SHOWN, Layout, Pair, find_pairs
from trainables.segmentation.samples import starts_of
from trainables.segmentation.statistics import mean_and_std, pixel_sums

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
STATISTICS_SAMPLES = 256
"""Training images from which mean and deviation come where the images stay on disk."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[str], None]


def load_folder_arrays(
    root: Path,
    layout: Layout,
    *,
    channels: int,
    num_classes: int | None,
    class_names: Sequence[str],
    ignore_index: int,
    mask_values: Mapping[int, int],
    max_memory: int,
    imagenet_statistics: bool = False,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Read every mask, and every image too if all fit into `max_memory` bytes.

    Returns:
        For part "train" and "valid": `{part}_images` and `{part}_masks`, uint8 [N, H, W, C] and [N, H, W] if
        all are of one size, else flat buffers with `{part}_shapes` int64 [N, 2]; if they stay on disk,
        `{part}_image_files`, `{part}_mask_files` and `{part}_shapes`. Besides `class_names` [K],
        `class_pixels` int64 [K] of the training masks, `mask_lookup` int16 [256] from labels in files
        to classes, and `mean`, `std` float32 [channels]. Ignored pixels are `IGNORE` whatever
        `ignore_index` is.

    Raises:
        ValueError: naming each file that is wrong, before anything is trained.
    """
    root = root.expanduser().resolve()
    parts = find_pairs(root, layout)
    run = _Runner(progress or _to_stderr)
    lookup = _lookup(ignore_index, mask_values)
    shapes = _each_part(parts, lambda part: np.array(run(_shape, parts[part], "sizes"), np.int64))
    num_pixels = sum(int(of_part.prod(axis=1).sum()) for of_part in shapes.values())
    in_memory = num_pixels * (channels + 1) <= max_memory

    masks = _each_part(
        parts, lambda part: _load_masks(run, parts[part], shapes[part], lookup, keep=in_memory)
    )
    counts = {part: of_part for part, (_, of_part) in masks.items()}
    names = _class_names(root, class_names, num_classes, _num_found(root, counts, mask_values))
    _check_classes(parts, counts, len(names))
    arrays: dict[str, np.ndarray] = {"mask_lookup": lookup, "class_names": np.array(names)}
    arrays["class_pixels"] = counts["train"].pixels[: len(names)]

    if in_memory:
        images = _each_part(parts, lambda part: _load_images(run, parts[part], shapes[part], channels))
        sums = images["train"][1]
        for part in parts:
            arrays |= _in_memory(part, images[part][0], masks[part][0], shapes[part])
    else:
        sums = _sample_sums(run, parts["train"], channels)
        for part, pairs in parts.items():
            arrays |= _on_disk(part, pairs, shapes[part])
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if imagenet_statistics else mean_and_std(sums)
    return arrays | {"mean": mean, "std": std}


def _each_part(parts: Iterable[str], load: Callable[[str], Result]) -> dict[str, Result]:
    """What `load` gives for each part; the errors of all parts together."""
    results: dict[str, Result] = {}
    problems = []
    for part in parts:
        try:
            results[part] = load(part)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return results


class _Runner:
    """Calls a function for many items in threads; collects its ValueErrors and tells how far it is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, function: Callable[[Item], Result], items: Sequence[Item], what: str) -> list[Result]:
        """Results in order.

        Raises:
            ValueError: listing what was wrong with the items.
        """

        def guarded(item: Item) -> Result | ValueError:
            try:
                return function(item)
            except ValueError as error:
                return error

        results: list[Result] = []
        problems: list[str] = []
        told = time.monotonic()
        with ThreadPoolExecutor(num_threads()) as pool:
            for done, outcome in enumerate(pool.map(guarded, items), 1):
                if isinstance(outcome, ValueError):
                    problems.append(str(outcome))
                else:
                    results.append(outcome)
                if time.monotonic() - told > 2.0:
                    told = time.monotonic()
                    self._progress(f"{what}: {done} of {len(items)}")
        if problems:
            raise ValueError(_listed(problems, len(items)))
        return results


def _shape(pair: Pair) -> tuple[int, int]:
    height, width = read_size(pair.image)
    mask_height, mask_width = read_size(pair.mask)
    if (height, width) != (mask_height, mask_width):
        raise ValueError(
            f"{pair.mask}: is {mask_width}x{mask_height}, its image {pair.image} "
            f"{width}x{height}; sizes must agree"
        )
    return height, width


@dataclass(frozen=True)
class _Counts:
    """Labels of one part: `pixels` int64 [256] over all masks, `largest` class int64 [N] of each (or -1)."""

    pixels: np.ndarray
    largest: np.ndarray


def _load_masks(
    run: _Runner, pairs: Sequence[Pair], shapes: np.ndarray, lookup: np.ndarray, *, keep: bool
) -> tuple[np.ndarray, _Counts]:
    """All masks in a flat buffer (empty unless kept), and what they hold."""
    starts = starts_of(shapes)
    buffer = np.empty(int(starts[-1]) if keep else 0, np.uint8)

    def load(number: int) -> tuple[np.ndarray, np.ndarray]:
        file = pairs[number].mask
        labels = map_labels(file, read_mask(file), lookup).ravel()
        if keep:
            buffer[starts[number] : starts[number + 1]] = labels
        pixels = np.bincount(labels, minlength=256)
        present = np.flatnonzero(pixels)
        return present, pixels[present]

    pixels, largest = np.zeros(256, np.int64), np.full(len(pairs), -1, np.int64)
    for number, (present, found) in enumerate(run(load, range(len(pairs)), "masks")):
        pixels[present] += found
        largest[number] = max(present[present != IGNORE], default=-1)
    return buffer, _Counts(pixels, largest)


def _load_images(
    run: _Runner, pairs: Sequence[Pair], shapes: np.ndarray, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """All images in a flat buffer, and their `pixel_sums` together."""
    starts = starts_of(shapes) * channels
    buffer = np.empty(int(starts[-1]), np.uint8)

    def load(number: int) -> np.ndarray:
        image = read_image(pairs[number].image, channels)
        buffer[starts[number] : starts[number + 1]] = image.ravel()
        return pixel_sums(image)

    return buffer, np.sum(run(load, range(len(pairs)), "images"), axis=0)


def _sample_sums(run: _Runner, pairs: Sequence[Pair], channels: int) -> np.ndarray:
    chosen = pairs[:: math.ceil(len(pairs) / STATISTICS_SAMPLES)]
    return np.sum(
        run(lambda pair: pixel_sums(read_image(pair.image, channels)), chosen, "statistics"), axis=0
    )


def _in_memory(part: str, images: np.ndarray, masks: np.ndarray, shapes: np.ndarray) -> dict[str, np.ndarray]:
    if (shapes == shapes[0]).all():
        number, (height, width) = len(shapes), shapes[0]
        images, masks = images.reshape(number, height, width, -1), masks.reshape(number, height, width)
        return {f"{part}_images": images, f"{part}_masks": masks}
    return {f"{part}_images": images, f"{part}_masks": masks, f"{part}_shapes": shapes}


def _on_disk(part: str, pairs: Sequence[Pair], shapes: np.ndarray) -> dict[str, np.ndarray]:
    return {
        f"{part}_image_files": np.array([str(pair.image) for pair in pairs]),
        f"{part}_mask_files": np.array([str(pair.mask) for pair in pairs]),
        f"{part}_shapes": shapes,
    }


def _lookup(ignore_index: int, mask_values: Mapping[int, int]) -> np.ndarray:
    """From labels in files to classes: int16 [256]; -1 where 255 is neither a class nor ignored."""
    lookup = np.arange(256, dtype=np.int16)
    lookup[IGNORE] = -1
    lookup[ignore_index] = IGNORE
    for label, wanted in mask_values.items():
        if wanted == IGNORE != ignore_index:
            raise ValueError(
                f"data.mask_values maps {label} to {wanted}; classes are below {IGNORE}, and the label "
                f"that is ignored is data.ignore_index {ignore_index}"
            )
        lookup[label] = IGNORE if wanted == ignore_index else wanted
    return lookup


def _num_found(root: Path, counts: Mapping[str, _Counts], mask_values: Mapping[int, int]) -> int:
    """One more than the largest class of all masks.

    Raises:
        ValueError: if there is but one class, with what is probably wrong.
    """
    num_found = 1 + max(int(of_part.largest.max()) for of_part in counts.values())
    if num_found > 1:
        return num_found
    if sum(int(of_part.pixels[IGNORE]) for of_part in counts.values()) and not mask_values:
        raise ValueError(
            f"{root}: masks hold only 0 and the ignored label; if they are binary, saved as 0 and 255, "
            "set data.mask_values: {255: 1}"
        )
    raise ValueError(f"{root}: masks hold no label above 0; there must be two classes at least")


def _class_names(root: Path, given: Sequence[str], num_classes: int | None, num_found: int) -> list[str]:
    """A name for each class: given ones, else those in classes.txt, else the numbers."""
    names, origin = list(given), "data.class_names"
    listed = root / "classes.txt"
    if not names and listed.is_file():
        lines = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines()]
        names, origin = [line for line in lines if line], str(listed)
    if not names:
        return [str(number) for number in range(num_classes or num_found)]
    if len(set(names)) < len(names):
        raise ValueError(f"{origin} names a class twice; names must differ")
    if num_classes not in (None, len(names)):
        raise ValueError(
            f"{origin} has {len(names)} names and data.num_classes is {num_classes}; they must agree"
        )
    return names


def _check_classes(
    parts: Mapping[str, Sequence[Pair]], counts: Mapping[str, _Counts], num_classes: int
) -> None:
    """Refuse masks with a label beyond the classes, and a part without a labelled pixel."""
    problems = [
        f"{pair.mask}: holds label {largest}; with {num_classes} classes labels must be below {num_classes} "
        "or the ignored one: raise data.num_classes, or map it in data.mask_values"
        for part, pairs in parts.items()
        for pair, largest in zip(pairs, counts[part].largest, strict=True)
        if largest >= num_classes
    ]
    problems += [
        f"{pairs[0].mask.parent}: every pixel of the {part} masks is ignored; some must have a class"
        for part, pairs in parts.items()
        if counts[part].largest.max() < 0
    ]
    if problems:
        raise ValueError(_listed(problems, sum(len(pairs) for pairs in parts.values())))


def _listed(problems: Sequence[str], total: int) -> str:
    if len(problems) == 1:
        return problems[0]
    more = f"\n… and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return f"{len(problems)} of {total} samples are wrong:\n" + "\n".join(problems[:SHOWN]) + more


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
