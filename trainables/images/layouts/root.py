"""The folder of the data: what may be read in it, and what is left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables import text_file
from trainables.findings import some
from trainables.images import formats
from trainables.images.formats import SUFFIXES
from trainables.images.options import FolderData

_SYSTEM = {"__macosx", "@eadir", "$recycle.bin", "#recycle", "system volume information", "lost+found"}
"""Folders of thumbnails and of things removed, which file managers and servers make."""


class DataRoot:
    """`data.root`: its files, kept inside it, and what was noted while they were read."""

    def __init__(self, options: FolderData) -> None:
        self.given = Path(os.path.expanduser(options.root)).absolute()
        self.path = self.given.resolve()
        self._follow_links = options.follow_links
        self.notes: list[str] = []
        """How names were read where that could be meant otherwise."""
        self._left_out: list[str] = []
        self._arrays: list[str] = []
        """Files beside images that may hold images too."""
        self.mask_classes: Sequence[str] = ()
        """Names of classes that may overlap, of which each may have mask files of its own."""
        self.class_masks: dict[Path, tuple[Path | None, ...]] = {}
        """The mask of each class, by the one that stands for the sample."""
        self.own_folds: Mapping[str, int] | None = None
        """The fold of each image as a file of the folder has it, by its path; None: there is no such file."""
        self._checked: set[Path] = set()
        """Folders that are known to lie inside."""

    def all_notes(self) -> tuple[str, ...]:
        """The notes, and what was left out."""
        left_out = f"{self.path}: left out, as hidden or made by the system: {some(self._left_out, 3)}"
        beside = f"left out, as no {formats.NAMES}, or arrays beside images"
        arrays = f"{self.path}: {beside}: {some(self._arrays, 3)}"
        return (*self.notes, *([left_out] if self._left_out else []), *([arrays] if self._arrays else []))

    def subfolder(self, names: Sequence[str], below: str = ".") -> str:
        """The first of these folders that is there, in any case; the first name if none is."""
        return next(self._there(names, self.path / below, Path.is_dir), names[0])

    def file(self, names: Sequence[str]) -> Path | None:
        """The first of these files that is there, in any case."""
        found = (
            self.path / below / name
            for below, _, name in (path.rpartition("/") for path in names)
            for name in self._there([name], self.path / below, Path.is_file)
        )
        return next(found, None)

    def _there(self, names: Sequence[str], folder: Path, is_there: Callable[[Path], bool]) -> Iterator[str]:
        yield from (name for name in names if is_there(folder / name))
        found = {path.name.lower(): path.name for path in folder.iterdir()} if folder.is_dir() else {}
        others = (found[name.lower()] for name in names if name.lower() in found)
        yield from (name for name in others if is_there(folder / name))

    def inside(self, path: Path) -> Path:
        """The path without links.

        Raises:
            ValueError: if it leads out of the folder, and links may not.
        """
        resolved = path.resolve()
        if not self._follow_links and not resolved.is_relative_to(self.path):
            raise ValueError(
                f"{path}: leads to {resolved}, outside of data.root {self.path}; set data.follow_links: true "
                "if links may lead there, or copy it into the folder"
            )
        return resolved

    def named_file(self, path: str) -> Path | None:
        """An image at this path below the root, or relative to it, that need not be in a folder of images."""
        file = Path(os.path.normpath(self.path / path))
        if not _is_image(file) or not file.is_file():
            return None
        if file.parent not in self._checked or file.is_symlink():
            self.inside(file)
            self._checked.add(file.parent)
        return file

    def read_lines(self, file: Path) -> list[tuple[int, str]]:
        """Number and text of the lines of a file that are not empty."""
        self.inside(file)
        return text_file.stripped_lines(text_file.read_text(file))

    def read_json(self, file: Path) -> Any:
        self.inside(file)
        return text_file.read_json(file)

    def walk(self, folder: Path) -> Iterator[Path]:
        """Images below a folder, those of each folder sorted by name; left out are hidden and other files,
        and arrays beside images.

        Raises:
            ValueError: a link leads out of the root or back, or an image is in a format that is not read.
        """
        found = list(self._walk(folder))
        arrays = [path for path in found if path.suffix.lower() in formats.NUMPY]
        if 0 < len(arrays) < len(found):
            self._arrays += [str(path.relative_to(self.path)) for path in arrays]
            found = [path for path in found if path.suffix.lower() not in formats.NUMPY]
        yield from found

    def _walk(self, folder: Path) -> Iterator[Path]:
        seen: set[Path] = set()
        waiting = [folder]
        while waiting:
            current = waiting.pop()
            resolved = self.inside(current)
            if resolved in seen:
                raise ValueError(f"{current}: is a link to a folder that was already read; remove the link")
            seen.add(resolved)
            for entry in sorted(os.scandir(current), key=lambda entry: entry.name):
                path = Path(entry.path)
                if entry.name.startswith("."):
                    self._leave_out(path)
                elif entry.is_dir():
                    if entry.name.lower() in _SYSTEM:
                        self._leave_out(path)
                    else:
                        waiting.append(path)
                elif entry.name.lower().endswith(formats.ARRAYS):
                    self._arrays.append(str(path.relative_to(self.path)))
                elif _is_image(path):
                    # A plain file is where its folder is, and a link to nothing is a wrong sample.
                    if entry.is_symlink() and not self._follow_links and path.exists():
                        self.inside(path)
                    yield path

    def subfolders(self, folder: Path) -> list[str]:
        """Names of the folders in a folder, but hidden ones and those of the system."""
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
        return [name for name in names if not name.startswith(".") and name.lower() not in _SYSTEM]

    def _leave_out(self, path: Path) -> None:
        """Note it if it is an image, or a folder with one in it or one level below."""
        names = [path.name]
        if path.is_dir():
            names = [file.name for pattern in ("*", "*/*") for file in path.glob(pattern)]
        if any(name.lower().endswith(SUFFIXES) for name in names):
            self._left_out.append(str(path.relative_to(self.path)))


def without_suffix(name: str) -> str:
    """The name without the suffix of an image."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def no_images(folder: Path) -> str:
    """What is wrong with a folder without images: what it holds instead."""
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    others = sorted({file.suffix for file in files if file.suffix})
    held = f", but {some(others, 3)}" if others else ""
    if not others and files and files[0].is_file():
        with files[0].open("rb") as file:
            held = f"; {files[0].name} {formats.content(file.read(formats.NUM_BYTES))}"
    way_out = ": convert them, as to PNG" if any(other in formats.ARRAYS for other in others) else ""
    return f"{folder}: holds no image in {formats.NAMES}{held}{way_out}"


def _is_image(path: Path) -> bool:
    if problem := formats.foreign(path.name):
        raise ValueError(f"{path}: {problem}")
    return path.suffix.lower() in SUFFIXES
