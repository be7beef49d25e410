"""A folder of images for each class, with or without train/ and val/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from trainables.findings import some
from trainables.images.layouts.base import Parts
from trainables.images.layouts.files import walk
from trainables.images.layouts.splits import VALID_NAMES, chosen_by_hash
from trainables.images.options import ClassFolderOptions
from trainables.images.targets import Encoded

Classes = Mapping[str, Sequence[Path]]
"""Images by class, both sorted by name."""


def find_classes(root: Path, options: ClassFolderOptions) -> tuple[list[str], Parts]:
    """The names of the classes, and the images of "train" and "valid", class after class.

    Unless there is a folder for each part, every class gives its share to validation, the names with the
    smallest hashes: the same ones wherever the folder lies, and whatever is added to other classes.

    Raises:
        ValueError: if the folder has no known layout, a class is empty or stands in validation only, or a
            file leads out of the folder.
    """
    if not root.is_dir():
        raise ValueError(f"data.root is {root}; it must be a folder with a folder of images for each class")
    if (root / "train").is_dir():
        train, valid = _split_folders(root)
    else:
        train, valid = _split_by_hash(_classes(root, root), options)
    names = list(train)
    if len(names) < 2:
        raise ValueError(f"{root}: holds the one class {names[0]!r}; there must be at least two")
    if not any(valid.values()):
        raise ValueError(f"{root}: each class has one image; training and validation need at least one each")
    return names, {"train": _samples(names, train), "valid": _samples(names, valid)}


def _samples(names: Sequence[str], classes: Classes) -> list[Encoded]:
    return [
        Encoded((file,), number, str(file))
        for number, name in enumerate(names)
        for file in classes.get(name, ())
    ]


def _split_folders(root: Path) -> tuple[Classes, Classes]:
    valid_root = next((root / name for name in VALID_NAMES if (root / name).is_dir()), None)
    if valid_root is None:
        wanted = ", ".join(f"{name}/" for name in VALID_NAMES)
        raise ValueError(f"{root}: has train/ and none of {wanted}; a split folder needs both")
    train, valid = _classes(root, root / "train"), _classes(root, valid_root)
    unknown = [name for name in valid if name not in train]
    if unknown:
        raise ValueError(
            f"{valid_root / unknown[0]}: is a class that {root / 'train'} lacks, of {len(unknown)} such; "
            f"validation may only have training classes: {some(train)}"
        )
    return train, valid


def _split_by_hash(classes: Classes, options: ClassFolderOptions) -> tuple[Classes, Classes]:
    train, valid = {}, {}
    for name, files in classes.items():
        chosen = chosen_by_hash([f"{name}/{file.name}" for file in files], options)
        train[name] = [file for file in files if f"{name}/{file.name}" not in chosen]
        valid[name] = [file for file in files if f"{name}/{file.name}" in chosen]
    return train, valid


def _classes(root: Path, folder: Path) -> Classes:
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    classes: dict[str, list[Path]] = {entry.name: [] for entry in entries if entry.is_dir()}
    for file in walk(root, folder):
        name, *below = file.relative_to(folder).parts
        if not below:
            raise ValueError(
                f"{file}: belongs to no class; images must be in a folder of a class: {folder.name}/<class>/"
            )
        if len(below) > 1:
            where = folder / name
            raise ValueError(
                f"{where / below[0]}: is a folder inside a class; its images must be in {where} itself"
            )
        classes[name].append(file)
    if not classes:
        raise ValueError(f"{folder}: holds no folders; it must hold one for each class")
    for name, files in classes.items():
        if not files:
            raise ValueError(f"{folder / name}: holds no PNG or JPEG image; fill it, or remove the class")
    return classes
