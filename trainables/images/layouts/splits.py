"""Which images are for validation: by lists of names, or by a hash of the name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from trainables.images.layouts.base import Pair
from trainables.images.layouts.files import read_lines, stem_of
from trainables.images.options import ClassFolderOptions, MaskFolderOptions

VALID_NAMES = ("val", "valid", "validation")
"""Folders of the validation data; the first that is there."""


def split_lists(
    root: Path, options: MaskFolderOptions, train: str, valid: Sequence[str]
) -> dict[str, Path] | None:
    """The list files by part; None where there are none.

    Args:
        train, valid: names below `root` where the options give none; the first of `valid` that is there.
    """
    train_file = root / (options.train_list or train)
    candidates = (options.valid_list,) if options.valid_list else tuple(valid)
    valid_file = next((root / name for name in candidates if (root / name).is_file()), None)
    if train_file.is_file() and valid_file is not None:
        return {"train": train_file, "valid": valid_file}
    if options.train_list or options.valid_list or train_file.is_file() or valid_file is not None:
        missing = f"{root / candidates[0]}" if train_file.is_file() else f"{train_file}"
        raise ValueError(f"{missing}: is not there; a split needs a list for training and one for validation")
    return None


def listed_names(root: Path, lists: Mapping[str, Path]) -> dict[str, list[str]]:
    """The names of each list.

    Raises:
        ValueError: if a name is in both, or leads out of the folder.
    """
    names = {part: _read_list(root, file) for part, file in lists.items()}
    check_disjoint(names, f"{lists['train']} and {lists['valid']}")
    return names


def check_disjoint(names: Mapping[str, Sequence[str]], origin: str) -> None:
    shared = sorted(set(names["train"]) & set(names["valid"]))
    if shared:
        raise ValueError(
            f"{origin} share {len(shared)} names, as {shared[0]}; validation images must not be trained on"
        )


def split_by_hash(pairs: Mapping[str, Pair], options: MaskFolderOptions) -> dict[str, list[Pair]]:
    """Validation gets the names that `chosen_by_hash` gives."""
    if len(pairs) < 2:
        raise ValueError(
            f"data.root holds {len(pairs)} image; training and validation need one each at least"
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
    names = [stem_of(PurePosixPath(line)) for line in read_lines(root, file) if not line.startswith("#")]
    if not names:
        raise ValueError(f"{file}: is empty; it must hold one image name a line")
    for name in names:
        if name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"{file}: names {name}, which leads out of the folder; names must stay in it")
    return sorted(set(names))
