"""Masks of classes that overlap, as far as they can be told from others: files for classes, and planes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from search.commands.init.folders import masks_in
from search.commands.init.recognized import Recognized
from trainables.findings import some
from trainables.images.bands import end_of_channels, is_array, label_shape, read_labels
from trainables.images.layouts.find import find_pairs
from trainables.images.layouts.plain import PlainLayout, files_of
from trainables.images.layouts.root import DataRoot
from trainables.images.masks.reading import read_numbers
from trainables.images.options import MOST_OVERLAPPING, MaskFolderOptions

_LOOKED_AT = 8
"""Masks that are read to tell them from others."""
_SEPARATORS = "_-. "
_IGNORED = 255
_BY_SUFFIX = "the suffixes of their masks, in an order of your own"


def overlapping_in(folder: Path, given: str) -> Recognized | None:
    """Images and masks of classes that overlap; None where there are none, or they cannot be told."""
    root = DataRoot(MaskFolderOptions(source="folder", root=str(folder)))
    layout, options = PlainLayout(), MaskFolderOptions(source="folder", root=str(folder))
    try:
        parts = files_of(root, options) if layout.is_here(root, options) else {}
        images = {stem for files in parts.values() for stem in files.image_stems}
        masks = {stem: file for files in parts.values() for stem, file in files.mask_stems.items()}
        names, order = _classes_of_files(images, masks)
        if not names:
            names, order = _planes(images, masks), "the name of each plane in turn"
        if not names:
            return None
        data: dict[str, Any] = {
            "source": "folder",
            "root": given,
            "labels": "multilabel",
            "class_names": names,
        }
        options = MaskFolderOptions.model_validate({**data, "root": str(folder)})
        root = DataRoot(options)
        root.mask_classes = tuple(names)
        pairs = find_pairs(layout, root, options, with_orphans=True)
    except (ValueError, OSError, ValidationError):
        return None
    how = "planes of 0 and 1" if order.startswith("the name") else "a mask file for each class"
    counts = f"{len(pairs['train']):,} to train, {len(pairs['valid']):,} to validate"
    reasons = {
        "root": f"images and masks: {counts}",
        "labels": f"{how}, so that a pixel may have several",
        "class_names": order,
    }
    return Recognized("masks", "segmentation", data, reasons) if any(pairs.values()) else None


def _classes_of_files(images: Collection[str], masks: Mapping[str, Path]) -> tuple[list[str], str]:
    """The classes that the names of all masks name, beside that of an image, and what is said of their order.

    None where some masks name none, or hold more than one class.
    """
    named = {stem: _class_of(stem, images) for stem in masks}
    classes = sorted({name for name in named.values() if name})
    if not all(named.values()) or not 2 <= len(classes) <= MOST_OVERLAPPING:
        return [], ""
    for name in classes:
        files = [masks[stem] for stem in sorted(masks) if named[stem] == name]
        if not all(map(_is_of_one_class, files[:_LOOKED_AT])):
            return [], ""
    in_folders = all(name in stem.split("/")[:-1] for stem, name in named.items())
    return classes, "in an order of your own" if in_folders else _BY_SUFFIX


def _class_of(stem: str, images: Collection[str]) -> str:
    """`field` of the masks field/7 and 7_field of an image 7; empty where an image has this very name."""
    *folders, name = stem.split("/")
    if stem in images:
        return ""
    for index, folder in enumerate(folders):
        rest = [*folders[:index], *folders[index + 1 :]]
        cores = (name, *(name[: -len(folder) - 1] for sign in _SEPARATORS if name.endswith(sign + folder)))
        if any("/".join([*rest, core]) in images for core in cores):
            return folder
    cuts = (at for at in range(len(name) - 1, 0, -1) if name[at] in _SEPARATORS)
    found = next((at for at in cuts if "/".join([*folders, name[:at]]) in images), None)
    # Numbers are rather those of parts, or of objects, than names of classes.
    return "" if found is None or name[found + 1 :].isdigit() else name[found + 1 :]


def _is_of_one_class(file: Path) -> bool:
    """Whether a mask holds 0 and at most one other number."""
    held = np.unique(read_numbers(file))
    return len(held) <= 2 and (len(held) < 2 or held[0] == 0)


def _planes(images: Collection[str], masks: Mapping[str, Path]) -> list[str]:
    """A name for each plane of masks that are arrays of planes of 0 and 1."""
    files = [masks[stem] for stem in sorted(set(images) & masks.keys())[:_LOOKED_AT]]
    shapes = [label_shape(file) if is_array(file) else () for file in files]
    if not files or not all(len(shape) == 3 for shape in shapes):
        return []
    counts = {shape[0] if end_of_channels(shape) == 0 else shape[2] for shape in shapes}
    values = {int(value) for file in files for value in np.unique(read_labels(file))}
    if len(counts) != 1 or not values <= {0, 1, _IGNORED} or not 2 <= max(counts) <= MOST_OVERLAPPING:
        return []
    return [f"class_{number}" for number in range(max(counts))]


def one_class_a_pixel(recognized: Recognized) -> Recognized | None:
    """The same images with masks of one class a pixel, where they were taken for classes that overlap.

    Raises:
        UnrecognizedError: something is missing for that.
    """
    if recognized.data.get("labels") != "multilabel":
        return None
    return masks_in(Path(recognized.data["root"]).expanduser(), recognized.data["root"])


def note_of_suffixes(recognized: Recognized) -> str:
    """What cannot be told of classes that are suffixes of masks; empty where they are not."""
    if recognized.reasons.get("class_names") != _BY_SUFFIX:
        return ""
    names = list(recognized.data["class_names"])
    return (
        f"the suffixes of the masks ({some(names, 4)}) are taken for classes that may overlap. If they are "
        "of raters, or of auxiliary masks, which cannot be told apart, leave out labels and class_names, "
        f"and set mask_suffix to one of them, such as _{names[0]}"
    )


def note_of_bits(recognized: Recognized, labels: Collection[str]) -> str:
    """What cannot be told of masks of numbers, if they might be bits; empty where they cannot."""
    options = recognized.data
    known = {"colors", "labels", "class_names", "layout"} & options.keys()
    if recognized.kind != "masks" or known or options["source"] != "folder":
        return ""
    if len(labels) < 4 or not all(label.isdigit() for label in labels):
        return ""
    highest = max(map(int, set(labels) - {str(options.get("ignore_index", _IGNORED))}))
    if highest.bit_length() > len(labels):  # sums of so many classes would hold more numbers
        return ""
    held = some(list(labels), 4)
    return (
        f"the numbers in the masks ({held}) are taken for classes, of which a pixel has one. If they are "
        "sums of 1, 2, 4, …, one for each class that the pixel has, which cannot be told apart, set labels: "
        "multilabel and class_names"
    )
