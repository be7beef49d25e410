"""Pairs of images and masks as the arrays of a task: pixels or where they lie, classes and statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainables.images.augment import IGNORE
from trainables.images.labels import count_classes
from trainables.images.readers import PairReader, Reading
from trainables.images.scan import Decoded, Progress, Scan, decode_pairs
from trainables.images.statistics import mean_and_std

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What is known before pixels are looked at, and how many of them are."""

    origin: str
    """Where the data lies, for messages."""
    class_names: Sequence[str]
    """Empty: the numbers of the labels that are found."""
    mask_values: Mapping[int, int]
    max_memory: int
    """Bytes of pixels that are kept."""
    imagenet_statistics: bool
    max_skipped: int
    scan: Scan
    sample_size: int
    progress: Progress


def load_pairs(parts: Mapping[str, PairReader], reading: Reading, loading: Loading) -> dict[str, np.ndarray]:
    """Decode the pairs, or a sample of them where they are many, and keep the pixels if all fit.

    Up to `max_skipped` samples may be wrong: each keeps its number with a shape of (0, 0), statistics are
    those of the others, and one line of progress tells of it.

    Returns:
        For part "train" and "valid": `{part}_images` and `{part}_masks`, uint8 [N, H, W, C] and [N, H, W] if
        all are of one size, else flat buffers with `{part}_shapes` int64 [N, 2] and `{part}_starts` int64
        [N]; if they stay where they are, what the reader needs (as `{part}_image_files`, `{part}_mask_files`)
        and `{part}_shapes`. Besides `class_names` [K], `class_pixels` int64 [K] of the training masks,
        `mask_lookup` int16 [256] from labels in files to classes, and `mean`, `std` float32 [channels].
        Ignored pixels are `IGNORE` whatever `ignore_index` is. `skipped_files` and `skipped_reasons` are the
        images of samples that are skipped, and why. Where a sample was decoded, `class_pixels`, `mean` and
        `std` are those of the sample.

    Raises:
        ValueError: naming each pair that is wrong.
    """
    decoded = decode_pairs(
        parts,
        channels=reading.channels,
        max_memory=loading.max_memory,
        max_skipped=loading.max_skipped,
        scan=loading.scan,
        sample_size=loading.sample_size,
        classes_known=bool(loading.class_names),
        progress=loading.progress,
    )
    pixels = {part: _label_pixels(decoded, chosen) for part, chosen in decoded.parts.items()}
    _check_labelled(loading.origin, pixels)
    names = loading.class_names
    if decoded.complete:
        num_found = count_classes(loading.origin, pixels["train"] + pixels["valid"], loading.mask_values)
        names = names or [str(number) for number in range(num_found)]
    arrays = {
        "mask_lookup": reading.lookup,
        "class_names": np.array(names),
        "class_pixels": pixels["train"][: len(names)],
        **_skipped(decoded, parts),
    }
    for part, chosen in decoded.parts.items():
        arrays |= _pixels_of(part, decoded, chosen) or parts[part].arrays(part, decoded.shapes[chosen])
    statistics = mean_and_std(decoded.sums[decoded.parts["train"]].sum(axis=0))
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if loading.imagenet_statistics else statistics
    return arrays | {"mean": mean, "std": std}


def _skipped(decoded: Decoded, parts: Mapping[str, PairReader]) -> dict[str, np.ndarray]:
    files = [
        parts[part].name(number - chosen.start)
        for number in decoded.problems
        for part, chosen in decoded.parts.items()
        if chosen.start <= number < chosen.stop
    ]
    reasons = list(decoded.problems.values())
    return {"skipped_files": np.array(files, np.str_), "skipped_reasons": np.array(reasons, np.str_)}


def _pixels_of(part: str, decoded: Decoded, chosen: slice) -> dict[str, np.ndarray]:
    """Images and masks of a part, stacked if they can be; nothing where they stay where they are."""
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


def _label_pixels(decoded: Decoded, chosen: slice) -> np.ndarray:
    """Pixels of each label in these masks together: int64 [256]."""
    together = np.zeros(256, np.int64)
    for pixels in decoded.pixels[chosen]:
        for label, number in pixels.items():
            together[label] += number
    return together


def _check_labelled(origin: str, pixels: Mapping[str, np.ndarray]) -> None:
    for part, of_part in pixels.items():
        if not of_part[:IGNORE].any():
            raise ValueError(f"{origin}: every pixel of the {part} masks is ignored; some must have a class")
