"""Which files of a folder belong together, and which of them are for validation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
VALID_NAMES = ("val", "valid", "validation")
VALID_LISTS = ("val.txt", "valid.txt")
SHOWN = 10
"""Names or problems that one message lists."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the folder is organized; the fields are those of `FolderOptions`."""

    images_folder: str = "images"
    masks_folder: str = "masks"
    mask_suffix: str = ""
    train_list: str | None = None
    valid_list: str | None = None
    valid_fraction: float = 0.2
    split_seed: int = 0


@dataclass(frozen=True)
class Pair:
    """An image and its mask."""

    image: Path
    mask: Path


def find_pairs(root: Path, layout: Layout) -> dict[str, list[Pair]]:
    """The pairs for "train" and "valid", each sorted by name.

    Raises:
        ValueError: if the folder has no known layout, or has orphans, links that leave it, or nothing in it.
    """
    if not root.is_dir():
        raise ValueError(f"data.root is {root}; it must be a folder with images and masks")
    split = None if layout.train_list else _split_folders(root, layout)
    if split is not None:
        return {part: list(_pair_all(root, *folders, layout).values()) for part, folders in split.items()}
    folders = root / layout.images_folder, root / layout.masks_folder
    if not (folders[0].is_dir() and folders[1].is_dir()):
        raise ValueError(_unknown_layout(root, layout))
    lists = _split_lists(root, layout)
    if lists is not None:
        return {part: _pair_listed(root, *folders, layout, file) for part, file in _disjoint(lists).items()}
    return _split_by_hash(_pair_all(root, *folders, layout), layout)


def _split_folders(root: Path, layout: Layout) -> dict[str, tuple[Path, Path]] | None:
    """Folders of images and of masks for each part, where the folder is split into train and val."""
    images, masks = layout.images_folder, layout.masks_folder
    templates = (("{}/" + images, "{}/" + masks), (images + "/{}", masks + "/{}"), ("{}", "{}annot"))
    for image_template, mask_template in templates:

        def folders(
            name: str, of_images: str = image_template, of_masks: str = mask_template
        ) -> tuple[Path, Path]:
            return root / of_images.format(name), root / of_masks.format(name)

        if not all(folder.is_dir() for folder in folders("train")):
            continue
        for name in VALID_NAMES:
            if all(folder.is_dir() for folder in folders(name)):
                return {"train": folders("train"), "valid": folders(name)}
        wanted = [str(folder.relative_to(root)) for folder in folders("val")]
        raise ValueError(f"{root}: is split and has {folders('train')[0].name} data but not both {wanted}")
    return None


def _split_lists(root: Path, layout: Layout) -> dict[str, Path] | None:
    """The list files by part; None where there are none."""
    train = root / (layout.train_list or "train.txt")
    candidates = (layout.valid_list,) if layout.valid_list else VALID_LISTS
    valid = next((root / name for name in candidates if (root / name).is_file()), None)
    if train.is_file() and valid is not None:
        for file in (train, valid):
            _check_inside(root, file)
        return {"train": train, "valid": valid}
    if layout.train_list or layout.valid_list or train.is_file() or valid is not None:
        missing = f"{root / candidates[0]}" if train.is_file() else f"{train}"
        raise ValueError(f"{missing}: is not there; a split needs a list for training and one for validation")
    return None


def _disjoint(lists: dict[str, Path]) -> dict[str, Path]:
    shared = sorted(set(_read_list(lists["train"])) & set(_read_list(lists["valid"])))
    if shared:
        raise ValueError(
            f"{lists['train']} and {lists['valid']} share {len(shared)} names, as {shared[0]}; "
            "validation images must not be trained on"
        )
    return lists


def _read_list(file: Path) -> list[str]:
    """Names without suffix, each once."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file}: is not UTF-8 text ({error}); it must hold one image name a line"
        ) from error
    names = [_stem(PurePosixPath(line)) for line in lines if line and not line.startswith("#")]
    if not names:
        raise ValueError(f"{file}: is empty; it must hold one image name a line")
    return list(dict.fromkeys(names))


def _pair_listed(root: Path, images: Path, masks: Path, layout: Layout, file: Path) -> list[Pair]:
    image_files, mask_files = _scan(root, images), _scan(root, masks)
    names = sorted(_read_list(file))
    lost = [f"{images / name}.*" for name in names if name not in image_files]
    lost += [
        f"{masks / name}{layout.mask_suffix}.png"
        for name in names
        if name + layout.mask_suffix not in mask_files
    ]
    if lost:
        raise ValueError(f"{file}: names {len(lost)} files that are not there: {_some(lost)}")
    return [Pair(image_files[name], mask_files[name + layout.mask_suffix]) for name in names]


def _pair_all(root: Path, images: Path, masks: Path, layout: Layout) -> dict[str, Pair]:
    """Every image with its mask, by name; an orphan of either kind is an error."""
    image_files, mask_files = _scan(root, images), _scan(root, masks)
    if not image_files:
        raise ValueError(f"{images}: holds no PNG or JPEG image")
    wanted = {name + layout.mask_suffix: name for name in image_files}
    without_mask = [str(image_files[wanted[name]]) for name in sorted(wanted.keys() - mask_files.keys())]
    without_image = [str(mask_files[name]) for name in sorted(mask_files.keys() - wanted.keys())]
    if without_mask or without_image:
        parts = [f"images without a mask: {_some(without_mask)}"] if without_mask else []
        parts += [f"masks without an image: {_some(without_image)}"] if without_image else []
        raise ValueError(
            f"{masks}: {'; '.join(parts)}. Names must agree but for the suffix and "
            f"data.mask_suffix (now {layout.mask_suffix!r})"
        )
    return {
        name: Pair(image_files[name], mask_files[name + layout.mask_suffix]) for name in sorted(image_files)
    }


def _split_by_hash(pairs: dict[str, Pair], layout: Layout) -> dict[str, list[Pair]]:
    """Validation gets the names with the smallest hashes: the same ones wherever the folder lies."""
    if len(pairs) < 2:
        raise ValueError(
            f"data.root holds {len(pairs)} image; training and validation need one each at least"
        )

    def rank(name: str) -> bytes:
        return hashlib.sha256(f"{layout.split_seed}/{name}".encode()).digest()

    count = min(max(1, round(layout.valid_fraction * len(pairs))), len(pairs) - 1)
    chosen = set(sorted(pairs, key=rank)[:count])
    return {
        "train": [pair for name, pair in pairs.items() if name not in chosen],
        "valid": [pair for name, pair in pairs.items() if name in chosen],
    }


def _scan(root: Path, folder: Path) -> dict[str, Path]:
    """Images below `folder` by their path in it without suffix. Hidden and other files are left out."""
    files: dict[str, Path] = {}
    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        resolved = _check_inside(root, current)
        if resolved in seen:
            raise ValueError(f"{current}: leads to a folder that was read already")
        seen.add(resolved)
        for entry in sorted(os.scandir(current), key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                waiting.append(path)
            elif _is_image(path):
                _check_inside(root, path)
                name = _stem(PurePosixPath(path.relative_to(folder).as_posix()))
                if name in files:
                    raise ValueError(f"{path}: has the same name as {files[name].name}; names must differ")
                files[name] = path
    return files


def _is_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in Image.registered_extensions():
        raise ValueError(f"{path}: is {suffix}; images must be PNG or JPEG, masks PNG")
    return False


def _check_inside(root: Path, path: Path) -> Path:
    resolved = path.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise ValueError(f"{path}: leads to {resolved}, outside of data.root {root}; copy it into the folder")
    return resolved


def _stem(path: PurePosixPath) -> str:
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else str(path)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def _unknown_layout(root: Path, layout: Layout) -> str:
    found = _some(sorted(path.name for path in root.iterdir())) or "nothing"
    images, masks = layout.images_folder, layout.masks_folder
    return (
        f"{root}: holds {found}; expected {images}/ and {masks}/, or train/{images}, train/{masks}, "
        f"val/{images} and val/{masks}, or {images}/train, {masks}/train, {images}/val and {masks}/val, or "
        "train/ and trainannot/. Other names go into data.images_folder and data.masks_folder"
    )
