"""ADE20K, as in the scene parsing challenge: images/{training,validation} and annotations/ beside it."""

from __future__ import annotations

from pathlib import Path

from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.layouts.base import Convention, Layout, Parts
from trainables.images.layouts.files import pair_parts
from trainables.images.layouts.root import DataRoot
from trainables.images.options import MaskFolderOptions
from trainables.pairing import Affixes

TRAIN, VALID = ("images/training", "annotations/training"), ("images/validation", "annotations/validation")
NAMES_FILE = "objectInfo150.txt"
NUM_CLASSES = 150


class Ade20kLayout(Layout):
    """Label 0 is void and ignored, labels 1 to 150 are classes 0 to 149; names as in objectInfo150.txt."""

    name = "ade20k"
    expected = "images/training, images/validation and the same below annotations/ (ADE20K)"
    recognized_by = TRAIN

    def find(self, root: DataRoot, options: MaskFolderOptions, with_orphans: bool) -> Parts:
        advice = "Names must agree but for .jpg: add what is missing or remove what is left over"
        return pair_parts(root, {"train": TRAIN, "valid": VALID}, Affixes(), advice, with_orphans)

    def convention(self, root: DataRoot) -> Convention:
        labels = {0: IGNORE, **{label: label - 1 for label in range(1, NUM_CLASSES + 1)}}
        listed = root.file([NAMES_FILE])
        return Convention(labels, () if listed is None else _names(root, listed))


def _names(root: DataRoot, file: Path) -> tuple[str, ...]:
    """The first synonym in the last column of each line after the heading; columns stand between tabs."""
    rows = [line.split("\t") for _, line in root.read_lines(file)[1:]]
    names = [row[-1].split(",")[0].strip() for row in rows]
    if len(names) != NUM_CLASSES:
        raise ValueError(
            f"{file}: has {len(names)} classes after its first line; there must be {NUM_CLASSES}"
        )
    return tuple(
        name if name not in names[:number] else f"{name} {number + 1}" for number, name in enumerate(names)
    )
