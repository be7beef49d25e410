"""images/ and masks/, with or without train/ and val/; CamVid's train/ beside trainannot/."""

from __future__ import annotations

from pathlib import Path

from trainables.images.layouts.base import Convention, Pair
from trainables.images.layouts.files import Folders, pair_all, pair_listed
from trainables.images.layouts.splits import VALID_NAMES, listed_names, split_by_hash, split_lists
from trainables.images.options import MaskFolderOptions

VALID_LISTS = ("val.txt", "valid.txt")


class PlainLayout:
    """Folders of images and of masks, split by folders, by lists of names, or by a hash."""

    expected = (
        "images/ and masks/, or train/images, train/masks, val/images and val/masks, or images/train, "
        "masks/train, images/val and masks/val, or train/ and trainannot/"
    )
    takes_lists = True

    def is_here(self, root: Path, options: MaskFolderOptions) -> bool:
        folders = root / options.images_folder, root / options.masks_folder
        return all(folder.is_dir() for folder in folders) or _part_folders(root, options, "train") is not None

    def find(self, root: Path, options: MaskFolderOptions, with_orphans: bool) -> dict[str, list[Pair]]:
        suffix = options.mask_suffix
        advice = f"Names must agree but for the suffix and data.mask_suffix (now {suffix!r})"
        split = None if options.train_list else _split_folders(root, options)
        if split is not None:
            return {
                part: list(pair_all(Folders(root, *both, mask_suffix=suffix), with_orphans, advice).values())
                for part, both in split.items()
            }
        images, masks = root / options.images_folder, root / options.masks_folder
        folders = Folders(root, images, masks, mask_suffix=suffix)
        lists = split_lists(root, options, "train.txt", VALID_LISTS)
        if lists is None:
            return split_by_hash(pair_all(folders, with_orphans, advice), options)
        names = listed_names(root, lists)
        return {part: pair_listed(folders, names[part], file, with_orphans) for part, file in lists.items()}

    def convention(self, root: Path, options: MaskFolderOptions) -> Convention:
        return Convention()


def _templates(options: MaskFolderOptions) -> tuple[tuple[str, str], ...]:
    images, masks = options.images_folder, options.masks_folder
    return ("{}/" + images, "{}/" + masks), (images + "/{}", masks + "/{}"), ("{}", "{}annot")


def _part_folders(
    root: Path, options: MaskFolderOptions, part: str, template: int | None = None
) -> int | None:
    """The number of the first template (or of this one) whose folders of images and of masks are there."""
    for number, both in enumerate(_templates(options)):
        if template in (None, number) and all((root / one.format(part)).is_dir() for one in both):
            return number
    return None


def _split_folders(root: Path, options: MaskFolderOptions) -> dict[str, tuple[Path, Path]] | None:
    """Folders of images and of masks for each part, where the folder is split into train and val."""
    number = _part_folders(root, options, "train")
    if number is None:
        return None
    of_images, of_masks = _templates(options)[number]

    def folders(name: str) -> tuple[Path, Path]:
        return root / of_images.format(name), root / of_masks.format(name)

    for name in VALID_NAMES:
        if _part_folders(root, options, name, number) is not None:
            return {"train": folders("train"), "valid": folders(name)}
    wanted = [str(folder.relative_to(root)) for folder in folders("val")]
    raise ValueError(f"{root}: is split and has {folders('train')[0].name} data but not both {wanted}")
