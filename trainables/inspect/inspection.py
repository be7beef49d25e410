"""What a task tells about its data before anything is trained: the samples, and what each of them holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainables.findings import Finding, Kind

IGNORED = -1
"""Stands for all that has no class in `Contents.labels`."""


@dataclass(frozen=True, slots=True)
class SampleName:
    """One sample to look at."""

    part: str
    """train or valid"""
    where: str
    """Its file, or `row 12`, or `train sample 12`."""
    num_bytes: int = 0
    """To read for it; 0 where nobody knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What one sample holds; of one that cannot be read, only what is wrong with it."""

    findings: Sequence[Finding] = ()
    digests: Sequence[bytes] = ()
    """SHA-256 of each input: samples with equal ones are the same."""
    size: tuple[int, int] | None = None
    """Width and height in pixels."""
    labels: Mapping[int, int] = field(default_factory=dict)
    """How often each class number occurs in the target, and `IGNORED`."""
    sums: np.ndarray | None = None
    """Number, sum and sum of squares of the values by channel: float64 [3, C]; 255 counts as 1 in images."""


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What only all samples together show."""

    findings: Sequence[Finding] = ()
    class_names: Sequence[str] = ()
    """In the order of the class numbers; none where there are no classes."""


DOUBLED = Kind(
    name="in training and validation",
    severity="warning",
    remedy="remove one of the two, unless equal inputs are natural here",
)


class Inspection:
    """Looks at the data of a task, sample by sample. Subclass it, set `samples` and define `look`."""

    samples: Sequence[SampleName]
    root: Path | None = None
    """The folder of the files; None where samples are no files."""
    findings: Sequence[Finding] = ()
    """What is wrong with the data as a whole, such as a folder of an unknown layout."""
    unit: str = "samples"
    """What labels count, as `pixels`."""
    compared: str = "inputs"
    """What `digests` are made of, as `decoded pixels`."""
    doubled: Kind = DOUBLED
    """What it is if a training sample is a validation sample too."""
    num_threads: int = 1
    """In which `look` may be called at the same time."""

    def look(self, number: int) -> Contents:
        """Read one sample. Called once for each; must not keep its pixels."""
        raise TypeError(f"{type(self).__name__} does not define look()")

    def conclude(self, contents: Sequence[Contents]) -> Conclusion:
        """Called when all were looked at, with what each held."""
        held = {label for of_sample in contents for label in of_sample.labels} - {IGNORED}
        return Conclusion(class_names=[str(number) for number in range(1 + max(held, default=-1))])
