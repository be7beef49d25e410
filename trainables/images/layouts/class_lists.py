"""train.txt and val.txt beside folders of classes: which image is for what."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainables.findings import some
from trainables.images.layouts.lists import is_header
from trainables.images.layouts.root import DataRoot, without_suffix
from trainables.images.layouts.splits import check_disjoint
from trainables.text_file import plain_form, visible

LISTS = {"train": ("train.txt",), "valid": ("val.txt", "valid.txt", "validation.txt")}
RULE = "a line holds the path of an image, as class/name.png, with or without its class or its number"

Classes = Mapping[str, Sequence[Path]]
"""Images by class, both sorted by name."""


def class_lists(root: DataRoot) -> dict[str, Path]:
    """The lists in the root, of "train" and "valid"."""
    found = {part: root.file(names) for part, names in LISTS.items()}
    return {part: file for part, file in found.items() if file is not None}


def split_by_class_lists(
    root: DataRoot, classes: Classes, lists: Mapping[str, Path]
) -> tuple[Classes, Classes]:
    """The images that each list names; classes of which none is named are left out.

    Raises:
        ValueError: if one of two lists is missing, a line names no image or another class than its folder, an
            image is in both lists, or a class is in that of validation only.
    """
    if lacking := LISTS.keys() - lists.keys():
        there, missing = next(iter(lists.values())), LISTS[lacking.pop()][0]
        raise ValueError(
            f"{there}: there is no {missing} beside it; a split needs both: add it, or rename {there.name}, "
            "then the split is by data.valid_fraction"
        )
    known = _by_path(root, classes)
    numbers: dict[str, str] = {}
    named = {part: _named(root, file, known, numbers) for part, file in lists.items()}
    origin = " and ".join(map(str, lists.values()))
    several = [name for name in classes if [*numbers.values()].count(name) > 1]
    if several:
        texts = some(text for text, name in numbers.items() if name == several[0])
        root.notes.append(f"{origin}: have {texts} for {several[0]}/; only the folders are classes")
    check_disjoint({part: [str(file) for file in files] for part, files in named.items()}, origin)
    unused = sum(map(len, classes.values())) - sum(map(len, named.values()))
    if unused:
        root.notes.append(f"{origin}: {unused} images are in neither list and are not used")
    train, valid = (
        {name: [file for file in files if file in named[part]] for name, files in classes.items()}
        for part in ("train", "valid")
    )
    untrained = [name for name, files in valid.items() if files and not train[name]]
    if untrained:
        raise ValueError(
            f"{lists['valid']}: names images of {some(untrained)}, of which {lists['train']} names none; "
            "validation may only have training classes"
        )
    kept = [name for name, files in train.items() if files]
    if len(kept) < len(classes):
        root.notes.append(
            f"{origin}: name no image of {some(sorted(classes.keys() - kept))}: these are no classes"
        )
    return {name: train[name] for name in kept}, {name: valid[name] for name in kept}


def _by_path(root: DataRoot, classes: Classes) -> dict[str, tuple[str, Path]]:
    """Class and file of each image by its path below the root, also without suffix or in another case if one
    file is meant."""
    known, others = dict[str, tuple[str, Path]](), dict[str, list[tuple[str, Path]]]()
    for name, files in classes.items():
        for file in files:
            path = file.relative_to(root.path).as_posix()
            known[path] = name, file
            for other in {without_suffix(path), plain_form(path), plain_form(without_suffix(path))} - {path}:
                others.setdefault(other, []).append((name, file))
    return {**{other: each[0] for other, each in others.items() if len(each) == 1}, **known}


def _named(
    root: DataRoot, list_file: Path, known: Mapping[str, tuple[str, Path]], numbers: dict[str, str]
) -> set[Path]:
    """The images of a list; `numbers` is the class that each text beside an image stands for so far."""
    found, lost = set[Path](), list[str]()
    for number, text in root.read_lines(list_file):
        sample, label = _found(root, text, known)
        if sample is None:
            if not text.startswith("#") and not (number == 1 and is_header(text)):
                lost.append(f"line {number}, '{visible(text)}'")
            continue
        name, file = sample
        if label and numbers.setdefault(label, name) != name:
            raise ValueError(
                f"{list_file}:{number}: has the class {visible(label)} for an image in {name}/, and "
                f"{numbers[label]}/ had it before; classes are the folders: correct the line, or "
                "move the image"
            )
        found.add(file)
    if lost or not found:
        problem = f"{some(lost, 3)} names no image" if lost else "no line names an image"
        raise ValueError(
            f"{list_file}: {problem} below {root.path}; {RULE}: correct it, or rename the list, then the "
            "split is by data.valid_fraction"
        )
    return found


def _found(
    root: DataRoot, text: str, known: Mapping[str, tuple[str, Path]]
) -> tuple[tuple[str, Path] | None, str]:
    """The image that a line names, and the one word that stands beside it."""
    plain = text.strip("\"'")
    columns = [(plain, ""), *((plain[: gap.start()], plain[gap.end() :]) for gap in _gaps(plain))]
    for path, label in columns:
        below = path.strip("\"'").replace("\\", "/")
        for folder in (root.given, root.path, root.path.name):
            below = below.removeprefix(f"{folder}/")
        below = os.path.normpath(below)
        if (sample := known.get(below) or known.get(plain_form(below))) is not None:
            return sample, "" if _gaps(label) else label.strip("\"'")
    return None, ""


def _gaps(text: str) -> list[re.Match[str]]:
    return list(re.finditer(r"\s*[\t,;]\s*|\s+", text))
