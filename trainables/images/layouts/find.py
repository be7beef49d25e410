"""Which files of a folder belong together, and which of them are for validation.

`find_pairs` is the one entry for all layouts. What labels in the masks mean, where a layout says so (void in
ADE20K, the ids of Cityscapes, dataset.json of nnU-Net), is its `Convention`: `convention_of` gives it, and
`trainables.images.labels.label_lookup` makes the table of it and of the user's options that is applied to
every mask.
"""

from __future__ import annotations

from pathlib import Path

from trainables.findings import some
from trainables.images.layouts.ade20k import Ade20kLayout
from trainables.images.layouts.base import Convention, FolderLayout, Pair
from trainables.images.layouts.cityscapes import CityscapesLayout
from trainables.images.layouts.nnunet import NnunetLayout
from trainables.images.layouts.plain import PlainLayout
from trainables.images.layouts.voc import VocLayout
from trainables.images.options import MaskFolderOptions

LAYOUTS: dict[str, FolderLayout] = {
    "folders": PlainLayout(),
    "voc": VocLayout(),
    "cityscapes": CityscapesLayout(),
    "ade20k": Ade20kLayout(),
    "nnunet": NnunetLayout(),
}
"""By their names in `data.layout`."""


def find_pairs(
    root: Path, options: MaskFolderOptions, *, with_orphans: bool = False
) -> dict[str, list[Pair]]:
    """The pairs for "train" and "valid", each sorted by name.

    Args:
        with_orphans: an image or a mask that lacks the other has its place as a pair all the same, so that
            the split and the order do not change when a file is lost; else it is an error.

    Raises:
        ValueError: if the folder has no known layout, or has orphans, links that leave it, or nothing in it.
    """
    name = layout_name(root, options)
    chosen = LAYOUTS[name]
    if (options.train_list or options.valid_list) and not chosen.takes_lists:
        raise ValueError(f"data.train_list and data.valid_list mean nothing in layout {name}: leave them out")
    return chosen.find(root, options, with_orphans)


def convention_of(root: Path, options: MaskFolderOptions) -> Convention:
    """What the layout says about labels and names of classes; as `find_pairs`, it may raise ValueError."""
    return LAYOUTS[layout_name(root, options)].convention(root, options)


def layout_name(root: Path, options: MaskFolderOptions) -> str:
    """The layout asked for, else the one that the folder has.

    Raises:
        ValueError: if the folder has none, or could have several.
    """
    if not root.is_dir():
        raise ValueError(f"data.root is {root}; it must be a folder with images and masks")
    if options.layout != "auto":
        asked = LAYOUTS[options.layout]
        if not asked.is_here(root, options):
            raise ValueError(f"{root}: holds {_content(root)}; layout {options.layout} is {asked.expected}")
        return options.layout
    folders = options.images_folder, options.masks_folder
    if folders != ("images", "masks") and LAYOUTS["folders"].is_here(root, options):
        return "folders"  # Whoever names the folders has chosen.
    found = [name for name, known in LAYOUTS.items() if known.is_here(root, options)]
    if len(found) > 1:
        raise ValueError(f"{root}: may have the layouts {', '.join(found)}; set data.layout to one of them")
    if not found:
        known = "; or ".join(known.expected for known in LAYOUTS.values())
        raise ValueError(
            f"{root}: holds {_content(root)}; expected {known}. Other names go into data.images_folder and "
            "data.masks_folder"
        )
    return found[0]


def _content(root: Path) -> str:
    return some(sorted(path.name for path in root.iterdir())) or "nothing"
