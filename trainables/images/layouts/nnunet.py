"""nnU-Net (Isensee et al. 2021) in two dimensions: imagesTr/, labelsTr/ and dataset.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.findings import some
from trainables.images.augment import IGNORE
from trainables.images.layouts.base import Convention, Pair
from trainables.images.layouts.files import Folders, pair_all, read_text
from trainables.images.layouts.splits import check_disjoint, split_by_hash
from trainables.images.options import MaskFolderOptions

IMAGES, MASKS, DESCRIPTION, SPLITS = "imagesTr", "labelsTr", "dataset.json", "splits_final.json"
FIRST_CHANNEL = "_0000"
CHANNEL = re.compile(r"_\d{4}$")


class NnunetLayout:
    """`<case>_0000.png` is an image, or its first channel where `<case>_0001.png` and so on are there too.

    Split as the fold of splits_final.json says, if it is there, else by hash. imagesTs has no labels and is
    not used.
    """

    expected = f"{IMAGES}/, {MASKS}/ and {DESCRIPTION} (nnU-Net)"
    takes_lists = False

    def is_here(self, root: Path, options: MaskFolderOptions) -> bool:
        return all((root / name).is_dir() for name in (IMAGES, MASKS))

    def find(self, root: Path, options: MaskFolderOptions, with_orphans: bool) -> dict[str, list[Pair]]:
        _check_format(root)
        folders = Folders(root, root / IMAGES, root / MASKS, image_suffix=FIRST_CHANNEL)
        further = _take_further_channels(folders)
        advice = f"An image is called <case>{FIRST_CHANNEL}.png and its mask <case>.png"
        pairs = {
            name: Pair(pair.image, pair.mask, further.get(name, ()))
            for name, pair in pair_all(folders, with_orphans, advice).items()
        }
        file = root / SPLITS
        return _split_by_fold(root, file, pairs, options) if file.is_file() else split_by_hash(pairs, options)

    def convention(self, root: Path, options: MaskFolderOptions) -> Convention:
        file = root / DESCRIPTION
        labels = _object(root, file, "labels")
        for name, label in labels.items():
            if not isinstance(label, int) or not 0 <= label < IGNORE:
                raise ValueError(
                    f"{file}: label {name} is {label!r}; only numbers below {IGNORE} can be used, no regions"
                )
        ignored = labels.pop("ignore", None)
        names = sorted(labels, key=lambda name: labels[name])
        if [labels[name] for name in names] != list(range(len(names))):
            raise ValueError(f"{file}: labels are {sorted(labels.values())}; they must be 0, 1, 2, …")
        mapping = {number: number for number in range(len(names))}
        return Convention(mapping if ignored is None else {**mapping, ignored: IGNORE}, tuple(names))


def _check_format(root: Path) -> None:
    ending = _read_json(root, root / DESCRIPTION).get("file_ending", ".png")
    if ending != ".png":
        raise ValueError(f"{root / DESCRIPTION}: file_ending is {ending}; only 2-D data in .png can be read")


def _take_further_channels(folders: Folders) -> dict[str, tuple[Path, ...]]:
    """The files of each case after its first, in order, taken out of `folders.image_files`.

    Raises:
        ValueError: if a file's name has no channel, or a case lacks a channel that another has.
    """
    strange = [file for stem, file in folders.image_files.items() if not CHANNEL.search(stem)]
    if strange:
        raise ValueError(f"{some(map(str, strange))}: has no channel; names must end in {FIRST_CHANNEL} etc.")
    channels = sorted({stem[-5:] for stem in folders.image_files} - {FIRST_CHANNEL})
    names = sorted({stem[:-5] for stem in folders.image_files})
    lost = [
        name + channel for name in names for channel in channels if name + channel not in folders.image_files
    ]
    if lost:
        raise ValueError(f"{folders.images}: lacks {some(lost)}; every case must have the same channels")
    further = {
        name: tuple(folders.image_files[name + channel] for channel in channels) for name in names if channels
    }
    for stem in [stem for stem in folders.image_files if not stem.endswith(FIRST_CHANNEL)]:
        del folders.image_files[stem]
    return further


def _split_by_fold(
    root: Path, file: Path, pairs: Mapping[str, Pair], options: MaskFolderOptions
) -> dict[str, list[Pair]]:
    folds = _parse(file, read_text(root, file))
    if not isinstance(folds, list) or not all(_is_fold(fold) for fold in folds):
        raise ValueError(f'{file}: must be a list of {{"train": [names], "val": [names]}}')
    if options.fold >= len(folds):
        raise ValueError(f"{file}: has {len(folds)} folds and data.fold is {options.fold}; they begin with 0")
    fold = folds[options.fold]
    names = {"train": sorted(set(fold["train"])), "valid": sorted(set(fold["val"]))}
    check_disjoint(names, f"{file}: train and val of fold {options.fold}")
    lost = [name for of_part in names.values() for name in of_part if name not in pairs]
    if lost:
        raise ValueError(f"{file}: names {len(lost)} cases that are not there: {some(lost)}")
    if not (names["train"] and names["valid"]):
        raise ValueError(f"{file}: train or val of fold {options.fold} is empty; both need a case")
    return {part: [pairs[name] for name in of_part] for part, of_part in names.items()}


def _is_fold(fold: Any) -> bool:
    return isinstance(fold, dict) and all(
        isinstance(fold.get(part), list) and all(isinstance(name, str) for name in fold[part])
        for part in ("train", "val")
    )


def _object(root: Path, file: Path, key: str) -> dict[str, Any]:
    found = _read_json(root, file).get(key)
    if not isinstance(found, dict):
        raise ValueError(f"{file}: has no {key!r}; it must map the name of each class to its number")
    return dict(found)


def _read_json(root: Path, file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise ValueError(f"{file}: is not there; layout nnunet takes the classes from it")
    found = _parse(file, read_text(root, file))
    if not isinstance(found, dict):
        raise ValueError(f"{file}: must be a JSON object")
    return found


def _parse(file: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: is no JSON ({error})") from error
