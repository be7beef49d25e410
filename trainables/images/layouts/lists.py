"""The lists of a split: names or paths of images, each with or without its mask."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainables.findings import some
from trainables.images.layouts.base import Parts
from trainables.images.layouts.files import Files
from trainables.images.layouts.names import Names
from trainables.images.layouts.root import DataRoot, without_suffix
from trainables.images.layouts.splits import check_disjoint
from trainables.images.options import MaskFolderOptions
from trainables.images.targets import Encoded
from trainables.text_file import visible

RULE = "a line holds the name of an image, or an image and its mask"
_HEADERS = frozenset(
    [
        "image",
        "images",
        "img",
        "image_id",
        "image_path",
        "image_name",
        "id",
        "name",
        "names",
        "file",
        "files",
        "filename",
        "file_name",
        "path",
        "mask",
        "masks",
        "mask_path",
        "mask_name",
        "label",
        "labels",
        "annotation",
        "target",
    ]
)
_MOST_COMPARED = 20_000
"""Names among which the nearest one is looked for."""


def is_header(text: str) -> bool:
    """Whether a line seems to hold the names of columns."""
    return _HEADERS.issuperset(re.split(r"[,;\s]+", text.lower()))


def has_lists(
    root: DataRoot, options: MaskFolderOptions, *, train: Sequence[str], valid: Sequence[str]
) -> bool:
    """Whether a list is set, or is where it is looked for."""
    if options.train_list or options.valid_list:
        return True
    return any(root.file(names) is not None for names in (train, valid))


def split_by_lists(
    root: DataRoot,
    files: Files,
    options: MaskFolderOptions,
    with_orphans: bool,
    *,
    train: Sequence[str],
    valid: Sequence[str],
) -> Parts | None:
    """The pairs that the lists name; None where there are no lists.

    Args:
        train, valid: lists below `root` where the options name none; the first that exists.

    Raises:
        ValueError: if one of two lists is missing, a name is in both, or one leads out of the folder.
    """
    wanted = {
        "train": (options.train_list,) if options.train_list else train,
        "valid": (options.valid_list,) if options.valid_list else valid,
    }
    lists = {part: root.file(names) for part, names in wanted.items()}
    train_list, valid_list = lists["train"], lists["valid"]
    if train_list is None or valid_list is None:
        if options.train_list or options.valid_list or train_list or valid_list:
            missing = "valid" if train_list else "train"
            raise ValueError(
                f"{root.path / wanted[missing][0]}: does not exist; a split needs a list for training and "
                f"one for validation (data.{missing}_list)"
            )
        return None
    pairs = {
        part: _List(root, file, files).read(with_orphans)
        for part, file in (("train", train_list), ("valid", valid_list))
    }
    names = {part: list(of_part) for part, of_part in pairs.items()}
    check_disjoint(names, f"{train_list} and {valid_list}")
    return {part: [of_part[name] for name in sorted(of_part)] for part, of_part in pairs.items()}


class _List:
    """One list of images of these files."""

    def __init__(self, root: DataRoot, file: Path, files: Files) -> None:
        self._root, self._file, self._files = root, file, files
        self._names = Names(root, file.parent, files)
        self._two_columns = False
        """Whether a line had two: then others are tried as such first."""

    def read(self, with_orphans: bool) -> dict[str, Encoded]:
        """The pairs by name.

        Raises:
            ValueError: the list is empty, or a line names no pair; with orphans, if all of them do.
        """
        # What data.root is in the configuration may be a link to where it is.
        lines = [
            (number, text.replace(f"{self._root.given}/", f"{self._root.path}/"))
            for number, text in self._root.read_lines(self._file)
        ]
        hashed = any(text.startswith("#") and self._names.sample(text) for _, text in lines)
        lines = [each for each in lines if not self._is_comment(each[1], hashed)]
        if lines and self._is_header(lines[0][1]):
            del lines[0]
        if not lines:
            raise ValueError(f"{self._file}: is empty; {RULE}")
        pairs, lost, twice = dict[str, Encoded](), list[tuple[int, str]](), list[str]()
        for number, text in lines:
            name, pair, is_whole = self._pair(text) or self._lost(number, text)
            if not is_whole:
                lost.append((number, text))
            if name in pairs:
                twice.append(text)
                if pair.target != pairs[name].target:
                    raise ValueError(
                        f"{self._file}:{number}: names {visible(text)} again, with another mask; remove one"
                    )
            pairs[name] = pair
        if lost:
            problem = self._problem(lost)
            if len(lost) == len(lines) or not with_orphans:
                raise ValueError(problem)
            self._root.notes.append(problem)
        if twice:
            self._root.notes.append(
                f"{self._file}: names {len(twice)} images more than once, such as {visible(twice[0])}; each "
                "is used once"
            )
        self._root.notes += [f"{self._file}: {note}" for note in self._names.notes()]
        return pairs

    def _pair(self, text: str) -> tuple[str, Encoded, bool] | None:
        """Name and files that a line means, and whether both files are there."""
        files = self._files
        if self._two_columns and (found := self._two(text)):
            return found
        if name := self._names.sample(text):
            return name, files.pair(name), name in files.images and name in files.masks
        if found := self._two(text):
            self._two_columns = True
            return found
        plain = re.split(r"\s+#", text)[0].strip("\"' ")
        return self._pair(plain) if plain and plain != text else None

    def _two(self, text: str) -> tuple[str, Encoded, bool] | None:
        """Name and files of a line of two columns."""
        for image, mask in _columns(text):
            named, target = self._names.image(image), self._names.mask(mask)
            if named is not None and target is not None:
                name, found = named
                return name, Encoded(found, target), True
        return None

    def _lost(self, number: int, text: str) -> tuple[str, Encoded, bool]:
        """The pair of a name that no file has, where it is expected."""
        path = text.replace("\\", "/")
        if path.startswith("/") or os.path.normpath(path).startswith(".."):
            outside = os.path.normpath(self._file.parent / path)
            if not outside.startswith(f"{self._root.path}/"):
                raise ValueError(
                    f"{self._file}:{number}: names {visible(text)}, which points outside the folder "
                    f"{self._root.path}; names must stay in it"
                )
        name = without_suffix(text)
        return name, self._files.pair(name), False

    def _problem(self, lost: Sequence[tuple[int, str]]) -> str:
        """What is wrong with lines that name no pair, and what helps the first one."""
        files, missing = self._files, list[str]()
        for _, text in lost:
            pair = (self._pair(text) or self._lost(0, text))[1]
            name = self._names.sample(text)
            missing += [] if name in files.images else [str(pair.images[0])]
            missing += [] if name in files.masks else [str(pair.target)]
        number, text = lost[0]
        listed = some((visible(name, forms=True) for name in missing), 4)
        hint = self._hint(number, text)
        return f"{self._file}: names {len(missing)} files that do not exist: {listed}; {hint}"

    def _hint(self, number: int, text: str) -> str:
        files, line = self._files, f"line {number}, '{visible(text, forms=True)}'"
        if name := self._names.sample(text):
            lacks = "mask" if name in files.images else "image"
            return f"{line}, lacks its {lacks}: add it, or remove the line"
        for image, mask in _columns(text):
            if self._names.image(image) is not None:
                return f"{line}, has no mask '{visible(mask, forms=True)}': {RULE}"
        known = list(files.images)
        if len(known) <= _MOST_COMPARED:
            close = difflib.get_close_matches(without_suffix(os.path.basename(text)), known, n=1)
            if close:
                return f"{line}: did you mean '{visible(close[0], forms=True)}'?"
        return (
            f"correct {line}: {RULE}, with or without suffix, relative to {files.images_folder} or "
            f"{self._root.path}"
        )

    def _is_comment(self, text: str, hashed: bool) -> bool:
        """Whether the line is no name, though it begins as one may: where names begin alike, few are."""
        if not text.startswith("#") or (hashed and not text.startswith(("# ", "##"))):
            return False
        return self._names.sample(text) is None

    def _is_header(self, text: str) -> bool:
        return is_header(text) and self._pair(text) is None


def _columns(text: str) -> Iterator[tuple[str, str]]:
    """The ways to read a line as two columns: between them is a tab, a comma, or blanks."""
    for match in re.finditer(r"\s*[\t,;]\s*|\s+", text):
        left, right = text[: match.start()], text[match.end() :]
        if left and right:
            yield left.strip("\"'"), right.strip("\"'")
