"""What a text in a list names: an image or a mask, by name or path, as this or another machine writes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from trainables.images.formats import SUFFIXES
from trainables.images.layouts.files import Files, by_form
from trainables.images.layouts.root import DataRoot, without_suffix
from trainables.text_file import plain_form, visible

Found = TypeVar("Found")


class Names:
    """Looks up the images and masks of a folder by what a list writes.

    A name has its suffix or not; a path is relative to the folder of images or of masks, to `data.root`, or
    to the folder of the list, or absolute. What differs in case, in characters that look alike or in the
    suffix is found if only one file is meant. Paths of another machine are, if all begin alike.
    """

    def __init__(self, root: DataRoot, list_folder: Path, files: Files) -> None:
        self._root, self._files = root, files
        self._bases = list(dict.fromkeys([str(root.path), str(list_folder)]))
        self._odd: dict[str, list[tuple[str, str]]] = {}
        self._elsewhere: str | None = None
        """What paths of another machine begin with."""

    def notes(self) -> Iterator[str]:
        """What was found by another name than is written."""
        for how, texts in self._odd.items():
            text, name = (visible(each, forms=True) for each in texts[0])
            yield f"{len(texts)} names {how}, such as {text} for {name}"

    def sample(self, text: str) -> str | None:
        """The name of the sample whose image, or else mask, the text names."""
        files = self._files
        if text in files.images and text not in files.image_stems:
            return text
        name = self._found(text, files.images_folder, files.name_of_image, "_image_forms") or self._found(
            text, files.masks_folder, files.name_of_mask, "_mask_forms"
        )
        suffix = os.path.splitext(text)[1].lower()
        if name is not None and suffix in SUFFIXES:
            known = (*files.images.get(name, ()), files.masks.get(name))
            if not any(str(file).lower().endswith(suffix) for file in known):
                self._noted("have another suffix than their files", text, name)
        return name

    def image(self, text: str) -> tuple[str, tuple[Path, ...]] | None:
        """Name and files of the image that the text names, wherever it lies below the root."""
        files = self._files
        name = self._found(text, files.images_folder, files.name_of_image, "_image_forms")
        if name is not None:
            return name, files.images[name]
        file = self._anywhere(text)
        return None if file is None else (without_suffix(str(file.relative_to(self._root.path))), (file,))

    def mask(self, text: str) -> Path | None:
        """The mask that the text names, wherever it lies below the root."""
        files = self._files
        stem = self._found(
            text, files.masks_folder, lambda stem: stem if stem in files.mask_stems else None, "_mask_forms"
        )
        if stem is None:
            return self._anywhere(text)
        return files.mask_stems[stem] if stem in files.mask_stems else files.masks[stem]

    def _anywhere(self, text: str) -> Path | None:
        path = text.replace("\\", "/")
        found = (self._root.named_file(os.path.join(base, path)) for base in self._bases)
        return next(
            (file for file in found if file is not None and file.is_relative_to(self._root.path)), None
        )

    def _found(
        self,
        text: str,
        folder: Path,
        exactly: Callable[[str], str | None],
        by_forms: Literal["_image_forms", "_mask_forms"],
    ) -> str | None:
        """The name, looked up as it is written, then in another form, with another suffix, from elsewhere."""
        for path in self._paths(text, str(folder)):
            if name := exactly(path):
                return name
        written = text.replace("\\", "/")
        for path in self._paths(plain_form(text), plain_form(str(folder)), plain_form):
            if name := getattr(self, by_forms).get(path):
                return self._noted(
                    "are written otherwise, in case or in characters that look alike", text, name
                )
        stem, suffix = os.path.splitext(written)
        if 1 < len(suffix) <= 5 and not suffix[1:].isdigit() and without_suffix(written) == written:
            for path in self._paths(stem, str(folder)):
                if name := exactly(path):
                    return self._noted("have another suffix than their files", text, name)
        return self._from_elsewhere(written, text, folder, exactly)

    def _paths(self, text: str, folder: str, form: Callable[[str], str] = str) -> Iterator[str]:
        """What a text can be as a path in a folder, without suffix."""
        yield without_suffix(text)
        path = text.replace("\\", "/")
        for base in self._bases:
            whole = os.path.normpath(os.path.join(form(base), path))
            if whole.startswith(f"{folder}/"):
                yield without_suffix(whole.removeprefix(f"{folder}/"))

    def _from_elsewhere(
        self, path: str, text: str, folder: Path, exactly: Callable[[str], str | None]
    ) -> str | None:
        """A path that begins with folders of another machine, the same ones in each line."""
        parts = path.split("/")
        if len(parts) < 3 or not (path.startswith("/") or path[1:3] == ":/") or os.path.lexists(path):
            return None
        for count in range(1, len(parts) - 1):
            begin, rest = "/".join(parts[:count]), "/".join(parts[count:])
            whole = os.path.normpath(self._root.path / rest)
            if any(suffix in begin.lower() for suffix in SUFFIXES):
                return None  # two columns
            if self._elsewhere not in (None, begin) or not whole.startswith(f"{folder}/"):
                continue
            if name := exactly(without_suffix(whole.removeprefix(f"{folder}/"))):
                self._elsewhere = begin
                how = f"are paths below {begin}, read as below {self._root.path}"
                return self._noted(how, text, name)
        return None

    def _noted(self, how: str, text: str, found: Found) -> Found:
        self._odd.setdefault(how, []).append((text, str(found)))
        return found

    @cached_property
    def _image_forms(self) -> Mapping[str, str | None]:
        return _forms(self._files.images, self._files.image_stems, self._files.name_of_image)

    @cached_property
    def _mask_forms(self) -> Mapping[str, str | None]:
        return _forms(self._files.masks, self._files.mask_stems, self._files.name_of_mask)


def _forms(
    names: Iterable[str], stems: Iterable[str], name_of: Callable[[str], str | None]
) -> Mapping[str, str | None]:
    """Samples by the plain form of their name, or of the stem of their file; None where there are two."""
    of_stems = {form: None if stem is None else name_of(stem) for form, stem in by_form(stems).items()}
    return {**by_form(names), **of_stems}
