"""Which images are for validation: names that must not be shared, and a hash of the name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from trainables.images.layouts.base import Parts
from trainables.images.options import ClassFolderOptions, MaskFolderOptions
from trainables.images.targets import Encoded

TRAIN_NAMES = ("train", "training")
VALID_NAMES = ("val", "valid", "validation")
"""Folders of the validation data, in the order of preference, in any case."""


def check_disjoint(names: Mapping[str, Sequence[str]], origin: str) -> None:
    shared = sorted(set(names["train"]) & set(names["valid"]))
    if shared:
        raise ValueError(
            f"{origin} share {len(shared)} names, such as {shared[0]}; the two must not share images: remove "
            "each from one of the two"
        )


def split_by_hash(pairs: Mapping[str, Encoded], options: MaskFolderOptions) -> Parts:
    """Validation gets the names that `chosen_by_hash` gives; with folds, which are made later, none."""
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

    if options.folds is not None:
        return set()
    count = min(max(1, round(options.valid_fraction * len(names))), len(names) - 1)
    return set(sorted(names, key=rank)[:count])
