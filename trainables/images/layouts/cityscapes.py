"""Cityscapes: leftImg8bit/<part>/<city>/ and gtFine/<part>/<city>/."""

from __future__ import annotations

from pathlib import Path

from trainables.images.augment import IGNORE
from trainables.images.layouts.base import Convention, Pair
from trainables.images.layouts.files import Folders, pair_all
from trainables.images.options import MaskFolderOptions

IMAGES, MASKS = "leftImg8bit", "gtFine"
IMAGE_SUFFIX, TRAIN_IDS, LABEL_IDS = "_leftImg8bit", "_gtFine_labelTrainIds", "_gtFine_labelIds"

CLASSES = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26,
    "truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
"""The 19 classes that count, in the order of their train ids, with their ids in labelIds masks."""

NUM_IDS = 34
"""Ids that labelIds masks may hold; those that are no class are ignored."""


class CityscapesLayout:
    """Masks of train ids where there are any, else those of ids, whose 34 labels become the 19 classes.

    Colour and instance masks beside them are left out, and so is the test part, whose masks are empty.
    """

    expected = f"{IMAGES}/train, {IMAGES}/val, {MASKS}/train and {MASKS}/val (Cityscapes)"
    takes_lists = False

    def is_here(self, root: Path, options: MaskFolderOptions) -> bool:
        return (root / IMAGES / "train").is_dir() and (root / MASKS / "train").is_dir()

    def find(self, root: Path, options: MaskFolderOptions, with_orphans: bool) -> dict[str, list[Pair]]:
        suffix = _mask_suffix(root)
        return {
            part: self._part(root, folder, suffix, with_orphans)
            for part, folder in (("train", "train"), ("valid", "val"))
        }

    def convention(self, root: Path, options: MaskFolderOptions) -> Convention:
        if _mask_suffix(root) == TRAIN_IDS:
            labels = {number: number for number in range(len(CLASSES))}
        else:
            labels = dict.fromkeys(range(NUM_IDS), IGNORE)
            labels |= {label: number for number, label in enumerate(CLASSES.values())}
        return Convention(labels, tuple(CLASSES))

    def _part(self, root: Path, name: str, mask_suffix: str, with_orphans: bool) -> list[Pair]:
        images, masks = root / IMAGES / name, root / MASKS / name
        for folder in (images, masks):
            if not folder.is_dir():
                raise ValueError(f"{folder}: is not there; layout cityscapes expects {self.expected}")
        folders = Folders(
            root, images, masks, image_suffix=IMAGE_SUFFIX, mask_suffix=mask_suffix, chosen=True
        )
        advice = f"Names must agree but for {IMAGE_SUFFIX} and {mask_suffix}"
        return list(pair_all(folders, with_orphans, advice).values())


def _mask_suffix(root: Path) -> str:
    """Of masks of train ids if there is a single one: a mixture would train on both numberings."""
    found = next((root / MASKS).glob(f"*/*/*{TRAIN_IDS}.png"), None)
    return LABEL_IDS if found is None else TRAIN_IDS
