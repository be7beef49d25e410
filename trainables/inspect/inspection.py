"""The samples of a task's data and their contents, as `check --data` reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainables.findings import Finding, Kind

IGNORED = -1
"""The number in `Contents.labels` of everything that belongs to no class."""


@dataclass(frozen=True, slots=True)
class SampleName:
    """One sample to read."""

    part: str
    """train or valid"""
    where: str
    """Its file, or `row 12`, or `train sample 12`."""
    num_bytes: int = 0
    """Size on disk; 0 if it is unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What one sample holds; only the findings if it cannot be read."""

    findings: Sequence[Finding] = ()
    digests: Sequence[bytes] = ()
    """SHA-256 of each input: samples with equal digests are the same."""
    size: tuple[int, int] | None = None
    """Width and height in pixels."""
    labels: Mapping[int, int] = field(default_factory=dict)
    """Number of occurrences of each class number, and of `IGNORED`, in the target."""
    sums: np.ndarray | None = None
    """Number, sum and sum of squares by channel: float64 [3, C]; images are scaled to [0, 1]."""


@dataclass(frozen=True, slots=True)
class Column:
    """What a column of a table was taken for."""

    name: str
    kind: str
    """Such as `number`, `12 texts`, `target`, `left out: one value`."""
    missing: int
    """Cells of training and validation that stand for a missing value."""
    example: str


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What only all samples together show."""

    findings: Sequence[Finding] = ()
    class_names: Sequence[str] = ()
    """In the order of the class numbers; empty for a target without classes."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What was understood of the data, such as how many bits images have: texts by what they are of."""
    columns: Sequence[Column] = ()
    """Of a table."""


LEAKAGE = Kind(
    name="data leakage",
    severity="warning",
    remedy="remove it from one of the two parts, unless equal inputs are expected",
)


class Inspection:
    """The data of a task, read sample by sample. Subclass it, set `samples` and define `look`."""

    samples: Sequence[SampleName]
    root: Path | None = None
    """The folder of the files; None if the samples are not files."""
    findings: Sequence[Finding] = ()
    """Problems of the data as a whole, such as a folder of an unknown layout."""
    notes: Sequence[str] = ()
    """How the data were understood, where they could be meant otherwise."""
    unit: str = "samples"
    """What `labels` count, such as `pixels`."""
    overlapping: bool = False
    """Whether a pixel may have several classes, or none."""
    compared: str = "inputs"
    """What `digests` are computed from, such as `decoded pixels`."""
    leakage: Kind = LEAKAGE
    """Kind of finding for a training sample that is also a validation sample."""
    folds: np.ndarray | None = None
    """The fold of each sample, int64 [N]; None where there are no folds."""
    num_threads: int = 1
    """Number of threads that may call `look` at the same time."""

    def look(self, number: int) -> Contents:
        """Read one sample. Called once for each; must not keep its pixels."""
        raise TypeError(f"{type(self).__name__} does not define look()")

    def conclude(self, contents: Sequence[Contents]) -> Conclusion:
        """Called after the samples were read, unless there are none; one not looked at has empty contents."""
        held = {label for of_sample in contents for label in of_sample.labels} - {IGNORED}
        return Conclusion(class_names=[str(number) for number in range(1 + max(held, default=-1))])


def digest_of(values: np.ndarray) -> bytes:
    """SHA-256 of an array's shape, type and values."""
    return hashlib.sha256(repr((values.shape, values.dtype.str)).encode() + values.tobytes()).digest()
