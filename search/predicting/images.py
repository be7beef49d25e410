"""The images of a folder, in their order, and read a few at a time."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.errors import RefusedError
from search.predicting.folder import is_output
from trainables.data.threads import in_threads, num_threads
from trainables.images.bands import Mapped
from trainables.images.decode import header_size
from trainables.predicting.model import memory_limits

Pixels = np.ndarray | Mapped
"""uint8 [H, W, C], or what stands for it on disk."""
_MOST_PIXELS = 2**25
"""Of images that are read at once."""
_OF_THE_SYSTEM = ("Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class InputImage:
    """An image by its path, and its name below the folder that was given."""

    file: Path
    name: str

    @property
    def stem(self) -> str:
        """The name without its suffix, from which those of outputs are made."""
        return os.path.splitext(self.name)[0]


def find_images(
    given: Path, without: Sequence[Path], say: Callable[[str], None] = lambda note: None
) -> list[InputImage]:
    """The image, or all files below a folder in the order of their names; hidden ones are left out.

    Args:
        without: folders that are not looked into, as are those that `predict` has written.
        say: told of each of the latter.

    Raises:
        RefusedError: there is none, a folder cannot be listed, or is there twice by a link.
    """
    if given.is_file():
        return [InputImage(given, given.name)]
    left_out = {folder.resolve() for folder in without}
    found, seen = list[InputImage](), dict[Path, Path]()
    for parent, folders, names in os.walk(given, followlinks=True, onerror=_refuse_unlisted):
        here = Path(parent)
        if (other := seen.setdefault(here.resolve(), here)) != here:
            raise RefusedError(f"{other} and {here} are one folder, by a link: remove the link")
        folders[:] = [
            name for name in sorted(folders) if name[0] != "." and (here / name).resolve() not in left_out
        ]
        outputs = [name for name in folders if is_output(here / name)]
        folders[:] = [name for name in folders if name not in outputs]
        for name in outputs:
            say(f"{(here / name).relative_to(given)} is left out: it holds what `predict` has written")
        found += [
            InputImage(here / name, (here / name).relative_to(given).as_posix())
            for name in names
            if name[0] != "." and name not in _OF_THE_SYSTEM
        ]
    if not found:
        raise RefusedError(f"{given} holds no file; give a folder of images")
    found.sort(key=lambda image: image.name)
    return found


def _refuse_unlisted(error: OSError) -> None:
    raise RefusedError(f"{error.filename} cannot be listed: {error.strerror}") from error


def refuse_same_stems(images: Sequence[InputImage]) -> None:
    """Raise RefusedError if two images differ by their suffix alone, so that one output would be of both."""
    by_stem: dict[str, str] = {}
    for image in images:
        if (other := by_stem.setdefault(image.stem, image.name)) != image.name:
            raise RefusedError(
                f"{other} and {image.name} would both be written as {image.stem}.png; rename one of them"
            )


def read_images(
    images: Sequence[InputImage], read: Callable[[Path], Pixels], at_once: int
) -> Iterator[list[tuple[InputImage, Pixels | ValueError]]]:
    """Images with their pixels, or what is wrong with them, as many at a time as fit into memory.

    Args:
        read: raises a ValueError that names the file.
        at_once: the most images.
    """
    for group in _groups(images, at_once):

        def one(number: int, group: Sequence[InputImage] = group) -> Pixels | ValueError:
            try:
                with memory_limits():
                    return read(group[number].file)
            except ValueError as error:
                return error

        outcomes = in_threads(one, len(group), min(num_threads(), len(group)))
        yield list(zip(group, outcomes, strict=True))


def same_sizes(
    pairs: Sequence[tuple[InputImage, Pixels]], key: Callable[[Pixels], bool]
) -> Iterator[list[tuple[InputImage, Pixels]]]:
    """Images of one size together where `key` says that they may be; others alone."""
    together: dict[tuple[int, ...], list[tuple[InputImage, Pixels]]] = defaultdict(list)
    for image, pixels in pairs:
        if key(pixels):
            together[pixels.shape].append((image, pixels))
        else:
            yield [(image, pixels)]
    yield from together.values()


def _groups(images: Sequence[InputImage], at_once: int) -> Iterator[list[InputImage]]:
    group: list[InputImage] = []
    waiting = 0
    for image in images:
        try:
            height, width = header_size(image.file)
        except ValueError:  # told when it is read
            height = width = 0
        if group and (len(group) >= at_once or waiting + height * width > _MOST_PIXELS):
            yield group
            group, waiting = [], 0
        group.append(image)
        waiting += height * width
    if group:
        yield group
