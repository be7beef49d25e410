"""Masks with a file for each class: masks/<class>/7.png, masks/7_<class>.png, or both at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trainables.findings import some
from trainables.images.layouts.base import Parts

_SEPARATORS = "_-. "


@dataclass(frozen=True)
class ClassMasks:
    """The masks below a folder, those of one sample together."""

    stems: Mapping[str, Path]
    """One file of each sample, by the name without that of the class."""
    files: Mapping[Path, tuple[Path | None, ...]]
    """The file of each class, by the one in `stems`; empty where masks have no files for classes."""


def by_class(stems: Mapping[str, Path], classes: Sequence[str]) -> ClassMasks:
    """Put files together whose names differ in the class alone.

    Raises:
        ValueError: some files name a class, and others do not.
    """
    found: dict[str, dict[int, Path]] = {}
    others: list[str] = []
    for stem, file in stems.items():
        number, core = _class_of(stem, classes)
        if number is None:
            others.append(str(file))
        elif number in (known := found.setdefault(core, {})):
            raise ValueError(f"{file}: is a second mask of class {classes[number]}, like {known[number]}")
        else:
            known[number] = file
    if not found:
        return ClassMasks(stems, {})
    if others:
        raise ValueError(
            f"masks have a file for each class, and {len(others)} name none of {', '.join(classes)}: "
            f"{some(others, 3)}; rename or remove them, or correct data.class_names"
        )
    together = {
        core: tuple(files.get(number) for number in range(len(classes))) for core, files in found.items()
    }
    first = {core: next(file for file in files if file is not None) for core, files in together.items()}
    return ClassMasks(first, {first[core]: files for core, files in together.items()})


def _class_of(stem: str, classes: Sequence[str]) -> tuple[int | None, str]:
    """The class that a name without suffix names, and the rest of it."""
    *folders, name = stem.split("/")
    numbers = {each.lower(): number for number, each in enumerate(classes)}
    found = next((numbers[folder.lower()] for folder in folders if folder.lower() in numbers), None)
    if found is not None:
        folders = [folder for folder in folders if folder.lower() != classes[found].lower()]
    for text, number in sorted(numbers.items(), key=lambda item: -len(item[0])):
        if found not in (None, number) or text.isdigit():  # numbers are rather those of images
            continue
        if name.lower().endswith(text) and name[: -len(text)][-1:] in tuple(_SEPARATORS):
            return number, "/".join([*folders, name[: -len(text) - 1]])
    return found, "/".join([*folders, name])


def with_class_masks(
    parts: Parts, files: Mapping[Path, tuple[Path | None, ...]], classes: Sequence[str]
) -> tuple[Parts, str]:
    """The samples with the file of each class, and what is to be said of those that lack some."""
    if not files:
        return parts, ""
    whole = {
        part: [replace(sample, class_masks=files.get(Path(str(sample.target)), ())) for sample in samples]
        for part, samples in parts.items()
    }
    lacking = Counter(
        name
        for samples in whole.values()
        for sample in samples
        for name, file in zip(classes, sample.class_masks, strict=False)
        if file is None
    )
    total = sum(map(len, whole.values()))
    absent = ", ".join(f"{count} of {name}" for name, count in lacking.items())
    told = f"each class has a mask file of its own; of {total} samples lack one: {absent}, taken as absent"
    return whole, told if lacking else ""
