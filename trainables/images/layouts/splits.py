"""Which images are for validation: by lists of names, or by a hash of the name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainables.images.layouts.base import Parts
from trainables.images.layouts.files import Files, read_lines, without_suffix
from trainables.images.options import ClassFolderOptions, MaskFolderOptions
from trainables.images.targets import Encoded

VALID_NAMES = ("val", "valid", "validation")
"""Folders of the validation data, in the order of preference."""


def split_by_lists(
    root: Path,
    files: Files,
    options: MaskFolderOptions,
    with_orphans: bool,
    *,
    train: str,
    valid: Sequence[str],
) -> Parts | None:
    """The pairs that the lists name; None where there are no lists.

    Args:
        train, valid: lists below `root` where the options name none; the first of `valid` that exists.

    Raises:
        ValueError: if one of two lists is missing, a name is in both, or one leads out of the folder.
    """
    train_list = root / (options.train_list or train)
    candidates = [root / name for name in ((options.valid_list,) if options.valid_list else valid)]
    valid_list = next((file for file in candidates if file.is_file()), None)
    if not train_list.is_file() or valid_list is None:
        if options.train_list or options.valid_list or train_list.is_file() or valid_list is not None:
            missing = candidates[0] if train_list.is_file() else train_list
            raise ValueError(
                f"{missing}: does not exist; a split needs a list for training and one for validation"
            )
        return None
    lists = {"train": train_list, "valid": valid_list}
    names = {part: _read_list(root, file) for part, file in lists.items()}
    check_disjoint(names, f"{train_list} and {valid_list}")
    return {part: files.pair_listed(names[part], file, with_orphans) for part, file in lists.items()}


def check_disjoint(names: Mapping[str, Sequence[str]], origin: str) -> None:
    shared = sorted(set(names["train"]) & set(names["valid"]))
    if shared:
        raise ValueError(
            f"{origin} share {len(shared)} names, such as {shared[0]}; the two must not share images"
        )


def split_by_hash(pairs: Mapping[str, Encoded], options: MaskFolderOptions) -> Parts:
    """Validation gets the names that `chosen_by_hash` gives."""
    if len(pairs) < 2:
        raise ValueError(
            f"data.root holds {len(pairs)} image; training and validation need at least one each"
        )
    chosen = chosen_by_hash(list(pairs), options)
    return {
        "train": [pair for name, pair in pairs.items() if name not in chosen],
        "valid": [pair for name, pair in pairs.items() if name in chosen],
    }


def chosen_by_hash(names: Sequence[str], options: MaskFolderOptions | ClassFolderOptions) -> set[str]:
    """The names for validation, those with the smallest hashes: the same ones wherever the folder lies."""

    def rank(name: str) -> bytes:
        return hashlib.sha256(f"{options.split_seed}/{name}".encode()).digest()

    count = min(max(1, round(options.valid_fraction * len(names))), len(names) - 1)
    return set(sorted(names, key=rank)[:count])


def _read_list(root: Path, file: Path) -> list[str]:
    """Names without suffix, each once."""
    names = {without_suffix(line) for line in read_lines(root, file) if not line.startswith("#")}
    if not names:
        raise ValueError(f"{file}: is empty; it must hold one image name per line")
    for name in names:
        if name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"{file}: names {name}, which points outside the folder; names must stay in it")
    return sorted(names)
