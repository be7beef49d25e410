"""Which fold a sample is in: a function of its name, or of its group's, alone."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trainables.data.fingerprint import Fingerprint, of_contents
from trainables.findings import some
from trainables.folds.options import FOLDER, FoldOptions

_UNEQUAL = 2.0
"""Times that the largest fold may be larger than the smallest without a word."""
_SHOWN = 3
SETTINGS = "settings of folds"
"""What a fingerprint calls them."""
_SEEDS, _MOST_TRIED = 200, 2000
"""Seeds that are tried for folds of more equal sizes, where there are no more names than these."""


@dataclass(frozen=True, eq=False)
class Folds:
    """N samples in folds."""

    of_samples: np.ndarray
    """The fold of each: int64 [N]."""
    chosen: int
    """The one for validation."""
    count: int
    """How many there are."""
    units: Sequence[str]
    """What stays together: the group of each sample, or its name."""
    grouped: bool

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
    found = fold_numbers(known, options.folds, options.split_seed)
    empty = sorted(set(range(options.folds)) - set(found.tolist()))
    if empty:
        different = len(set(known))
        what = f"samples in {different} group{'s' * (different > 1)}" if groups is not None else "samples"
        raise ValueError(
            f"{where}: holds {len(names)} {what}, and by the hash of their names fold "
            f"{some(map(str, empty))} of {options.folds} is empty: {_more_equal(known, found, options.folds)}"
        )
    return Folds(found, options.fold, options.folds, known, groups is not None)


def rows_in_folds(options: FoldOptions, number: int, where: str) -> Folds:
    """The folds of data that always have the same rows, which are named by their number."""
    return make_folds(options, list(map(str, range(number))), where)


def fold_numbers(names: Sequence[str], folds: int, seed: int = 0) -> np.ndarray:
    """The fold of each name: int64 [N]. Characters written in two ways, as macOS does, are the same."""

    return (_hashes(names, seed) % folds).astype(np.int64)


def _hashes(names: Sequence[str], seed: int) -> np.ndarray:
    """A number for each name: uint64 [N]."""

    def number(name: str) -> int:
        written = unicodedata.normalize("NFC", name)
        content = f"{seed}/{written}".encode("utf-8", "surrogateescape")
        return int.from_bytes(hashlib.sha256(content).digest()[:8])

    return np.array([number(name) for name in names], np.uint64)


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


def fold_notes(folds: Folds, where: str, classes: Sequence[str] | None = None) -> Iterator[str]:
    """What a person should know of the folds, in lines: their sizes, and classes that one lacks.

    Args:
        where: what holds the samples.
        classes: of each sample.
    """
    sizes = np.bincount(folds.of_samples, minlength=folds.count)
    of = f" of {len(set(folds.units)):,} groups" if folds.grouped else ""
    yield (
        f"{where}: {len(folds.of_samples):,} samples{of} in {folds.count} folds of {_listed(sizes)}; fold "
        f"{folds.chosen} is for validation (data.folds)"
    )
    if sizes.max() > _UNEQUAL * sizes.min():
        yield (
            f"{where}: fold {sizes.argmax()} has {sizes.max():,} samples and fold {sizes.argmin()} "
            f"{sizes.min():,}: values of folds this unequal vary by that alone; "
            f"{_more_equal(folds.units, folds.of_samples, folds.count)}"
        )
    if folds.grouped:
        yield from _alike(folds, where)
    if classes is not None:
        yield from _lacking(folds, where, classes)


def _more_equal(known: Sequence[str], found: np.ndarray, count: int) -> str:
    """The way to folds of more equal sizes: the best of some seeds, or fewer folds."""
    names, numbers = np.unique(np.array(known, np.str_), return_inverse=True)
    if len(names) == 1:
        return "folds need two groups or more: correct data.group, or leave data.folds out"
    if len(names) > _MOST_TRIED:
        return "set data.folds lower"
    hashes = [_hashes(names.tolist(), seed) for seed in range(_SEEDS)]

    def best(folds: int) -> tuple[int, np.ndarray]:
        """The seed of the most equal folds, and their sizes."""
        tried = [np.bincount((each % folds).astype(np.int64)[numbers], minlength=folds) for each in hashes]
        seed = int(np.argmin([np.ptp(sizes) for sizes in tried]))
        return seed, tried[seed]

    if len(names) < count:
        return _fewer(best, len(names))
    seed, sizes = best(count)
    if np.ptp(sizes) >= np.ptp(np.bincount(found, minlength=count)) or not sizes.all():
        return "set data.folds lower"
    return f"data.split_seed: {seed} makes folds of {_listed(sizes)} samples"


def _fewer(best: Callable[[int], tuple[int, np.ndarray]], most: int) -> str:
    """The way to as many folds as there are groups, or to fewer: by hash two groups may be in one."""
    folds = most
    while folds > 1:
        seed, sizes = best(folds)
        if sizes.all():
            return (
                f"set data.folds: {folds} and data.split_seed: {seed}, for folds of {_listed(sizes)} samples"
            )
        folds -= max(1, folds // 8)
    return "set data.folds: 2, and another data.split_seed until no fold is empty"


def _alike(folds: Folds, where: str) -> Iterator[str]:
    """Groups in different folds that may be one, written in two ways."""
    of_groups = dict(zip(folds.units, folds.of_samples.tolist(), strict=True))
    written: dict[str | float, list[str]] = {}
    for group in of_groups:
        written.setdefault(_plain(group), []).append(group)
    apart = [each for each in written.values() if len({of_groups[group] for group in each}) > 1]
    if apart:
        more = f" (and {len(apart) - 1:,} more such groups)" if len(apart) > 1 else ""
        yield (
            f"{where}: {' and '.join(map(repr, apart[0]))}{more} are different groups, in different folds "
            "(data.group): if they are the same, write them alike, or values are too good"
        )


def _plain(group: str) -> str | float:
    """A group without what people write in one way or another: case, blanks, zeros around a number."""
    text = " ".join(unicodedata.normalize("NFKC", group).casefold().split())
    try:
        return float(text)
    except ValueError:
        return text


def _lacking(folds: Folds, where: str, classes: Sequence[str]) -> Iterator[str]:
    """Classes without a sample in the validation, or in the training, of a fold."""
    names, numbers = np.unique(np.array(classes, np.str_), return_inverse=True)
    held = np.zeros((folds.count, len(names)), np.int64)
    np.add.at(held, (folds.of_samples, numbers), 1)
    for fold in range(folds.count):
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
        "split_seed": options.split_seed,
    }
    return of_contents(SETTINGS, {key: str(value) for key, value in settings.items()})
