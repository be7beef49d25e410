"""Tar files of samples: which are for validation, what their members are, and which classes they have."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from search.commands.init.recognized import Recognized, UnrecognizedError
from search.text import counted
from trainables.findings import some
from trainables.images.masks.labels import MOST_CLASSES
from trainables.images.masks.reading import read_mask
from trainables.images.options import ClassShardsOptions, MaskShardsOptions
from trainables.images.stored import Stored
from trainables.shards import ShardReader, index_shards
from trainables.shards.sample import Sample
from trainables.text_file import read_text, stripped_lines

_VALID = ("val", "valid", "validation")
_NUM_MASKS = 256
"""Masks of shards that are read for the number of classes."""
_IGNORED = 255

Report = Callable[[str, int, int], None]
"""What is read, how much of it so far, and of how much."""


def shards_in(folder: Path, given: str, report: Report) -> Recognized | None:
    """Shards of images with classes or masks; None where there are no tar files.

    Raises:
        UnrecognizedError: their samples are neither, or there is one shard.
    """
    parts, why = _parts(folder)
    if not parts:
        return None
    try:
        index, _ = index_shards(parts["train"])
        reader = ShardReader(index)
        sample = reader.read(0)
    except ValueError as error:
        raise UnrecognizedError(str(error)) from error
    patterns = {part: _pattern(folder, files) for part, files in parts.items()}
    data: dict[str, Any] = {"source": "shards", "root": given, **patterns}
    told = f"{counted(len(index), 'sample')} in {counted(len(parts['train']), 'shard')}"
    reasons = {"train": told, "valid": why}
    image, target = _members(sample)
    if image not in ClassShardsOptions.model_fields["image"].default:
        data["image"] = image
    names = _listed(folder)
    if target == "cls":
        data["class_names"] = names or _class_names(reader, len(index), report)
        reasons["class_names"] = (
            "classes.txt" if names else "the numbers that occur; give them names in this order"
        )
        return Recognized("classes", "classification", data, reasons)
    if target not in MaskShardsOptions.model_fields["mask"].default:
        data["mask"] = target
    if names:
        data["class_names"], reasons["class_names"] = names, "classes.txt"
    else:
        data["num_classes"], reasons["num_classes"] = _num_classes(reader, len(index), target, report)
    return Recognized("masks", "segmentation", data, reasons)


def _parts(folder: Path) -> tuple[dict[str, list[Path]], str]:
    """The shards of training and of validation, and how these were chosen."""
    files = sorted(path for path in folder.glob("*.tar") if not path.name.startswith("."))
    below = {path.name: sorted(path.glob("[!.]*.tar")) for path in folder.iterdir() if path.is_dir()}
    trains = [file for file in files if re.match(r"train", file.name, re.IGNORECASE)] or below.get(
        "train", []
    )
    valids = [file for file in files if re.match(r"val", file.name, re.IGNORECASE)]
    valids = valids or next((below[name] for name in _VALID if below.get(name)), [])
    if not files and not trains:
        return {}, ""
    if trains and valids:
        return {"train": trains, "valid": valids}, counted(len(valids), "shard") + " by name"
    rest = trains or files
    if len(rest) < 2:
        raise UnrecognizedError(
            f"{folder}: has the one shard {rest[0].name}; training and validation need at least one each: "
            "write several, as val-000000.tar for validation"
        )
    kept = max(1, round(0.2 * len(rest)))
    told = "none is called val: the last of the shards"
    return {"train": rest[:-kept], "valid": rest[-kept:]}, told


def _pattern(folder: Path, files: Sequence[Path]) -> str | list[str]:
    """A name, or a range in braces, that means these files."""
    names = [file.relative_to(folder).as_posix() for file in files]
    if len(names) == 1:
        return names[0]
    numbered = [re.fullmatch(r"(.*?)(\d+)(\.tar)", name) for name in names]
    first, last = numbered[0], numbered[-1]
    if first and last:
        meant = range(int(first[2]), int(last[2]) + 1)
        wanted = [f"{first[1]}{number:0{len(first[2])}d}.tar" for number in meant]
        if wanted == names:
            return f"{first[1]}{{{first[2]}..{last[2]}}}.tar"
    return names


def _members(sample: Sample) -> tuple[str, str]:
    """The extensions of image and target.

    Raises:
        UnrecognizedError: there are none that are read.
    """
    found = list(sample.members)
    image = next((each for each in ("jpg", "jpeg", "png", "webp", "tif", "tiff") if each in found), None)
    masks = [each for each in found if each.endswith("png") and each != image]
    target = "cls" if "cls" in found else (masks[0] if masks else None)
    if image is None or target is None:
        raise UnrecognizedError(
            f"{sample.shard}: sample {sample.key} has the members {some(sorted(found))}; a sample must have "
            "an image (jpg, png) and a class number (cls) or a mask (mask.png)"
        )
    return image, target


def _listed(folder: Path) -> list[str]:
    file = folder / "classes.txt"
    return [line for _, line in stripped_lines(read_text(file))] if file.is_file() else []


def _class_names(reader: ShardReader, number: int, report: Report) -> list[str]:
    largest = 0
    for place in range(number):
        report("reading class numbers", place, number)
        largest = max(largest, reader.read(place).integer("cls"))
    return [str(label) for label in range(max(2, largest + 1))]


def _num_classes(reader: ShardReader, number: int, target: str, report: Report) -> tuple[int, str]:
    largest, looked = 0, min(number, _NUM_MASKS)
    for place in range(looked):
        report("reading masks", place, looked)
        sample = reader.read(place * number // looked)
        labels = read_mask(Stored(sample.name(target), sample.bytes(target)))
        labels = labels[labels != _IGNORED]
        largest = max(largest, int(labels.max()) if labels.size else 0)
    if largest + 1 > MOST_CLASSES:
        raise UnrecognizedError(
            f"masks hold labels up to {largest}, which are hardly classes: write classes.txt with their names"
        )
    told = f"the largest label in {looked} of {counted(number, 'mask')} is {largest}"
    return max(2, largest + 1), told
