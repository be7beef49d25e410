"""Pascal VOC: JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/."""

from __future__ import annotations

from pathlib import Path

from trainables.images.layouts.base import Convention, Pair
from trainables.images.layouts.files import Folders, pair_listed
from trainables.images.layouts.splits import listed_names, split_lists
from trainables.images.options import MaskFolderOptions

IMAGES, MASKS, LISTS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"

NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


class VocLayout:
    """Images that are in no list have no mask, as most of Pascal VOC have none, and are not used.

    Masks are palette PNGs; their indices are the classes, and 255 is the void around objects.
    """

    expected = f"{IMAGES}/, {MASKS}/ and {LISTS}/train.txt and val.txt (Pascal VOC)"
    takes_lists = True

    def is_here(self, root: Path, options: MaskFolderOptions) -> bool:
        return all((root / name).is_dir() for name in (IMAGES, MASKS, LISTS))

    def find(self, root: Path, options: MaskFolderOptions, with_orphans: bool) -> dict[str, list[Pair]]:
        lists = split_lists(root, options, f"{LISTS}/train.txt", [f"{LISTS}/val.txt"])
        if lists is None:
            raise ValueError(f"{root / LISTS}: holds no train.txt; layout voc takes the split from lists")
        names = listed_names(root, lists)
        folders = Folders(root, root / IMAGES, root / MASKS)
        return {part: pair_listed(folders, names[part], file, with_orphans) for part, file in lists.items()}

    def convention(self, root: Path, options: MaskFolderOptions) -> Convention:
        return Convention(class_names=NAMES)
