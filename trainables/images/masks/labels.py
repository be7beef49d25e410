"""What the labels in mask files mean: the table from labels to classes, and the names of classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trainables.findings import some
from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.layouts.base import Convention
from trainables.images.layouts.root import DataRoot
from trainables.images.options import MOST_OVERLAPPING, MaskOptions

_MOST_UNUSED = 10
"""Numbers up to the largest label, for each label that occurs, from which on they are no class numbers."""
MOST_CLASSES = 64
"""Labels beyond which their number must be set: they may be shades."""
_FEWEST_OBJECTS = 8
"""Largest number in some mask from which on labels may be those of objects."""
_FEWEST_COUNTS = 4
"""Different largest numbers that masks of objects have, at least."""
_MOSTLY = 0.9
"""Share of the numbers up to its largest that a mask of objects holds."""
_SHOWN = 20
"""Labels beyond which they are not classes with other numbers, but shades where classes meet."""


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
    options: MaskOptions, root: DataRoot | None = None, convention: Convention | None = None
) -> list[str]:
    """The given names, else those in classes.txt, else the layout's if their number fits, else none."""
    names, origin = list(options.class_names), "data.class_names"
    if not names and root is not None and (listed := root.file(["classes.txt"])) is not None:
        names, origin = _listed_names(root, listed), str(listed)
    if options.labels != "multiclass":
        return _names_for_sigmoid(options, names, origin)
    if names or root is None:
        return check_class_names(names, origin, options.known_classes)
    usual = [] if convention is None or options.mask_values else list(convention.class_names)
    return usual if options.known_classes in (None, len(usual)) else []


def _names_for_sigmoid(options: MaskOptions, names: Sequence[str], origin: str) -> list[str]:
    """One for each output: of binary masks that of the class, which the background's may precede."""
    if options.labels == "binary":
        if len(names) > 2:
            rule = "data.labels is binary; name the class alone"
            raise ValueError(f"{origin} has {len(names)} names and {rule}")
        return [names[-1] if names else "foreground"]
    names = names or [str(number) for number in range(options.num_classes or 0)]
    if not names:
        raise ValueError(f"{origin} is empty and data.labels is multilabel; name the classes, in their order")
    if len(set(names)) < len(names) or len(names) > MOST_OVERLAPPING:
        raise ValueError(f"{origin} has {len(names)} names; they must differ, {MOST_OVERLAPPING} at most")
    if options.num_classes not in (None, len(names)):
        return check_class_names(names, origin, options.num_classes)
    return list(names)


def _listed_names(root: DataRoot, file: Path) -> list[str]:
    """One in each line, which may begin with the number of the class, from 0."""
    names = [line for _, line in root.read_lines(file)]
    numbered = [re.fullmatch(r"(\d+)[\s:;,.=]+(.+)", name) for name in names]
    if [match and int(match[1]) for match in numbered] == list(range(len(names))):
        return [match[2] for match in numbered if match]
    return names


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


def only_ignored(parts: Mapping[str, np.ndarray], ignore_index: int) -> str:
    """What is wrong where no pixel of a part has a class; else empty.

    Args:
        parts: pixels of each class and of `IGNORE` in it: int64 [256].
    """
    for part, pixels in parts.items():
        if not pixels.any():
            return f"none of the {part} samples can be used: each is skipped"
        if not pixels[:IGNORE].any():
            return (
                f"every pixel of the {part} masks is ignored, as label {ignore_index}; some must have a "
                "class: correct the masks, or set data.ignore_index to a label that marks no class"
            )
    return ""


def count_classes(
    origin: str, pixels: np.ndarray, mask_values: Mapping[int, int], *, is_known: bool = False
) -> int:
    """One more than the largest class, from the number of pixels of each label, int64 [256].

    Args:
        is_known: whether the number of classes is set; else it is that of the labels that are found.

    Raises:
        ValueError: if there is only one class, or most numbers up to the largest one are no class, with what
            is probably wrong.
    """
    held = pixels[:IGNORE].nonzero()[0].tolist()
    num_found = 1 + max(held, default=0)
    doubtful = len(held) > MOST_CLASSES or _MOST_UNUSED * len(held) <= num_found
    if num_found > 1 and not is_known and doubtful:
        raise ValueError(f"{origin}: {_not_numbered(held, pixels[IGNORE] / pixels.sum(), mask_values)}")
    if num_found > 1:
        return num_found
    if pixels[IGNORE] and not mask_values:
        raise ValueError(
            f"{origin}: masks hold only 0 and the ignored label; if they are binary, saved as 0 and 255, "
            "set data.mask_values: {255: 1}"
        )
    raise ValueError(
        f"{origin}: masks hold no label above 0; there must be at least two classes: save the masks with "
        "their class numbers, or set data.num_classes"
    )


def doubtful_classes(origin: str, pixels: np.ndarray, num_classes: int, *, is_known: bool) -> str:
    """What is odd about classes that may have been meant otherwise, with the line for that; else empty.

    Args:
        pixels: of each class and of `IGNORE`, int64 [256].
        is_known: whether the number of classes is set.
    """
    held = pixels[:num_classes].nonzero()[0].tolist()
    if held and 0 not in held:
        values = ", ".join(f"{label}: {number}" for number, label in enumerate(range(1, num_classes)))
        return (
            f"{origin}: no pixel has class 0: if classes begin at 1, set data.mask_values: {{{values}}}"
            ", and data.num_classes to one less where it is set"
        )
    if not is_known and len(held) < num_classes:
        values = ", ".join(f"{label}: {number}" for number, label in enumerate(held) if label != number)
        absent = [str(label) for label in range(num_classes) if label not in held]
        return (
            f"{origin}: no pixel has class {some(absent)}: if there is no such class, set data.mask_values: "
            f"{{{values}}}; else set data.num_classes: {num_classes}"
        )
    if held == list(range(num_classes - 1)) and pixels[IGNORE]:
        share = pixels[IGNORE] / pixels.sum()
        return (
            f"{origin}: no pixel has class {num_classes - 1}, and {share:.0%} are ignored as 255: if that is "
            f"the class, set data.mask_values: {{255: {num_classes - 1}}}"
        )
    return ""


def are_objects(pixels: Sequence[np.ndarray]) -> bool:
    """Whether labels look like numbers of objects, from 1 or 0 in each mask, and not of classes.

    Args:
        pixels: of each label in each mask: int64 [256].
    """
    held = [of_mask[:IGNORE].nonzero()[0] for of_mask in pixels]
    last = np.array([labels.max() for labels in held if len(labels) and labels.max()])
    if not len(last) or last.max() < _FEWEST_OBJECTS or len(set(last.tolist())) < _FEWEST_COUNTS:
        return False
    # Some objects lie below others.
    filled = sum(len(labels) - (labels[0] == 0) for labels in held if len(labels))
    return bool(filled > _MOSTLY * last.sum())


def objects_text(pixels: np.ndarray) -> str:
    """What is odd about labels that are numbers of objects, from the pixels of each in all masks."""
    largest = int(pixels[:IGNORE].nonzero()[0].max())
    return (
        f"each mask holds nearly all numbers from 1 to its largest, which differs (up to {largest}), so they "
        f"seem to be numbers of objects: save class numbers, or set data.num_classes: {largest + 1} if each "
        "is a class"
    )


def _not_numbered(classes: Sequence[int], ignored: float, mask_values: Mapping[int, int]) -> str:
    """What is wrong with labels of which most numbers are no class, and the line that is probably meant.

    Args:
        classes: which occur, as `mask_values` make them of the labels in the files.
        ignored: share of the pixels.
    """
    count, labels = 1 + classes[-1], {wanted: label for label, wanted in mask_values.items()}
    held = sorted(labels.get(number, number) for number in classes)
    told = ", ".join(map(str, held[:_SHOWN])) + (", ..." if len(held) > _SHOWN else "")
    told += f" and the ignored 255 ({ignored:.0%} of the pixels)" if ignored else ""
    lost = [label for label, wanted in mask_values.items() if wanted != IGNORE and wanted not in classes]
    absent = count - len(classes)
    found = f"masks hold {told}; as class numbers they are {count} classes, {absent} without a pixel"
    if lost:
        found += f"; none holds {some(list(map(str, lost)))}, which data.mask_values names"
    if len(held) > _SHOWN:
        return f"{found}: resized with interpolation? Save them anew, or set data.num_classes"
    is_scaled = _is_scaled(held)
    if ignored and _is_scaled([*held, IGNORE]):
        held, is_scaled = [*held, IGNORE], True
    values = ", ".join(f"{label}: {number}" for number, label in enumerate(held) if label != number)
    line = f"set data.mask_values: {{{values}}} if each is a class"
    if ignored and held[-1] != IGNORE:
        line += f", with 255: {len(held)} if 255 is one too"
    return f"{found}; {line}" + ("" if is_scaled else f", or data.num_classes: {count} if others may occur")


def _is_scaled(held: Sequence[int]) -> bool:
    """Whether the labels are the class numbers times something, rounded up or down."""
    step = held[-1] / (len(held) - 1) if len(held) > 1 else 0.0
    return step > 1.0 and all(abs(label - number * step) < 1.0 for number, label in enumerate(held))
