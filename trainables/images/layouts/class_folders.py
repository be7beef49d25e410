"""A folder of images for each class, with or without train/ and val/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainables.findings import some
from trainables.images.layouts.base import Parts
from trainables.images.layouts.class_lists import Classes, class_lists, split_by_class_lists
from trainables.images.layouts.files import by_form
from trainables.images.layouts.root import DataRoot, no_images
from trainables.images.layouts.splits import TRAIN_NAMES, VALID_NAMES, chosen_by_hash
from trainables.images.options import ClassFolderOptions
from trainables.images.targets import Encoded
from trainables.text_file import plain_form

_TEST_NAMES = ("test", "Test", "TEST", "testing", "Testing")


def find_classes(root: DataRoot, options: ClassFolderOptions) -> tuple[list[str], Parts]:
    """The names of the classes, and the images of "train" and "valid", class after class.

    Unless there is a folder or a list for each part, every class gives its share to validation, the names
    with the smallest hashes: the same ones wherever the folder lies, and whatever is added to other classes.

    Raises:
        ValueError: if the folder has no known layout, a class is empty or stands in validation only, or a
            file leads out of the folder.
    """
    if not root.path.is_dir():
        raise ValueError(
            f"data.root is {root.path}; it must be a folder with a folder of images for each class"
        )
    train_folder, valid_folder = root.subfolder(TRAIN_NAMES), root.subfolder(VALID_NAMES)
    lists = class_lists(root)
    if not (root.path / train_folder).is_dir():
        classes = _classes(root, root.path)
        if lists:
            train, valid = split_by_class_lists(root, classes, lists)
        else:
            train, valid = _split_by_hash(classes, options)
    elif (root.path / valid_folder).is_dir():
        train, valid = _split_folders(root, root.path / train_folder, root.path / valid_folder)
    else:
        train, valid = _split_training(root, root.path / train_folder, options)
    if lists and (root.path / train_folder).is_dir():
        unread = " and ".join(file.name for file in lists.values())
        root.notes.append(f"{root.path}: {unread} are not read, as {train_folder}/ is there")
    names = list(train)
    if len(names) < 2:
        raise ValueError(f"{root.path}: holds the one class {names[0]!r}; there must be at least two")
    if not any(valid.values()) and options.folds is None:
        raise ValueError(
            f"{root.path}: each class has one image; training and validation need at least one each"
        )
    return names, {"train": _samples(names, train), "valid": _samples(names, valid)}


def _samples(names: Sequence[str], classes: Classes) -> list[Encoded]:
    return [
        Encoded((file,), number, str(file))
        for number, name in enumerate(names)
        for file in classes.get(name, ())
    ]


def _split_training(root: DataRoot, train: Path, options: ClassFolderOptions) -> tuple[Classes, Classes]:
    """Training classes that give their share to validation, as it has no folder of its own."""
    wanted = ", ".join(f"{name}/" for name in VALID_NAMES)
    others = [name for name in root.subfolders(root.path) if name not in (train.name, *_TEST_NAMES)]
    if others:
        raise ValueError(
            f"{root.path}: has {train.name}/ and none of {wanted}; a split folder needs both: add one, or "
            f"move {some(others)}, then validation is taken from {train.name}/ (no class may have its name)"
        )
    if options.folds is None:
        root.notes.append(
            f"{root.path}: there is no folder of validation data ({wanted}): {options.valid_fraction:.0%} of "
            f"{train} are kept for it (data.valid_fraction)"
        )
    return _split_by_hash(_classes(root, train), options)


def _split_folders(root: DataRoot, train_root: Path, valid_root: Path) -> tuple[Classes, Classes]:
    train, found = _classes(root, train_root), _classes(root, valid_root)
    forms = by_form(train)
    valid = {name if name in train else forms.get(plain_form(name)) or name: found[name] for name in found}
    unknown = [name for name in valid if name not in train]
    if unknown:
        raise ValueError(
            f"{valid_root / unknown[0]}: is a class that {train_root} lacks, of {len(unknown)} such; "
            f"validation may only have training classes: {some(train)}"
        )
    if len(valid) < len(found):
        raise ValueError(f"{valid_root}: has two folders for one class of {train_root}; names must agree")
    return train, valid


def _split_by_hash(classes: Classes, options: ClassFolderOptions) -> tuple[Classes, Classes]:
    train, valid = {}, {}
    for name, files in classes.items():
        chosen = chosen_by_hash([f"{name}/{file.name}" for file in files], options)
        train[name] = [file for file in files if f"{name}/{file.name}" not in chosen]
        valid[name] = [file for file in files if f"{name}/{file.name}" in chosen]
    return train, valid


def _classes(root: DataRoot, folder: Path) -> Classes:
    classes: dict[str, list[Path]] = {name: [] for name in root.subfolders(folder)}
    for file in root.walk(folder):
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
            raise ValueError(f"{no_images(folder / name)}; fill it, or remove the class")
    return classes
