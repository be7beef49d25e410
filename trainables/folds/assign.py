"""Which fold a sample is in: a function of its name, or of its group's, alone."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from trainables.data.fingerprint import Fingerprint, of_contents
from trainables.findings import some
from trainables.folds.options import FOLDER, FoldOptions

_UNEQUAL = 2.0
"""Times that the largest fold may be larger than the smallest without a word."""
_SHOWN = 3


class Folds(NamedTuple):
    """N samples in folds."""

    of_samples: np.ndarray
    """The fold of each: int64 [N]."""
    chosen: int
    """The one for validation."""

    @property
    def train(self) -> np.ndarray:
        """Numbers of the samples for training, ascending: int64."""
        return np.flatnonzero(self.of_samples != self.chosen)

    @property
    def valid(self) -> np.ndarray:
        """Numbers of the samples for validation, ascending: int64."""
        return np.flatnonzero(self.of_samples == self.chosen)


def make_folds(
    options: FoldOptions, names: Sequence[str], where: str, groups: Sequence[str] | None = None
) -> Folds:
    """The folds of samples, by their names or their groups.

    Args:
        names: of the samples, without what differs from machine to machine.
        where: what holds them, for messages.
        groups: of each sample.

    Raises:
        ValueError: a fold is empty.
    """
    assert options.folds is not None
    known = names if groups is None else groups
    found = fold_numbers(known, options.folds, seed_of(options))
    empty = sorted(set(range(options.folds)) - set(found.tolist()))
    if empty:
        different = len(set(known))
        what = f"samples in {different} groups" if groups is not None else "samples"
        fewer = (
            f"set data.folds to {different} or less" if different < options.folds else "set data.folds lower"
        )
        seed = (
            ", or another data.split_seed"
            if hasattr(options, "split_seed") and different > options.folds
            else ""
        )
        raise ValueError(
            f"{where}: holds {len(names)} {what}, and by the hash of their names fold "
            f"{some(map(str, empty))} of {options.folds} is empty: {fewer}{seed}"
        )
    return Folds(found, options.fold)


def rows_in_folds(options: FoldOptions, number: int, where: str) -> Folds:
    """The folds of data that always have the same rows, which are named by their number."""
    return make_folds(options, list(map(str, range(number))), where)


def fold_numbers(names: Sequence[str], folds: int, seed: int = 0) -> np.ndarray:
    """The fold of each name: int64 [N]. Characters written in two ways, as macOS does, are the same."""

    def number(name: str) -> int:
        written = unicodedata.normalize("NFC", name)
        content = f"{seed}/{written}".encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.sha256(content).digest()[:8]) % folds

    return np.array([number(name) for name in names], np.int64)


def seed_of(options: FoldOptions) -> int:
    """Of the hash: that of the split, where the data have one."""
    return int(getattr(options, "split_seed", 0))


def groups_in_names(pattern: str | None, names: Sequence[str], where: str) -> list[str] | None:
    """The group of each name; None without a pattern.

    Args:
        pattern: `NameFolds.group`.

    Raises:
        ValueError: names in which it is not found.
    """
    if pattern is None:
        return None
    if pattern == FOLDER:
        return [name.rpartition("/")[0] for name in names]
    found = [re.search(pattern, name) for name in names]
    lost = [name for name, match in zip(names, found, strict=True) if match is None or match[1] is None]
    if lost:
        raise ValueError(
            f"{where}: data.group is {pattern!r}, which is not found in {len(lost)} of {len(names)} names, "
            f"such as {some(lost, _SHOWN)}; it must be in each: correct it, or take folder for the "
            "folder of each image"
        )
    return [match[1] for match in found if match is not None]


def fold_notes(
    folds: Folds,
    count: int,
    where: str,
    *,
    groups: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
) -> Iterator[str]:
    """What a person should know of the folds, in lines: their sizes, and classes that one lacks.

    Args:
        count: number of folds.
        groups: of each sample.
        classes: of each sample.
    """
    sizes = np.bincount(folds.of_samples, minlength=count)
    of = "" if groups is None else f" of {len(set(groups)):,} groups"
    yield (
        f"{where}: {len(folds.of_samples):,} samples{of} in {count} folds of {_listed(sizes)}; fold "
        f"{folds.chosen} is for validation (data.folds)"
    )
    if sizes.max() > _UNEQUAL * sizes.min():
        yield (
            f"{where}: fold {sizes.argmax()} has {sizes.max():,} samples and fold {sizes.argmin()} "
            f"{sizes.min():,}: values of folds this unequal vary by that alone; fewer folds, or "
            "smaller groups, are more equal"
        )
    if classes is not None:
        yield from _lacking(folds, count, where, classes)


def _lacking(folds: Folds, count: int, where: str, classes: Sequence[str]) -> Iterator[str]:
    """Classes without a sample in the validation, or in the training, of a fold."""
    names, numbers = np.unique(np.array(classes, np.str_), return_inverse=True)
    held = np.zeros((count, len(names)), np.int64)
    np.add.at(held, (folds.of_samples, numbers), 1)
    for fold in range(count):
        if len(absent := names[held[fold] == 0]):
            yield f"{where}: fold {fold} has no sample to validate of {_classes(absent)} (data.folds)"
        if len(whole := names[held[fold] == held.sum(axis=0)]):
            yield f"{where}: without fold {fold} no sample is left to train of {_classes(whole)} (data.folds)"


def _classes(names: np.ndarray) -> str:
    return f"class {names[0]}" if len(names) == 1 else f"the classes {some(map(str, names), _SHOWN)}"


def _listed(sizes: np.ndarray) -> str:
    if len(sizes) > 10:
        return f"{sizes.min():,} to {sizes.max():,}"
    return " + ".join(f"{size:,}" for size in sizes)


def fold_fingerprint(options: FoldOptions) -> Fingerprint:
    """What the folds are; nothing without folds."""
    if options.folds is None:
        return Fingerprint()
    settings = {
        "folds": options.folds,
        "fold": options.fold,
        "group": getattr(options, "group", None),
        "seed": seed_of(options),
    }
    return of_contents("folds", {key: str(value) for key, value in settings.items()})
