"""The files of a folder of images and of one of masks: found, held inside the root, and paired by name."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from PIL import Image

from trainables.findings import some
from trainables.images.layouts.base import Pair

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_text(root: Path, file: Path) -> str:
    """A text file below `root`.

    Raises:
        ValueError: if the file lies outside of `root`, or is not UTF-8.
    """
    check_inside(root, file)
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: is not UTF-8 text ({error}); it must hold one name a line") from error


def read_lines(root: Path, file: Path) -> list[str]:
    """The lines of a text file below `root`, without surrounding spaces; empty ones are left out.

    Raises:
        ValueError: if the file lies outside of `root`, or is not UTF-8.
    """
    lines = [line.strip() for line in read_text(root, file).splitlines()]
    return [line for line in lines if line]


class Folders:
    """The images below one folder and the masks below another, by name.

    Args:
        image_suffix, mask_suffix: what a file's stem has more than the name.
        chosen: files without these suffixes are something else and left out, as in a folder that holds
            several kinds; otherwise a mask without `mask_suffix` is an orphan.
    """

    def __init__(
        self,
        root: Path,
        images: Path,
        masks: Path,
        *,
        image_suffix: str = "",
        mask_suffix: str = "",
        chosen: bool = False,
    ) -> None:
        self.images, self.masks = images, masks
        self.image_suffix, self.mask_suffix = image_suffix, mask_suffix
        images_found, masks_found = scan(root, images), scan(root, masks)
        if chosen:
            images_found = _with_suffix(images_found, image_suffix)
            masks_found = _with_suffix(masks_found, mask_suffix)
        self.image_files, self.mask_files = images_found, masks_found

    @property
    def names(self) -> set[str]:
        """Of the images."""
        return {stem.removesuffix(self.image_suffix) for stem in self.image_files}

    def has_image(self, name: str) -> bool:
        return name + self.image_suffix in self.image_files

    def has_mask(self, name: str) -> bool:
        return name + self.mask_suffix in self.mask_files

    def pair(self, name: str) -> Pair:
        """Image and mask of this name; a file that is not there as it would be called."""
        image_stem, mask_stem = name + self.image_suffix, name + self.mask_suffix
        return Pair(
            self.image_files.get(image_stem, self.images / f"{image_stem}.*"),
            self.mask_files.get(mask_stem, self.masks / f"{mask_stem}.png"),
        )

    def without_image(self) -> list[str]:
        """Stems of masks."""
        return sorted(self.mask_files.keys() - {name + self.mask_suffix for name in self.names})

    def without_mask(self) -> list[str]:
        """Names of images."""
        return sorted(name for name in self.names if not self.has_mask(name))


def pair_all(folders: Folders, with_orphans: bool, advice: str) -> dict[str, Pair]:
    """Every image with its mask, by name.

    Args:
        advice: closes the message about files without a partner: what decides which belong together.
    """
    if not folders.image_files:
        raise ValueError(f"{folders.images}: holds no PNG or JPEG image")
    without_mask, without_image = folders.without_mask(), folders.without_image()
    # A mask whose name no image can have is no half of a pair.
    nameless = [stem for stem in without_image if not stem.endswith(folders.mask_suffix)]
    if nameless or ((without_mask or without_image) and not with_orphans):
        images = [str(folders.pair(name).image) for name in without_mask]
        masks = [str(folders.mask_files[stem]) for stem in without_image]
        parts = [f"images without a mask: {some(images)}"] if images else []
        parts += [f"masks without an image: {some(masks)}"] if masks else []
        raise ValueError(f"{folders.masks}: {'; '.join(parts)}. {advice}")
    names = folders.names | {stem.removesuffix(folders.mask_suffix) for stem in without_image}
    return {name: folders.pair(name) for name in sorted(names)}


def pair_listed(folders: Folders, names: list[str], file: Path, with_orphans: bool) -> list[Pair]:
    """The pairs of these names, which stand in `file`."""
    lost = [str(folders.pair(name).image) for name in names if not folders.has_image(name)]
    lost += [str(folders.pair(name).mask) for name in names if not folders.has_mask(name)]
    if lost and not with_orphans:
        raise ValueError(f"{file}: names {len(lost)} files that are not there: {some(lost)}")
    return [folders.pair(name) for name in names]


def scan(root: Path, folder: Path) -> dict[str, Path]:
    """Images below `folder` by their path in it without suffix. Hidden and other files are left out."""
    files: dict[str, Path] = {}
    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        resolved = check_inside(root, current)
        if resolved in seen:
            raise ValueError(f"{current}: leads to a folder that was read already")
        seen.add(resolved)
        for entry in sorted(os.scandir(current), key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                waiting.append(path)
            elif is_image(path):
                if entry.is_symlink():  # a plain file is where its folder is
                    check_inside(root, path)
                name = stem_of(PurePosixPath(path.relative_to(folder).as_posix()))
                if name in files:
                    raise ValueError(f"{path}: has the same name as {files[name].name}; names must differ")
                files[name] = path
    return files


def check_inside(root: Path, path: Path) -> Path:
    """The path without links.

    Raises:
        ValueError: if it leads out of `root`.
    """
    resolved = path.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise ValueError(f"{path}: leads to {resolved}, outside of data.root {root}; copy it into the folder")
    return resolved


def stem_of(path: PurePosixPath) -> str:
    """The path without the suffix of an image."""
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else str(path)


def _with_suffix(files: dict[str, Path], suffix: str) -> dict[str, Path]:
    return {stem: file for stem, file in files.items() if stem.endswith(suffix)}


def is_image(path: Path) -> bool:
    """Whether it is a PNG or JPEG by its name; images of other kinds are refused."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in Image.registered_extensions():
        raise ValueError(f"{path}: is {suffix}; images must be PNG or JPEG, masks PNG")
    return False
