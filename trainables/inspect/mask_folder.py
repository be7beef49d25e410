"""Looks at every image and mask of a folder: what the loader would refuse, and what a person should see."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trainables.images.augment import IGNORE
from trainables.images.decode import COLOURED, JPEG_MASK, WRONG_LABEL, read_channels, read_mask
from trainables.images.images import SampleError, num_threads, opened
from trainables.images.labels import label_lookup, listed_class_names
from trainables.images.layouts.find import Layout, Pair, convention_of, find_pairs
from trainables.inspect import data_faults as faults
from trainables.inspect.images import (
    DOUBLED,
    EMPTY,
    is_empty,
    label_counts,
    num_bytes,
    other_modes,
    see_image,
    unreadable,
)
from trainables.inspect.inspection import IGNORED, Conclusion, Contents, Finding, Inspection, SampleName


class FolderInspection(Inspection):
    """Images and masks below one folder; the arguments are those of its loader.

    Of each file only numbers are kept: at any time no more images are in memory than there are threads.
    """

    unit, compared = "pixels", "decoded pixels"
    doubled = DOUBLED

    def __init__(
        self,
        root: Path,
        layout: Layout,
        *,
        channels: int,
        num_classes: int | None,
        class_names: Sequence[str],
        ignore_index: int,
        mask_values: Mapping[int, int],
    ) -> None:
        self.num_threads = num_threads()
        self.root, self._channels, self._mask_values = root.expanduser().resolve(), channels, mask_values
        self.findings: list[Finding] = []
        parts: dict[str, list[Pair]] = {}
        self._names: list[str] = []
        self._lookup = label_lookup(ignore_index, mask_values)
        try:
            parts = find_pairs(self.root, layout, with_orphans=True)
            convention = convention_of(self.root, layout)
            self._lookup = label_lookup(ignore_index, mask_values, convention)
            usual = None if mask_values else convention
            self._names = listed_class_names(self.root, class_names, num_classes, usual)
        except (ValueError, OSError) as error:
            self.findings.append(Finding(faults.FOLDER, str(self.root), str(error)))
        self._num_classes = len(self._names) or num_classes
        self._pairs = [pair for pairs in parts.values() for pair in pairs]
        self.samples = [
            SampleName(part, str(pair.image), sum(map(num_bytes, (pair.image, pair.mask, *pair.more))))
            for part, pairs in parts.items()
            for pair in pairs
        ]
        self._modes: list[str | None] = [None] * len(self._pairs)
        self._labels: list[dict[int, int]] = [{} for _ in self._pairs]
        """Pixels of each label as it is in the file."""

    def look(self, number: int) -> Contents:
        pair = self._pairs[number]
        alone = _orphan(pair)
        if alone is not None:
            return Contents(findings=[alone])
        files = [pair.image, *pair.more]
        image = see_image(files, lambda: read_channels(files, self._channels))
        self._modes[number] = image.mode
        found = list(image.findings)
        labels = self._mask(pair.mask, found)
        if image.pixels is not None and labels is not None and image.pixels.shape[:2] != labels.shape:
            found.append(Finding(faults.SIZES, str(pair.mask), _sizes(labels, image.pixels)))
        if labels is not None:
            self._labels[number] = label_counts(labels)
            found += self._wrong_labels(number)
        of_sample = self._classes(number) if image.pixels is not None else {}
        return Contents(findings=found, labels=of_sample, **image.contents())

    def conclude(self, contents: Sequence[Contents]) -> Conclusion:
        found = [*self._binary_masks(), *self._far_labels()]
        found += other_modes([pair.image for pair in self._pairs], self._modes, self._channels)
        classes = {label for held in contents for label in held.labels} - {IGNORED}
        num_classes = self._num_classes or 1 + max(classes, default=-1)
        names = self._names or [str(number) for number in range(num_classes)]
        return Conclusion(findings=found, class_names=names)

    def _mask(self, file: Path, found: list[Finding]) -> np.ndarray | None:
        """The labels as they are in the file: uint8 [H, W]."""
        if is_empty(file):
            found.append(Finding(EMPTY, str(file), ""))
            return None
        try:
            return read_mask(file)
        except SampleError as error:
            found.append(_mask_finding(file, error))
            return None

    def _wrong_labels(self, number: int) -> list[Finding]:
        file, labels = str(self._pairs[number].mask), self._labels[number]
        wrong = {label: count for label, count in labels.items() if not self._is_right(label)}
        if wrong and not (self._is_binary(number) and set(wrong) == {IGNORE}):
            told = _some_labels(wrong)
            return [Finding(faults.OF_MASKS[WRONG_LABEL], file, f"{told}; {self._rule()}")]
        if labels and all(self._lookup[label] == IGNORE for label in labels) and not self._is_binary(number):
            return [Finding(faults.ALL_IGNORED, file, "")]
        return []

    def _is_right(self, label: int) -> bool:
        mapped = int(self._lookup[label])
        return mapped == IGNORE or 0 <= mapped < (self._num_classes or IGNORE)

    def _rule(self) -> str:
        ignored = [str(label) for label in range(256) if self._lookup[label] == IGNORE]
        highest = (self._num_classes or IGNORE) - 1
        return f"classes are 0 to {highest}, ignored is {' or '.join(ignored) or 'nothing'}"

    def _classes(self, number: int) -> dict[int, int]:
        """Pixels of each class and of what is ignored; labels that are neither are left out."""
        classes: dict[int, int] = {}
        for label, count in self._labels[number].items():
            if self._is_right(label):
                mapped = int(self._lookup[label])
                name = IGNORED if mapped == IGNORE else mapped
                classes[name] = classes.get(name, 0) + count
        return classes

    def _is_binary(self, number: int) -> bool:
        """Whether a mask holds 0 and 255 alone, and 255 is taken for no class."""
        return set(self._labels[number]) == {0, IGNORE} and int(self._lookup[IGNORE]) in (IGNORE, -1)

    def _binary_masks(self) -> list[Finding]:
        binary = [number for number in range(len(self._pairs)) if self._is_binary(number)]
        others = [labels for labels in self._labels if labels and not set(labels) <= {0, IGNORE}]
        if binary and not others:
            told = f"{len(binary)} masks hold 0 and 255, and no mask holds anything else"
            return [Finding(faults.BINARY, str(self._pairs[binary[0]].mask.parent), told)]
        kind = faults.BINARY if self._lookup[IGNORE] == -1 else faults.PERHAPS_BINARY
        return [Finding(kind, str(self._pairs[number].mask), "") for number in binary]

    def _far_labels(self) -> list[Finding]:
        """Labels above a gap, where the number of classes is taken from the largest label."""
        if self._num_classes is not None:
            return []
        held = {int(self._lookup[label]) for labels in self._labels for label in labels}
        gap = next((number for number in range(IGNORE) if number not in held), IGNORE)
        found = []
        for pair, labels in zip(self._pairs, self._labels, strict=True):
            far = {label: count for label, count in labels.items() if gap < self._lookup[label] < IGNORE}
            if far:
                told = f"{_some_labels(far)}, while no mask holds {gap}"
                found.append(Finding(faults.FAR_LABEL, str(pair.mask), told))
        return found


def _orphan(pair: Pair) -> Finding | None:
    """What is wrong if one of the two is not there at all; a link that leads nowhere is there."""
    image, mask = os.path.lexists(pair.image), os.path.lexists(pair.mask)
    if image and mask:
        return None
    if image:
        return Finding(faults.NO_MASK, str(pair.image), f"no mask is called {pair.mask.name}")
    if mask:
        return Finding(faults.NO_IMAGE, str(pair.mask), f"no image is called {pair.image.name}")
    return Finding(faults.NO_FILE, str(pair.image), "")


def _mask_finding(file: Path, error: SampleError) -> Finding:
    """With what the pixels say about it."""
    kind = faults.OF_MASKS.get(error.kind)
    if kind is None:
        return unreadable(file, error)
    try:
        with opened(file) as image:
            values, counts = np.unique(np.asarray(image), return_counts=True)
            if error.kind == COLOURED:
                return Finding(kind, str(file), f"{image.mode}, {len(image.getbands())} channels")
    except SampleError as worse:
        return unreadable(file, worse)
    if error.kind == JPEG_MASK:
        return Finding(kind, str(file), f"holds {len(values)} different values")
    labels = dict(zip(values.tolist(), counts.tolist(), strict=True))
    large = {label: count for label, count in labels.items() if label > IGNORE}
    return Finding(kind, str(file), f"{_some_labels(large)}; labels are at most {IGNORE}")


def _sizes(labels: np.ndarray, image: np.ndarray) -> str:
    (height, width), (image_height, image_width) = labels.shape, image.shape[:2]
    return f"{width}x{height}, its image {image_width}x{image_height}"


def _some_labels(labels: Mapping[int, int], shown: int = 3) -> str:
    """`label 37 in 120 pixels, 41 in 3, and 5 more labels`"""
    first = sorted(labels.items(), key=lambda item: -item[1])[:shown]
    told = ", ".join(f"{label} in {count:,}" for label, count in first[1:])
    head = f"label {first[0][0]} in {first[0][1]:,} pixels" + (f", {told}" if told else "")
    return head + (f", and {len(labels) - shown} more labels" if len(labels) > shown else "")
