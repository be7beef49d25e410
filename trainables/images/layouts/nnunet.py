"""nnU-Net (Isensee et al. 2021) in two dimensions: imagesTr/, labelsTr/ and dataset.json."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from trainables.findings import some
from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.formats import NAMES, SUFFIXES
from trainables.images.layouts.base import Convention, Layout, Parts
from trainables.images.layouts.files import Files
from trainables.images.layouts.root import DataRoot
from trainables.images.layouts.splits import check_disjoint, split_by_hash
from trainables.images.options import MaskFolderOptions
from trainables.images.targets import Encoded
from trainables.pairing import Affixes

IMAGES, MASKS, DESCRIPTION, SPLITS = "imagesTr", "labelsTr", "dataset.json", "splits_final.json"
FIRST_CHANNEL = "_0000"
CHANNEL = re.compile(r"_\d{4}$")


class Fold(TypedDict):
    train: list[str]
    val: list[str]


class NnunetLayout(Layout):
    """`<case>_0000.png` is an image, or its first channel where `<case>_0001.png` and so on are there too.

    Split as the fold of splits_final.json says, if that exists, else by hash. imagesTs has no labels and is
    not used.
    """

    name = "nnunet"
    expected = f"{IMAGES}/, {MASKS}/ and {DESCRIPTION} (nnU-Net)"
    recognized_by = (IMAGES, MASKS)

    def find(self, root: DataRoot, options: MaskFolderOptions, with_orphans: bool) -> Parts:
        ending = _description(root).get("file_ending", ".png")
        if ending not in SUFFIXES:
            raise ValueError(
                f"{root.path / DESCRIPTION}: file_ending is {ending}; only 2-D data in {NAMES} can be read: "
                'save the slices as PNG, and set "file_ending": ".png"'
            )
        files = Files(root, (IMAGES, MASKS))
        advice = f"An image is called <case>{FIRST_CHANNEL}.png and its mask <case>.png"
        if files.mask_stems and files.mask_stems.keys() <= files.image_stems.keys():
            root.notes.append(
                f"{files.images_folder}: no name ends in {FIRST_CHANNEL}: each image is one file"
            )
            files.pair_by(Affixes(), advice)
        else:
            files.pair_by(Affixes(image_suffix=FIRST_CHANNEL), advice)
            files.images = _channels(root, files.image_stems)
        pairs = files.pair_all(with_orphans)
        return _split_by_fold(root, pairs, options) or split_by_hash(pairs, options)

    def convention(self, root: DataRoot) -> Convention:
        labels = dict(_labels(root))
        ignored = labels.pop("ignore", None)
        names = sorted(labels, key=labels.__getitem__)
        if [labels[name] for name in names] != list(range(len(names))):
            raise ValueError(
                f"{root.path / DESCRIPTION}: labels are {sorted(labels.values())}; they must be 0, 1, 2, …: "
                "name those that are missing, or renumber the masks"
            )
        mapping = {number: number for number in range(len(names))}
        return Convention(mapping if ignored is None else {**mapping, ignored: IGNORE}, tuple(names))


def _labels(root: DataRoot) -> Mapping[str, int]:
    """The number of each label, as versions 1 and 2 write it.

    Raises:
        ValueError: there are none, or one is a region of several labels, or no number below `IGNORE`.
    """
    file, labels = root.path / DESCRIPTION, _description(root).get("labels")
    if not isinstance(labels, dict) or not labels:
        raise ValueError(f"{file}: has no 'labels'; it must map the name of each class to its number")
    if all(
        str(key).isdecimal() and isinstance(name, str) and not name.isdecimal()
        for key, name in labels.items()
    ):
        old = {name: int(number) for number, name in labels.items()}
        if len(old) < len(labels):
            raise ValueError(f"{file}: labels {labels} name a class twice; names must differ")
        root.notes.append(
            f"{file}: labels are written as by version 1 of nnU-Net, and read as {json.dumps(old)}"
        )
        return old
    if any(isinstance(label, list) for label in labels.values()):
        raise ValueError(_regions(file, labels))
    numbers = {name: int(x) if isinstance(x, str) and x.isdecimal() else x for name, x in labels.items()}
    for name, label in numbers.items():
        if not isinstance(label, int) or not 0 <= label < IGNORE:
            raise ValueError(
                f"{file}: label {name} is {label!r}; must be a whole number below {IGNORE}: "
                "correct it in 'labels'"
            )
    return numbers


def _regions(file: Path, labels: Mapping[str, Any]) -> str:
    """What to do about regions, which overlap: a name for each number in their place."""
    single: dict[int, str] = {}
    for name, label in labels.items():
        numbers = label if isinstance(label, list) else [label]
        if len(numbers) == 1 and isinstance(numbers[0], int):
            single.setdefault(numbers[0], name)
    held = {number for label in labels.values() for number in (label if isinstance(label, list) else [label])}
    named = {single.get(number, f"label {number}"): number for number in sorted(held, key=int)}
    region, label = next((name, label) for name, label in labels.items() if isinstance(label, list))
    return (
        f"{file}: label {region} is {label}, a region of several labels; here a pixel has one class: name "
        f'each label in turn, such as "labels": {json.dumps(named, ensure_ascii=False)}'
    )


def _channels(root: DataRoot, stems: Mapping[str, Path]) -> dict[str, tuple[Path, ...]]:
    """The files of each case, one for each channel.

    Raises:
        ValueError: if a file's name has no channel, or a case lacks a channel that another has.
    """
    strange = [file for stem, file in stems.items() if not CHANNEL.search(stem)]
    if strange:
        right = f"{strange[0].stem}{FIRST_CHANNEL}{strange[0].suffix}"
        raise ValueError(
            f"{some(map(str, strange))}: has no channel; names must end in {FIRST_CHANNEL} etc.: rename "
            f"it to {right}"
        )
    channels = [FIRST_CHANNEL, *sorted({stem[-5:] for stem in stems} - {FIRST_CHANNEL})]
    names = sorted({stem[:-5] for stem in stems})
    lost = [name + channel for name in names for channel in channels[1:] if name + channel not in stems]
    if lost:
        raise ValueError(f"{root.path / IMAGES}: lacks {some(lost)}; every case must have the same channels")
    return {
        name: tuple(stems[name + channel] for channel in channels)
        for name in names
        if name + FIRST_CHANNEL in stems
    }


def _split_by_fold(root: DataRoot, pairs: Mapping[str, Encoded], options: MaskFolderOptions) -> Parts | None:
    """As splits_final.json says; None where there is none."""
    file = root.path / SPLITS
    if not file.is_file():
        _refuse_pickle(file)
        return None
    try:
        folds = TypeAdapter(list[Fold]).validate_python(root.read_json(file), strict=True)
    except ValidationError as error:
        raise ValueError(f'{file}: must be a list of {{"train": [names], "val": [names]}}') from error
    if options.folds is not None:
        root.own_folds = _own_folds(file, folds, pairs, root, options)
    if options.fold >= len(folds):
        raise ValueError(
            f"{file}: has {len(folds)} folds and data.fold is {options.fold}; they are numbered from 0"
        )
    fold = folds[options.fold]
    names = {"train": sorted(set(fold["train"])), "valid": sorted(set(fold["val"]))}
    check_disjoint(names, f"{file}: train and val of fold {options.fold}")
    lost = [name for of_part in names.values() for name in of_part if name not in pairs]
    if lost:
        raise ValueError(f"{file}: names {len(lost)} cases that do not exist: {some(lost)}")
    if not (names["train"] and names["valid"]):
        raise ValueError(f"{file}: train or val of fold {options.fold} is empty; both need a case")
    return {part: [pairs[name] for name in of_part] for part, of_part in names.items()}


def _own_folds(
    file: Path,
    folds: Sequence[Fold],
    pairs: Mapping[str, Encoded],
    root: DataRoot,
    options: MaskFolderOptions,
) -> dict[str, int]:
    """The fold that validates each image, by its path: `data.folds` are those of the file.

    Raises:
        ValueError: there are others, or they are no cross-validation.
    """
    if options.folds != len(folds) or options.group is not None:
        wrong = (
            f"data.folds is {options.folds}" if options.group is None else f"data.group is {options.group!r}"
        )
        raise ValueError(
            f"{file}: has {len(folds)} folds, which are taken, and {wrong}: set data.folds to {len(folds)} "
            "without data.group, or move the file away"
        )
    found: dict[str, int] = {}
    for number, fold in enumerate(folds):
        for name in fold["val"]:
            if name in found:
                raise ValueError(
                    f"{file}: {name} is in val of the folds {found[name]} and {number}; must be in one"
                )
            found[name] = number
    for number, fold in enumerate(folds):
        if set(fold["train"]) != found.keys() - set(fold["val"]):
            raise ValueError(
                f"{file}: train of fold {number} is not all that val of the others holds; correct it"
            )
    if lost := sorted(found.keys() - pairs.keys()):
        raise ValueError(f"{file}: names {len(lost)} cases that do not exist: {some(lost)}")
    root.notes.append(f"{file}: its {len(folds)} folds are taken (data.folds)")
    images = {name: Path(str(pairs[name].images[0])) for name in found}
    return {image.relative_to(root.path).as_posix(): found[name] for name, image in images.items()}


def _refuse_pickle(file: Path) -> None:
    """The folds of version 1 of nnU-Net would run any code that is in them."""
    if (old := file.with_suffix(".pkl")).is_file():
        script = (
            "import json, pickle, sys; print(json.dumps([{part: list(map(str, names)) for part, names in "
            "fold.items()} for fold in pickle.load(sys.stdin.buffer)]))"
        )
        raise ValueError(
            f"{old}: is a pickle, which is not read, as it can run any code. If you trust it: "
            f'python3 -c "{script}" < {shlex.quote(str(old))} > {shlex.quote(str(file))}; '
            "else remove it, and the split is by data.valid_fraction"
        )


def _description(root: DataRoot) -> dict[str, Any]:
    file = root.path / DESCRIPTION
    if not file.is_file():
        raise ValueError(f"{file}: does not exist; layout nnunet takes the classes from it")
    found = root.read_json(file)
    if not isinstance(found, dict):
        raise ValueError(f"{file}: must be a JSON object")
    return found
