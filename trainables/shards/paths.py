"""From what a person writes, `train-{000000..000012}.tar`, to the files that are meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

MAX_SHARDS = 1_000_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def find_shards(patterns: str | Sequence[str], root: str | Path = ".") -> list[Path]:
    """The tar files that patterns below `root` name, each once.

    A pattern is a file, a folder (its *.tar), a glob (`train-*.tar`), or has braces: a range of numbers
    (`{000000..000012}`, both ends included, zeros kept) or a list (`{a,b}`). Files of one pattern are sorted.

    Raises:
        ValueError: a pattern that names nothing, a file that is not there, or a range without end.
    """
    root = Path(root).expanduser()
    found: dict[Path, None] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for each in expand_braces(pattern):
            found.update(dict.fromkeys(_files(root, each)))
    if not found:
        raise ValueError(f"shards are {patterns!r}, which names no file; give a folder, a file or a pattern")
    return list(found)


def find_parts(train: Sequence[str], valid: Sequence[str], root: str) -> dict[str, list[Path]]:
    """The shards of "train" and "valid".

    Raises:
        ValueError: as `find_shards`, or a shard is in both.
    """
    parts = {"train": find_shards(train, root), "valid": find_shards(valid, root)}
    both = {file.resolve() for file in parts["train"]} & {file.resolve() for file in parts["valid"]}
    if both:
        raise ValueError(
            f"{min(both)}: is a shard of data.train and of data.valid; the validation would flatter what was "
            "learnt by heart"
        )
    return parts


def expand_braces(pattern: str) -> list[str]:
    """`a-{08..10}.tar` as `a-08.tar`, `a-09.tar`, `a-10.tar`; several braces as all their combinations.

    Raises:
        ValueError: a range that runs backwards, or more than `MAX_SHARDS` names.
    """
    expanded, pending = [""], pattern
    while match := _BRACES.search(pending):
        values = _values(match.group(1), pattern)
        if len(expanded) * len(values) > MAX_SHARDS:
            raise ValueError(f"{pattern}: names more than {MAX_SHARDS} shards; use fewer, larger ones")
        expanded = [text + pending[: match.start()] + value for text in expanded for value in values]
        pending = pending[match.end() :]
    return [text + pending for text in expanded]


def _values(inside: str, pattern: str) -> list[str]:
    limits = _RANGE.fullmatch(inside)
    if limits is None:
        return inside.split(",")
    first, last = limits.groups()
    if int(last) < int(first):
        raise ValueError(f"{pattern}: the range {{{inside}}} runs backwards; write {{{last}..{first}}}")
    if int(last) - int(first) >= MAX_SHARDS:
        raise ValueError(f"{pattern}: names more than {MAX_SHARDS} shards; use fewer, larger ones")
    width = len(first) if first.startswith("0") or len(first) == len(last) else 0
    return [str(number).zfill(width) for number in range(int(first), int(last) + 1)]


def _files(root: Path, pattern: str) -> list[Path]:
    path = root / Path(pattern).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix == ".tar" and file.is_file())
        if not files:
            raise ValueError(f"{path}: has no file that ends in .tar; give the folder of the shards")
        return files
    if path.exists():
        return [path]
    if any(sign in pattern for sign in "*?["):
        base = Path(path.anchor) if path.is_absolute() else Path()
        files = sorted(file for file in base.glob(str(path.relative_to(path.anchor))) if not file.is_dir())
        if files:
            return files
        raise ValueError(f"{path}: no file has such a name; correct the pattern")
    raise ValueError(f"{path}: there is no such file or folder; correct the pattern, or copy the shard")
