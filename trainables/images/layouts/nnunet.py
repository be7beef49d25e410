"""nnU-Net (Isensee et al. 2021) in two dimensions: imagesTr/, labelsTr/ and dataset.json."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from trainables.findings import some
from trainables.images.augment import IGNORE
from trainables.images.layouts.base import Convention, Layout, Parts
from trainables.images.layouts.files import Files, Naming, read_text
from trainables.images.layouts.splits import check_disjoint, split_by_hash
from trainables.images.options import MaskFolderOptions
from trainables.images.targets import Encoded

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

    def find(self, root: Path, options: MaskFolderOptions, with_orphans: bool) -> Parts:
        ending = _description(root).get("file_ending", ".png")
        if ending != ".png":
            raise ValueError(
                f"{root / DESCRIPTION}: file_ending is {ending}; only 2-D data in .png can be read"
            )
        advice = f"An image is called <case>{FIRST_CHANNEL}.png and its mask <case>.png"
        files = Files(root, IMAGES, MASKS, Naming(image_suffix=FIRST_CHANNEL, advice=advice))
        files.images = _channels(root, files.image_stems)
        pairs = files.pair_all(with_orphans)
        return _split_by_fold(root, pairs, options) or split_by_hash(pairs, options)

    def convention(self, root: Path) -> Convention:
        file, labels = root / DESCRIPTION, _description(root).get("labels")
        if not isinstance(labels, dict):
            raise ValueError(f"{file}: has no 'labels'; it must map the name of each class to its number")
        for name, label in labels.items():
            if not isinstance(label, int) or not 0 <= label < IGNORE:
                raise ValueError(
                    f"{file}: label {name} is {label!r}; only numbers below {IGNORE} can be used, no regions"
                )
        ignored = labels.pop("ignore", None)
        names = sorted(labels, key=labels.__getitem__)
        if [labels[name] for name in names] != list(range(len(names))):
            raise ValueError(f"{file}: labels are {sorted(labels.values())}; they must be 0, 1, 2, …")
        mapping = {number: number for number in range(len(names))}
        return Convention(mapping if ignored is None else {**mapping, ignored: IGNORE}, tuple(names))


def _channels(root: Path, stems: Mapping[str, Path]) -> dict[str, tuple[Path, ...]]:
    """The files of each case, one for each channel.

    Raises:
        ValueError: if a file's name has no channel, or a case lacks a channel that another has.
    """
    strange = [str(file) for stem, file in stems.items() if not CHANNEL.search(stem)]
    if strange:
        raise ValueError(f"{some(strange)}: has no channel; names must end in {FIRST_CHANNEL} etc.")
    channels = [FIRST_CHANNEL, *sorted({stem[-5:] for stem in stems} - {FIRST_CHANNEL})]
    names = sorted({stem[:-5] for stem in stems})
    lost = [name + channel for name in names for channel in channels[1:] if name + channel not in stems]
    if lost:
        raise ValueError(f"{root / IMAGES}: lacks {some(lost)}; every case must have the same channels")
    return {
        name: tuple(stems[name + channel] for channel in channels)
        for name in names
        if name + FIRST_CHANNEL in stems
    }


def _split_by_fold(root: Path, pairs: Mapping[str, Encoded], options: MaskFolderOptions) -> Parts | None:
    """As splits_final.json says; None where there is none."""
    file = root / SPLITS
    if not file.is_file():
        return None
    try:
        folds = TypeAdapter(list[Fold]).validate_python(_read_json(root, file), strict=True)
    except ValidationError as error:
        raise ValueError(f'{file}: must be a list of {{"train": [names], "val": [names]}}') from error
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


def _description(root: Path) -> dict[str, Any]:
    file = root / DESCRIPTION
    if not file.is_file():
        raise ValueError(f"{file}: does not exist; layout nnunet takes the classes from it")
    found = _read_json(root, file)
    if not isinstance(found, dict):
        raise ValueError(f"{file}: must be a JSON object")
    return found


def _read_json(root: Path, file: Path) -> Any:
    text = read_text(root, file)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: is not valid JSON ({error})") from error
