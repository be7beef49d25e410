"""Images and masks of a folder as the arrays of a task: pixels or files, classes and statistics."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trainables.segmentation.augment import IGNORE
from trainables.segmentation.decoded import Decoded, Progress, decode_pairs
from trainables.segmentation.layout import Layout, Pair, find_pairs, read_lines
from trainables.segmentation.statistics import mean_and_std

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


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
    max_skipped: int = 0,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Decode every image and mask, and keep them if all fit into `max_memory` bytes.

    Up to `max_skipped` samples may be wrong: each keeps its number with a shape of (0, 0), statistics are
    those of the others, and one line of progress tells of it.

    Returns:
        For part "train" and "valid": `{part}_images` and `{part}_masks`, uint8 [N, H, W, C] and [N, H, W] if
        all are of one size, else flat buffers with `{part}_shapes` int64 [N, 2] and `{part}_starts` int64
        [N]; if they stay on disk, `{part}_image_files`, `{part}_mask_files` and `{part}_shapes`. Besides
        `class_names` [K], `class_pixels` int64 [K] of the training masks, `mask_lookup` int16 [256] from
        labels in files to classes, and `mean`, `std` float32 [channels]. Ignored pixels are `IGNORE`
        whatever `ignore_index` is.

    Raises:
        ValueError: naming each file that is wrong, before anything is trained.
    """
    root = root.expanduser().resolve()
    parts = find_pairs(root, layout, with_orphans=max_skipped > 0)
    lookup, names = _lookup(ignore_index, mask_values), _class_names(root, class_names, num_classes)
    decoded = decode_pairs(
        [pair for pairs in parts.values() for pair in pairs],
        channels=channels,
        lookup=lookup,
        num_classes=len(names) or num_classes or IGNORE,
        max_memory=max_memory,
        max_skipped=max_skipped,
        progress=progress or _to_stderr,
    )
    slices = _slices(parts)
    pixels = {part: _label_pixels(decoded, chosen) for part, chosen in slices.items()}
    _check_labelled(parts, pixels)
    num_found = _num_found(root, pixels["train"] + pixels["valid"], mask_values)
    names = names or [str(number) for number in range(num_classes or num_found)]
    arrays = {"mask_lookup": lookup, "class_names": np.array(names)}
    arrays["class_pixels"] = pixels["train"][: len(names)]
    for part, chosen in slices.items():
        arrays |= _pixels_of(part, decoded, chosen) or _files_of(part, decoded.shapes[chosen], parts[part])
    statistics = mean_and_std(decoded.sums[slices["train"]].sum(axis=0))
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if imagenet_statistics else statistics
    return arrays | {"mean": mean, "std": std}


def _slices(parts: Mapping[str, Sequence[Pair]]) -> dict[str, slice]:
    """Where each part's samples are when all parts stand one after another."""
    slices, start = {}, 0
    for part, pairs in parts.items():
        slices[part] = slice(start, start + len(pairs))
        start += len(pairs)
    return slices


def _pixels_of(part: str, decoded: Decoded, chosen: slice) -> dict[str, np.ndarray]:
    """Images and masks of a part, stacked if they can be; nothing where they stay on disk."""
    if decoded.images is None or decoded.masks is None:
        return {}
    shapes, starts = decoded.shapes[chosen], decoded.starts[chosen]
    first, end = decoded.starts[chosen.start], decoded.starts[chosen.stop]
    channels = decoded.sums.shape[-1]
    images, masks = decoded.images[first * channels : end * channels], decoded.masks[first:end]
    if (shapes == shapes[0]).all():
        height, width = shapes[0]
        images, masks = images.reshape(-1, height, width, channels), masks.reshape(-1, height, width)
        return {f"{part}_images": images, f"{part}_masks": masks}
    of_flat = {f"{part}_shapes": shapes, f"{part}_starts": starts - first}
    return {f"{part}_images": images, f"{part}_masks": masks, **of_flat}


def _files_of(part: str, shapes: np.ndarray, pairs: Sequence[Pair]) -> dict[str, np.ndarray]:
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


def _label_pixels(decoded: Decoded, chosen: slice) -> np.ndarray:
    """Pixels of each label in these masks together: int64 [256]."""
    together = np.zeros(256, np.int64)
    for pixels in decoded.pixels[chosen]:
        for label, number in pixels.items():
            together[label] += number
    return together


def _check_labelled(parts: Mapping[str, Sequence[Pair]], pixels: Mapping[str, np.ndarray]) -> None:
    for part, of_part in pixels.items():
        if not of_part[:IGNORE].any():
            folder = parts[part][0].mask.parent
            raise ValueError(f"{folder}: every pixel of the {part} masks is ignored; some must have a class")


def _num_found(root: Path, pixels: np.ndarray, mask_values: Mapping[int, int]) -> int:
    """One more than the largest class, from the number of pixels of each label, int64 [256].

    Raises:
        ValueError: if there is but one class, with what is probably wrong.
    """
    num_found = 1 + int(pixels[:IGNORE].nonzero()[0].max())
    if num_found > 1:
        return num_found
    if pixels[IGNORE] and not mask_values:
        raise ValueError(
            f"{root}: masks hold only 0 and the ignored label; if they are binary, saved as 0 and 255, "
            "set data.mask_values: {255: 1}"
        )
    raise ValueError(f"{root}: masks hold no label above 0; there must be two classes at least")


def _class_names(root: Path, given: Sequence[str], num_classes: int | None) -> list[str]:
    """The given names, else those in classes.txt, else none."""
    names, origin = list(given), "data.class_names"
    listed = root / "classes.txt"
    if not names and listed.is_file():
        names, origin = read_lines(root, listed), str(listed)
    if not names:
        return []
    if len(set(names)) < len(names):
        raise ValueError(f"{origin} names a class twice; names must differ")
    if not 2 <= len(names) <= IGNORE:
        raise ValueError(f"{origin} has {len(names)} names; there must be 2 to {IGNORE} classes")
    if num_classes not in (None, len(names)):
        raise ValueError(
            f"{origin} has {len(names)} names and data.num_classes is {num_classes}; they must agree"
        )
    return names


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
