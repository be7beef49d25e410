"""From what a person writes, `train-{000000..000012}.tar`, to the files that are meant."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from braceexpand import braceexpand

from trainables.text_file import read_text, stripped_lines

_LISTS = (".txt", ".list")


def find_shards(patterns: str | Sequence[str], root: str | Path = ".") -> list[Path]:
    """The tar files that patterns below `root` name, each once.

    A pattern is a file, a folder (its *.tar), a glob (`train-*.tar`), or has braces as in bash: a range of
    numbers (`{000000..000012}`, both ends included, zeros kept) or a list (`{a,b}`). Files of one pattern are
    sorted. A .txt or .list holds a pattern in each line, from its own folder on.

    Raises:
        ValueError: a pattern that names nothing, a file that does not exist, or a brace that is not closed.
    """
    found: dict[Path, None] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for each in braceexpand(pattern, escape=False):
            found.update(dict.fromkeys(_files(os.path.expanduser(root), os.path.expanduser(each))))
    if not found:
        raise ValueError(f"shards are {patterns!r}, which names no file; give a folder, a file or a pattern")
    return list(found)


def find_parts(train: Sequence[str], valid: Sequence[str] | None, root: str) -> dict[str, list[Path]]:
    """The shards of "train" and, where there are any, of "valid".

    Raises:
        ValueError: as `find_shards`, or a shard is in both.
    """
    parts = {"train": find_shards(train, root)}
    if valid is None:
        return parts
    parts["valid"] = find_shards(valid, root)
    both = {file.resolve() for file in parts["train"]} & {file.resolve() for file in parts["valid"]}
    if both:
        raise ValueError(f"{min(both)}: is a shard of data.train and of data.valid, which is data leakage")
    return parts


def _files(root: str, pattern: str) -> list[Path]:
    path = Path(root, pattern)
    if path.suffix.lower() in _LISTS and path.is_file():
        lines = [line for _, line in stripped_lines(read_text(path)) if not line.startswith("#")]
        if not lines:
            raise ValueError(f"{path}: is empty; it must hold one shard per line")
        return find_shards(lines, path.parent)
    if path.is_dir():
        files = sorted(path.glob("[!.]*.tar"))
        files = [file for file in files if file.is_file()]
        if not files:
            raise ValueError(f"{path}: has no file that ends in .tar; give the folder of the shards")
    elif path.exists():
        files = [path]
    else:
        found = glob.glob(os.path.join(glob.escape(root), pattern), recursive=True)
        files = sorted(Path(file) for file in found if not Path(file).is_dir())
        if not files:
            raise ValueError(f"{path}: no such file or folder; correct the pattern, or copy the shard")
    return files
