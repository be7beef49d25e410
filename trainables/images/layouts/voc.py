"""Pascal VOC: JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/."""

from __future__ import annotations

from trainables.images.layouts.base import Convention, Layout, Parts
from trainables.images.layouts.files import Files
from trainables.images.layouts.lists import split_by_lists
from trainables.images.layouts.root import DataRoot
from trainables.images.options import MaskFolderOptions
from trainables.pairing import Affixes

IMAGES, MASKS, LISTS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"

NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


class VocLayout(Layout):
    """Images that are in no list are not used: most of Pascal VOC have no mask.

    Masks are palette PNGs; their indices are the classes, and 255 is the void around objects.
    """

    name = "voc"
    expected = f"{IMAGES}/, {MASKS}/ and {LISTS}/train.txt and val.txt (Pascal VOC)"
    recognized_by = (IMAGES, MASKS, LISTS)
    takes_lists = True

    def find(self, root: DataRoot, options: MaskFolderOptions, with_orphans: bool) -> Parts:
        train, valid = [f"{LISTS}/train.txt"], [f"{LISTS}/val.txt"]
        files = Files(root, (IMAGES, MASKS)).pair_by(Affixes())
        found = split_by_lists(root, files, options, with_orphans, train=train, valid=valid)
        if found is None:
            raise ValueError(
                f"{root.path / LISTS}: holds no train.txt; layout voc takes the split from lists"
            )
        return found

    def convention(self, root: DataRoot) -> Convention:
        return Convention(class_names=NAMES)
