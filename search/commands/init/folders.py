"""Images in folders: with masks, in the layouts of a segmentation, or in a folder for each class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search.commands.init.recognized import Recognized, UnrecognizedError, remedy
from trainables.findings import some
from trainables.images.formats import SUFFIXES
from trainables.images.layouts.class_folders import find_classes
from trainables.images.layouts.find import ALL, find_pairs
from trainables.images.layouts.plain import IMAGES, MASKS
from trainables.images.layouts.root import DataRoot
from trainables.images.layouts.splits import TRAIN_NAMES
from trainables.images.masks.reading import read_mask
from trainables.images.options import ClassFolderOptions, MaskFolderOptions
from trainables.pairing import find_pairing

_FEW_LABELS = 64
_LOOKED_AT = 8
"""Files of a folder that are read to tell masks from photographs."""
_TRIES = 6


def masks_in(folder: Path, given: str) -> Recognized | None:
    """Images and masks in one of the layouts; None where there are none.

    Raises:
        UnrecognizedError: the layout is there, and something is missing in it.
    """
    root = DataRoot(MaskFolderOptions(source="folder", root=str(folder)))
    data: dict[str, Any] = {"source": "folder", "root": given}
    options, named = _options(data, folder), {}
    layouts = [layout for layout in ALL if layout.is_here(root, options)]
    if not layouts:
        named = _two_folders(root) or _one_folder(folder)
        data |= named
        options = _options(data, folder)
        layouts = [layout for layout in ALL if named and layout.is_here(root, options)]
    usual = all((folder / name).is_dir() for name in ("images", "masks"))
    if not usual and len(layouts) > 1:
        layouts = [layout for layout in layouts if layout.name != "folders"]
    failure = ""
    for layout in layouts:
        tried = {**data, "layout": layout.name} if len(layouts) > 1 else dict(data)
        for _ in range(_TRIES):
            try:
                # Of an image without a mask `look` tells, together with all others.
                pairs = find_pairs(layout, DataRoot(options), _options(tried, folder), with_orphans=True)
            except ValueError as error:
                failure = failure or str(error)
                if more := remedy(str(error), tried):
                    tried |= more
                    continue
                break
            if any(pairs.values()):
                return Recognized("masks", "segmentation", tried, _reasons(tried, layout.name, pairs))
            break
    if failure and not named:
        raise UnrecognizedError(failure)
    return None


def _options(data: Mapping[str, Any], folder: Path) -> MaskFolderOptions:
    try:
        return MaskFolderOptions.model_validate({**data, "root": str(folder)})
    except ValidationError as error:
        raise UnrecognizedError(f"{folder}: {error.errors()[0]['msg']}") from error


def _reasons(data: Mapping[str, Any], layout: str, pairs: Mapping[str, Any]) -> dict[str, str]:
    what = "images and masks" if layout == "folders" else f"the layout of {layout}"
    parts = f"{len(pairs['train']):,} to train, {len(pairs['valid']):,} to validate"
    reasons = {"root": f"{what}: {parts}"}
    if "layout" in data:
        reasons["layout"] = "the folder could have others too"
    if "mask_suffix" in data:
        reasons["mask_suffix"] = "what ends the names of masks"
    if "masks_folder" in data:
        reasons["masks_folder"] = "the names of its files are those of the images"
    return reasons


def _one_folder(folder: Path) -> dict[str, Any]:
    """The options of images and masks side by side in one folder; empty where no images are in it."""
    here = any(path.suffix.lower() in SUFFIXES for path in folder.iterdir() if path.is_file())
    return {"images_folder": ".", "masks_folder": "."} if here else {}


def _two_folders(root: DataRoot) -> dict[str, Any]:
    """Two folders of other names with the same samples, one of them masks: no two classes."""
    train = root.subfolder(TRAIN_NAMES)
    folder = root.path / train if (root.path / train).is_dir() else root.path
    names = root.subfolders(folder)
    if len(names) != 2 or {name.lower() for name in names} & {"train", "val", "valid", "validation", "test"}:
        return {}
    files = {name: _files(folder / name) for name in names}
    if not all(files.values()):
        return {}
    first, second = (list(each) for each in files.values())
    same = len(set(first) & set(second)) >= 0.8 * min(len(first), len(second))
    pairing = None if same else find_pairing(first, second, {})
    if not same and (pairing is None or not pairing.complete):
        return {}
    masks = [name for name in names if _are_masks(list(files[name].values()))]
    if len(masks) == 2:  # grey drawings, perhaps; the name decides
        masks = [
            name for name in names if any(word in name.lower() for word in ("mask", "label", "seg", "gt"))
        ]
    if len(masks) != 1:
        return {}
    images = next(name for name in names if name not in masks)
    known = images.lower() in map(str.lower, IMAGES), masks[0].lower() in map(str.lower, MASKS)
    if all(known):
        return {}
    return {"images_folder": images, "masks_folder": masks[0]}


def _files(folder: Path) -> dict[str, Path]:
    found = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES)
    return {path.stem: path for path in found}


def _are_masks(files: list[Path]) -> bool:
    """Whether some files hold few different whole numbers each."""
    try:
        held = [len(set(read_mask(file).ravel().tolist())) for file in files[:_LOOKED_AT]]
    except ValueError:
        return False
    return max(held) <= _FEW_LABELS


def classes_in(folder: Path, given: str) -> Recognized | None:
    """A folder of images for each class; None where there are none.

    Raises:
        UnrecognizedError: some are there, and cannot be read as they lie.
    """
    root = DataRoot(ClassFolderOptions(source="images", root=str(folder)))
    try:
        names, parts = find_classes(root, ClassFolderOptions(source="images", root=str(folder)))
    except ValueError as error:
        with_images = [name for name in root.subfolders(folder) if _files(folder / name)]
        if len(with_images) == 1 and with_images[0].lower() in map(str.lower, IMAGES):
            raise UnrecognizedError(_no_masks(folder, with_images[0])) from error
        if len(with_images) > 1:
            raise UnrecognizedError(str(error)) from error
        train = root.subfolder(TRAIN_NAMES)
        if (folder / train).is_dir() and any(
            _files(folder / train / n) for n in root.subfolders(folder / train)
        ):
            raise UnrecognizedError(str(error)) from error
        return None
    counts = f"{len(parts['train']):,} images to train, {len(parts['valid']):,} to validate"
    told = f"a folder for each of the {len(names)} classes ({some(names, 4)}): {counts}"
    return Recognized("classes", "classification", {"source": "images", "root": given}, {"root": told})


def _no_masks(folder: Path, images: str) -> str:
    number = len(_files(folder / images))
    return (
        f"{folder}: has {number} images in {images}/ and no folder of masks ({', '.join(MASKS)}): add the "
        "masks under the names of the images, or put the images of each class into a folder"
    )
