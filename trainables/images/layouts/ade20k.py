"""ADE20K, as in the scene parsing challenge: images/{training,validation} and annotations/ beside it."""

from __future__ import annotations

from pathlib import Path

from trainables.images.augment import IGNORE
from trainables.images.layouts.base import Convention, Pair
from trainables.images.layouts.files import Folders, pair_all, read_lines
from trainables.images.options import MaskFolderOptions

IMAGES, MASKS, NAMES_FILE = "images", "annotations", "objectInfo150.txt"
NUM_CLASSES = 150


class Ade20kLayout:
    """Label 0 is void and ignored, labels 1 to 150 are classes 0 to 149; names as in objectInfo150.txt."""

    expected = f"{IMAGES}/training, {IMAGES}/validation and the same below {MASKS}/ (ADE20K)"
    takes_lists = False

    def is_here(self, root: Path, options: MaskFolderOptions) -> bool:
        return all((root / name / "training").is_dir() for name in (IMAGES, MASKS))

    def find(self, root: Path, options: MaskFolderOptions, with_orphans: bool) -> dict[str, list[Pair]]:
        found = {}
        for part, name in (("train", "training"), ("valid", "validation")):
            images, masks = root / IMAGES / name, root / MASKS / name
            for folder in (images, masks):
                if not folder.is_dir():
                    raise ValueError(f"{folder}: is not there; layout ade20k expects {self.expected}")
            folders = Folders(root, images, masks)
            found[part] = list(pair_all(folders, with_orphans, "Names must agree but for .jpg").values())
        return found

    def convention(self, root: Path, options: MaskFolderOptions) -> Convention:
        labels = {0: IGNORE, **{label: label - 1 for label in range(1, NUM_CLASSES + 1)}}
        listed = root / NAMES_FILE
        return Convention(labels, _names(root, listed) if listed.is_file() else ())


def _names(root: Path, file: Path) -> tuple[str, ...]:
    """The first synonym in the last column of each line after the heading; columns stand between tabs."""
    rows = [line.split("\t") for line in read_lines(root, file)[1:]]
    names = tuple(row[-1].split(",")[0].strip() for row in rows)
    if len(names) != NUM_CLASSES:
        raise ValueError(
            f"{file}: has {len(names)} classes after its first line; there must be {NUM_CLASSES}"
        )
    return tuple(
        name if name not in names[:number] else f"{name} {number + 1}" for number, name in enumerate(names)
    )
