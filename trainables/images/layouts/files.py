"""The images and masks of a folder: found, kept inside the root, and paired by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from trainables.findings import some
from trainables.images.layouts.base import Parts
from trainables.images.targets import Encoded

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
        raise ValueError(f"{file}: is not UTF-8 text ({error}); it must hold one name per line") from error


def read_lines(root: Path, file: Path) -> list[str]:
    """The lines that are not empty, without surrounding spaces; see `read_text`."""
    lines = [line.strip() for line in read_text(root, file).splitlines()]
    return [line for line in lines if line]


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How the files of a sample are named."""

    image_suffix: str = ""
    """What the stem of an image has after the name of the sample."""
    mask_suffix: str = ""
    mixed: bool = False
    """Whether the folders also hold files of other kinds, without these suffixes; otherwise a mask without
    `mask_suffix` is an orphan."""
    advice: str
    """Ends the message about orphans: what decides which files belong together."""


class Files:
    """The images below one folder and the masks below another, by the name that they share."""

    def __init__(self, root: Path, images: str, masks: str, naming: Naming) -> None:
        self._image, self._image_end = root / images, f"{naming.image_suffix}.*"
        self._mask, self._mask_end = root / masks, f"{naming.mask_suffix}.png"
        self._advice = naming.advice
        self.image_stems, mask_stems = find_files(root, root / images), find_files(root, root / masks)
        self.images: dict[str, tuple[Path, ...]]
        self.images = {name: (file,) for name, file in _named(self.image_stems, naming.image_suffix).items()}
        self.masks = _named(mask_stems, naming.mask_suffix)
        self.nameless = [
            file
            for stem, file in mask_stems.items()
            if not naming.mixed and not stem.endswith(naming.mask_suffix)
        ]
        """Masks that cannot belong to any image."""

    def pair(self, name: str) -> Encoded:
        """Image and mask of this name; a missing file has the path where it is expected."""
        image, mask = self._image / f"{name}{self._image_end}", self._mask / f"{name}{self._mask_end}"
        return Encoded(self.images.get(name, (image,)), self.masks.get(name, mask))

    def pair_all(self, with_orphans: bool) -> dict[str, Encoded]:
        """Every image with its mask, by name."""
        if not self.images:
            raise ValueError(f"{self._image}: holds no PNG or JPEG image")
        images = [self.images[name][0] for name in sorted(self.images.keys() - self.masks.keys())]
        masks = [self.masks[name] for name in sorted(self.masks.keys() - self.images.keys())]
        if self.nameless or ((images or masks) and not with_orphans):
            kinds = {"images without a mask": images, "masks without an image": [*masks, *self.nameless]}
            listed = "; ".join(f"{kind}: {some(map(str, files))}" for kind, files in kinds.items() if files)
            raise ValueError(f"{self._mask}: {listed}. {self._advice}")
        return {name: self.pair(name) for name in sorted(self.images.keys() | self.masks.keys())}

    def pair_listed(self, names: list[str], file: Path, with_orphans: bool) -> list[Encoded]:
        """The pairs of these names, which stand in `file`."""
        lost = [str(self.pair(name).images[0]) for name in names if name not in self.images]
        lost += [str(self.pair(name).target) for name in names if name not in self.masks]
        if lost and not with_orphans:
            raise ValueError(f"{file}: names {len(lost)} files that do not exist: {some(lost)}")
        return [self.pair(name) for name in names]


def pair_parts(
    root: Path, folders: Mapping[str, tuple[str, str]], naming: Naming, with_orphans: bool
) -> Parts:
    """All pairs of data that are split by folders: of each part one of images and one of masks."""
    return {
        part: list(Files(root, images, masks, naming).pair_all(with_orphans).values())
        for part, (images, masks) in folders.items()
    }


def find_files(root: Path, folder: Path) -> dict[str, Path]:
    """Images below `folder` by their path in it without suffix."""
    files: dict[str, Path] = {}
    for path in walk(root, folder):
        name = without_suffix(path.relative_to(folder).as_posix())
        if name in files:
            raise ValueError(f"{path}: has the same name as {files[name].name}; names must differ")
        files[name] = path
    return files


def walk(root: Path, folder: Path) -> Iterator[Path]:
    """Images below `folder`, those of each folder sorted by name; hidden and other files are left out.

    Raises:
        ValueError: a link leads out of `root` or back, or an image is neither PNG nor JPEG.
    """
    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        resolved = check_inside(root, current)
        if resolved in seen:
            raise ValueError(f"{current}: is a link to a folder that was already read")
        seen.add(resolved)
        for entry in sorted(os.scandir(current), key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                waiting.append(path)
            elif _is_image(path):
                if entry.is_symlink():  # a plain file is where its folder is
                    check_inside(root, path)
                yield path


def check_inside(root: Path, path: Path) -> Path:
    """The path without links.

    Raises:
        ValueError: if it leads out of `root`.
    """
    resolved = path.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise ValueError(f"{path}: leads to {resolved}, outside of data.root {root}; copy it into the folder")
    return resolved


def without_suffix(name: str) -> str:
    """The name without the suffix of an image."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def _named(files: Mapping[str, Path], suffix: str) -> dict[str, Path]:
    return {stem.removesuffix(suffix): file for stem, file in files.items() if stem.endswith(suffix)}


def _is_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in Image.registered_extensions() and suffix not in SUFFIXES:
        raise ValueError(f"{path}: is {suffix}; images must be PNG or JPEG, masks PNG")
    return suffix in SUFFIXES
