"""images/ and masks/, with or without train/ and val/; CamVid's train/ beside trainannot/."""

from __future__ import annotations

from pathlib import Path

from trainables.images.layouts.base import Layout, Parts
from trainables.images.layouts.files import Files, Naming, pair_parts
from trainables.images.layouts.splits import VALID_NAMES, split_by_hash, split_by_lists
from trainables.images.options import MaskFolderOptions


class PlainLayout(Layout):
    """Folders of images and of masks, split by folders, by lists of names, or by a hash."""

    name = "folders"
    expected = (
        "images/ and masks/, or train/images, train/masks, val/images and val/masks, or images/train, "
        "masks/train, images/val and masks/val, or train/ and trainannot/"
    )
    takes_lists = True

    def is_here(self, root: Path, options: MaskFolderOptions) -> bool:
        whole = (options.images_folder, options.masks_folder)
        return any(_exist(root, folders) for folders in (whole, *_folders(options, "train")))

    def find(self, root: Path, options: MaskFolderOptions, with_orphans: bool) -> Parts:
        suffix = options.mask_suffix
        advice = f"Names must agree but for the suffix and data.mask_suffix (now {suffix!r})"
        naming = Naming(mask_suffix=suffix, advice=advice)
        split = None if options.train_list else _split_folders(root, options)
        if split is not None:
            return pair_parts(root, split, naming, with_orphans)
        files = Files(root, options.images_folder, options.masks_folder, naming)
        listed = split_by_lists(
            root, files, options, with_orphans, train="train.txt", valid=("val.txt", "valid.txt")
        )
        return listed or split_by_hash(files.pair_all(with_orphans), options)


def _folders(options: MaskFolderOptions, part: str) -> list[tuple[str, str]]:
    """Where the images and masks of a part may lie."""
    images, masks = options.images_folder, options.masks_folder
    return [
        (f"{part}/{images}", f"{part}/{masks}"),
        (f"{images}/{part}", f"{masks}/{part}"),
        (part, f"{part}annot"),
    ]


def _exist(root: Path, folders: tuple[str, str]) -> bool:
    return all((root / folder).is_dir() for folder in folders)


def _split_folders(root: Path, options: MaskFolderOptions) -> dict[str, tuple[str, str]] | None:
    """Folders of images and of masks for each part, where the data are split into train and val."""
    for number, train in enumerate(_folders(options, "train")):
        if not _exist(root, train):
            continue
        candidates = [_folders(options, name)[number] for name in VALID_NAMES]
        valid = next((folders for folders in candidates if _exist(root, folders)), None)
        if valid is None:
            images = Path(train[0]).name
            raise ValueError(f"{root}: is split and has {images} data but not both {list(candidates[0])}")
        return {"train": train, "valid": valid}
    return None
