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
    """An image and its mask; one of them may not be there, if orphans are asked for."""

    image: Path
    mask: Path


def find_pairs(root: Path, layout: Layout, *, with_orphans: bool = False) -> dict[str, list[Pair]]:
    """The pairs for "train" and "valid", each sorted by name.

    Args:
        with_orphans: an image or a mask that lacks the other has its place as a pair all the same, so that
            the split and the order do not change when a file is lost; else it is an error.

    Raises:
        ValueError: if the folder has no known layout, or has orphans, links that leave it, or nothing in it.
    """
    if not root.is_dir():
        raise ValueError(f"data.root is {root}; it must be a folder with images and masks")
    split = None if layout.train_list else _split_folders(root, layout)
    if split is not None:
        return {
            part: list(_pair_all(_Folders(root, *folders, layout), with_orphans).values())
            for part, folders in split.items()
        }
    folders = root / layout.images_folder, root / layout.masks_folder
    if not (folders[0].is_dir() and folders[1].is_dir()):
        raise ValueError(_unknown_layout(root, layout))
    both, lists = _Folders(root, *folders, layout), _split_lists(root, layout)
    if lists is None:
        return _split_by_hash(_pair_all(both, with_orphans), layout)
    names = _disjoint(root, lists)
    return {part: _pair_listed(both, names[part], file, with_orphans) for part, file in lists.items()}


def read_lines(root: Path, file: Path) -> list[str]:
    """The lines of a text file below `root`, without surrounding spaces; empty ones are left out.

    Raises:
        ValueError: if the file lies outside of `root`, or is not UTF-8.
    """
    _check_inside(root, file)
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: is not UTF-8 text ({error}); it must hold one name a line") from error
    return [line for line in lines if line]


class _Folders:
    """The files of a folder of images and of one of masks, by name."""

    def __init__(self, root: Path, images: Path, masks: Path, layout: Layout) -> None:
        self.images, self.masks, self.suffix = images, masks, layout.mask_suffix
        self.image_files, self.mask_files = _scan(root, images), _scan(root, masks)

    def pair(self, name: str) -> Pair:
        """Image and mask of this name; a file that is not there as it would be called."""
        image, mask = self.images / f"{name}.*", self.masks / f"{name}{self.suffix}.png"
        return Pair(self.image_files.get(name, image), self.mask_files.get(name + self.suffix, mask))

    def without_image(self) -> list[str]:
        """Names of masks."""
        return sorted(self.mask_files.keys() - {name + self.suffix for name in self.image_files})

    def without_mask(self) -> list[str]:
        """Names of images."""
        return sorted(name for name in self.image_files if name + self.suffix not in self.mask_files)


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
        return {"train": train, "valid": valid}
    if layout.train_list or layout.valid_list or train.is_file() or valid is not None:
        missing = f"{root / candidates[0]}" if train.is_file() else f"{train}"
        raise ValueError(f"{missing}: is not there; a split needs a list for training and one for validation")
    return None


def _disjoint(root: Path, lists: dict[str, Path]) -> dict[str, list[str]]:
    """The names of each list."""
    names = {part: _read_list(root, file) for part, file in lists.items()}
    shared = sorted(set(names["train"]) & set(names["valid"]))
    if shared:
        raise ValueError(
            f"{lists['train']} and {lists['valid']} share {len(shared)} names, as {shared[0]}; "
            "validation images must not be trained on"
        )
    return names


def _read_list(root: Path, file: Path) -> list[str]:
    """Names without suffix, each once."""
    names = [_stem(PurePosixPath(line)) for line in read_lines(root, file) if not line.startswith("#")]
    if not names:
        raise ValueError(f"{file}: is empty; it must hold one image name a line")
    for name in names:
        if name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"{file}: names {name}, which leads out of the folder; names must stay in it")
    return sorted(set(names))


def _pair_listed(folders: _Folders, names: list[str], file: Path, with_orphans: bool) -> list[Pair]:
    lost = [str(folders.pair(name).image) for name in names if name not in folders.image_files]
    lost += [
        str(folders.pair(name).mask) for name in names if name + folders.suffix not in folders.mask_files
    ]
    if lost and not with_orphans:
        raise ValueError(f"{file}: names {len(lost)} files that are not there: {_some(lost)}")
    return [folders.pair(name) for name in names]


def _pair_all(folders: _Folders, with_orphans: bool) -> dict[str, Pair]:
    """Every image with its mask, by name."""
    if not folders.image_files:
        raise ValueError(f"{folders.images}: holds no PNG or JPEG image")
    without_mask, without_image = folders.without_mask(), folders.without_image()
    # A mask whose name no image can have is no half of a pair.
    nameless = [name for name in without_image if not name.endswith(folders.suffix)]
    if nameless or ((without_mask or without_image) and not with_orphans):
        images = [str(folders.image_files[name]) for name in without_mask]
        masks = [str(folders.mask_files[name]) for name in without_image]
        parts = [f"images without a mask: {_some(images)}"] if images else []
        parts += [f"masks without an image: {_some(masks)}"] if masks else []
        raise ValueError(
            f"{folders.masks}: {'; '.join(parts)}. Names must agree but for the suffix and "
            f"data.mask_suffix (now {folders.suffix!r})"
        )
    names = {*folders.image_files, *(name.removesuffix(folders.suffix) for name in without_image)}
    return {name: folders.pair(name) for name in sorted(names)}


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
