"""Which files of a folder belong together, and which of them are for validation."""

from __future__ import annotations

from pathlib import Path

from trainables.findings import some
from trainables.images.formats import SUFFIXES
from trainables.images.layouts.ade20k import Ade20kLayout
from trainables.images.layouts.base import Layout, Parts
from trainables.images.layouts.cityscapes import CityscapesLayout
from trainables.images.layouts.nnunet import NnunetLayout
from trainables.images.layouts.plain import IMAGES, MASKS, PlainLayout
from trainables.images.layouts.root import DataRoot
from trainables.images.layouts.voc import VocLayout
from trainables.images.options import MaskFolderOptions
from trainables.text_file import visible

ALL = (PlainLayout(), VocLayout(), CityscapesLayout(), Ade20kLayout(), NnunetLayout())
_MAX_NEAR = 100
"""Folders near a wrong data.root that are looked at."""
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in ALL}


def find_pairs(
    layout: Layout, root: DataRoot, options: MaskFolderOptions, with_orphans: bool = False
) -> Parts:
    """The pairs for "train" and "valid", each sorted by name.

    Args:
        with_orphans: an image or a mask that lacks the other is a pair all the same, so that the split and
            the order do not change when a file is lost; else it is an error.

    Raises:
        ValueError: if the folder has orphans, links that leave it, or lacks images or a folder.
    """
    if (options.train_list or options.valid_list) and not layout.takes_lists:
        raise ValueError(
            f"data.train_list and data.valid_list have no effect in layout {layout.name}: leave them out"
        )
    try:
        return layout.find(root, options, with_orphans)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"{error.filename}: does not exist; layout {layout.name} expects {layout.expected}"
        ) from error


def layout_of(root: DataRoot, options: MaskFolderOptions) -> Layout:
    """The layout that is configured, else the one that the folder has.

    Raises:
        ValueError: if the folder has none, or could have several.
    """
    if not root.path.is_dir():
        raise ValueError(f"data.root is {root.path}; it must be a folder with images and masks")
    if options.layout != "auto":
        layout = LAYOUTS[options.layout]
        if not layout.is_here(root, options):
            raise ValueError(
                f"{root.path}: holds {_content(root)}; layout {layout.name} is {layout.expected}"
            )
        return layout
    plain = LAYOUTS["folders"]
    has_chosen = options.images_folder is not None or options.masks_folder is not None
    if has_chosen and plain.is_here(root, options):
        return plain
    found: list[Layout] = [layout for layout in ALL if layout is not plain and layout.is_here(root, options)]
    usual = all((root.path / folder).is_dir() for folder in ("images", "masks"))
    if (usual or not found) and plain.is_here(root, options):
        found.insert(0, plain)
    if len(found) > 1:
        names = ", ".join(layout.name for layout in found)
        raise ValueError(f"{root.path}: may have the layouts {names}; set data.layout to one of them")
    if not found:
        known = "; or ".join(layout.expected for layout in ALL)
        if place := _elsewhere(root, options):
            raise ValueError(
                f"{root.path}: holds {_content(root)}; the images and masks are those of {place}: "
                f"set data.root to that folder"
            )
        raise ValueError(
            f"{root.path}: holds {_content(root)}; expected {known}. Other names go into data.images_folder "
            f"and data.masks_folder{_if_flat(root)}"
        )
    return found[0]


def _elsewhere(root: DataRoot, options: MaskFolderOptions) -> str:
    """The one folder above or below that has a layout, written as data.root is; empty if none has one."""
    given = Path(options.root)
    below = [path for pattern in ("*", "*/*") for path in sorted(root.path.glob(pattern))[:_MAX_NEAR]]
    near = {given / path.relative_to(root.path): path for path in below if path.is_dir()}
    if root.path.name.lower() in map(str.lower, (*IMAGES, *MASKS)):
        near = {given.parent: root.path.parent} if given.parent != given else {}
    found = [
        name
        for name, path in near.items()
        if any(layout.is_here(DataRoot(_at(options, path)), _at(options, path)) for layout in ALL)
    ]
    return str(found[0]) if len(found) == 1 else ""


def _at(options: MaskFolderOptions, path: Path) -> MaskFolderOptions:
    return options.model_copy(update={"root": str(path)})


def _if_flat(root: DataRoot) -> str:
    """What to set where the images are in the root itself."""
    has_images = any(path.suffix.lower() in SUFFIXES for path in root.path.iterdir())
    example = 'images_folder: ., masks_folder: ., mask_suffix: "_mask"'
    return f"; if images and masks are in one folder, add {example} to data" if has_images else ""


def _content(root: DataRoot) -> str:
    names = sorted(path.name for path in root.path.iterdir())
    fetch = " (was `dvc pull` run?)" if any(name.endswith(".dvc") for name in names) else ""
    return (some(map(visible, names)) or "nothing") + fetch
