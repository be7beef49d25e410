"""What the labels in mask files mean: the table from labels to classes, and the names of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trainables.images.augment import IGNORE
from trainables.images.layouts.base import Convention
from trainables.images.layouts.files import read_lines
from trainables.images.options import MaskOptions


def label_lookup(options: MaskOptions, convention: Convention | None = None) -> np.ndarray:
    """From labels in files to classes and `IGNORE`: int16 [256]; -1 is neither.

    Where the layout has a convention its labels come first, `ignore_index` and `mask_values`, which speak of
    labels in the files too, replace single ones of them.
    """
    lookup = np.arange(256, dtype=np.int16)
    lookup[IGNORE] = -1
    if convention is not None and convention.labels is not None:
        lookup[:] = -1
        for label, wanted in convention.labels.items():
            lookup[label] = wanted
    lookup[options.ignore_index] = IGNORE
    for label, wanted in options.mask_values.items():
        if wanted == IGNORE != options.ignore_index:
            raise ValueError(
                f"data.mask_values maps {label} to {wanted}; classes are below {IGNORE}, and the label "
                f"that is ignored is data.ignore_index {options.ignore_index}"
            )
        lookup[label] = IGNORE if wanted == options.ignore_index else wanted
    return lookup


def mask_class_names(
    options: MaskOptions, root: Path | None = None, convention: Convention | None = None
) -> list[str]:
    """The given names, else those in classes.txt, else the layout's if their number fits, else none."""
    if options.class_names or root is None:
        return check_class_names(options.class_names, "data.class_names", options.num_classes)
    listed = root / "classes.txt"
    if listed.is_file():
        return check_class_names(read_lines(root, listed), str(listed), options.num_classes)
    usual = [] if convention is None or options.mask_values else list(convention.class_names)
    return usual if options.num_classes in (None, len(usual)) else []


def check_class_names(names: Sequence[str], origin: str, num_classes: int | None = None) -> list[str]:
    """The names, if any, checked against the number of classes.

    Raises:
        ValueError: naming their origin, if there are too few or many, or one of them twice.
    """
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
    return list(names)


def count_classes(origin: str, pixels: np.ndarray, mask_values: Mapping[int, int]) -> int:
    """One more than the largest class, from the number of pixels of each label, int64 [256].

    Raises:
        ValueError: if there is only one class, with what is probably wrong.
    """
    num_found = 1 + int(pixels[:IGNORE].nonzero()[0].max())
    if num_found > 1:
        return num_found
    if pixels[IGNORE] and not mask_values:
        raise ValueError(
            f"{origin}: masks hold only 0 and the ignored label; if they are binary, saved as 0 and 255, "
            "set data.mask_values: {255: 1}"
        )
    raise ValueError(f"{origin}: masks hold no label above 0; there must be at least two classes")
