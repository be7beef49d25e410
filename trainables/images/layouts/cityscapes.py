"""Cityscapes: leftImg8bit/<part>/<city>/ and gtFine/<part>/<city>/."""

from __future__ import annotations

from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.layouts.base import Convention, Layout, Parts
from trainables.images.layouts.files import pair_parts
from trainables.images.layouts.root import DataRoot
from trainables.images.options import MaskFolderOptions
from trainables.pairing import Affixes

TRAIN, VALID = ("leftImg8bit/train", "gtFine/train"), ("leftImg8bit/val", "gtFine/val")
IMAGE_SUFFIX, TRAIN_IDS, LABEL_IDS = "_leftImg8bit", "_gtFine_labelTrainIds", "_gtFine_labelIds"

CLASSES = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26,
    "truck": 27, "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
"""The 19 classes that count, in the order of their train ids, with their ids in labelIds masks."""

NUM_IDS = 34
"""Ids that labelIds masks may hold; those that are no class are ignored."""


class CityscapesLayout(Layout):
    """Masks of train ids where there are any, else those of ids, whose 34 labels become the 19 classes.

    Colour and instance masks beside them are left out, and so is the test part, whose masks are empty.
    """

    name = "cityscapes"
    expected = "leftImg8bit/train, leftImg8bit/val, gtFine/train and gtFine/val (Cityscapes)"
    recognized_by = TRAIN

    def find(self, root: DataRoot, options: MaskFolderOptions, with_orphans: bool) -> Parts:
        suffix = _mask_suffix(root)
        advice = f"Names must agree but for {IMAGE_SUFFIX} and {suffix}"
        affixes = Affixes(image_suffix=IMAGE_SUFFIX, mask_suffix=suffix)
        return pair_parts(root, {"train": TRAIN, "valid": VALID}, affixes, advice, with_orphans, mixed=True)

    def convention(self, root: DataRoot) -> Convention:
        labels = {number: number for number in range(len(CLASSES))}
        if _mask_suffix(root) == LABEL_IDS:
            labels = dict.fromkeys(range(NUM_IDS), IGNORE)
            labels |= {label: number for number, label in enumerate(CLASSES.values())}
        return Convention(labels, tuple(CLASSES))


def _mask_suffix(root: DataRoot) -> str:
    """That of train ids if there is a single such mask: a mixture would train on both numberings."""
    return TRAIN_IDS if any((root.path / "gtFine").glob(f"*/*/*{TRAIN_IDS}.png")) else LABEL_IDS
