"""Read every sample of a configuration's data before anything is trained, and say what is wrong with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from search.config.stages import load_config
from trainables.build import load_arrays
from trainables.data.threads import in_threads
from trainables.findings import Finding, Kind, short_name
from trainables.inspect.generic import DrawnInspection
from trainables.inspect.inspection import IGNORED, Contents, Inspection, SampleName
from trainables.options import TrialOptions, expand_paths
from trainables.task import Task

UNUSABLE = Kind(name="data", severity="error", remedy="without it no sample can be read")
ABSENT = Kind(name="class without samples", severity="warning", remedy="see whether the split is right")


@dataclass(frozen=True)
class Reached:
    """How far the reading has come; bytes are 0 where nobody knows them."""

    samples: int
    of_samples: int
    num_bytes: int
    of_bytes: int
    findings: int


@dataclass(frozen=True, kw_only=True)
class PartSummary:
    """All samples of the training or of the validation data."""

    samples: int
    num_bytes: int
    sizes: Mapping[str, tuple[int, int]]
    """Width and height of the smallest, the median and the largest image by area: min, median, max."""
    mean: tuple[float, ...]
    """By channel of the image; 1 is the value 255."""
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ClassSummary:
    """How often a class occurs, by part."""

    name: str
    counts: Mapping[str, int]
    """In `DataCheck.unit`s."""
    samples: Mapping[str, int]
    """Samples in which it occurs at all."""


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """What was found in the data of a configuration."""

    name: str
    task: str
    root: Path | None
    """The folder of the files."""
    findings: Sequence[Finding] = ()
    """Errors first, and those of a kind together."""
    parts: Mapping[str, PartSummary] = field(default_factory=dict)
    classes: Sequence[ClassSummary] = ()
    """In the order of the class numbers; the last one is what is ignored, if there is such."""
    unit: str = ""
    """What is counted of a class, as `pixels`."""
    compared: str = ""
    """What was compared by SHA-256 between training and validation."""
    seconds: float = 0.0
    """That reading took."""

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind.severity == "warning"]

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        findings = [
            {
                "severity": finding.kind.severity,
                "kind": finding.kind.name,
                "file": finding.where,
                "message": finding.message,
                "remedy": finding.kind.remedy,
            }
            for finding in self.findings
        ]
        return asdict(self) | {
            "root": None if self.root is None else str(self.root),
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "findings": findings,
        }


def check_data(
    config: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    progress: Callable[[Reached], None] = lambda reached: None,
) -> DataCheck:
    """Read every sample of the data and list what is wrong with it; nothing is trained and nothing written.

    Where `trial.data` is searched, it is the data of the trial with the first option of every choice.

    Args:
        config: a YAML file, or the same as a mapping.
        overrides: `trial.data.root=data/streets` and the like.
        progress: is told after each sample how far the reading has come.

    Raises:
        ConfigError: the configuration is wrong.
    """
    loaded = load_config(config, overrides).first
    task_class = loaded.task_class()
    options = task_class.Options.model_validate(expand_paths(next(iter(loaded.space.candidates())).options))
    inspection = _inspection(task_class, options)
    if isinstance(inspection, Finding):
        return DataCheck(name=loaded.name, task=loaded.task_path, root=None, findings=[inspection])
    return _read(
        inspection, DataCheck(name=loaded.name, task=loaded.task_path, root=inspection.root), progress
    )


def _inspection(task_class: type[Task], options: TrialOptions) -> Inspection | Finding:
    try:
        own = task_class.inspect(options)
        return (
            own if own is not None else DrawnInspection(task_class(options, load_arrays(task_class, options)))
        )
    except Exception as error:  # whatever a task of the user's raises
        told = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return Finding(UNUSABLE, task_class.__name__, told)


def _read(inspection: Inspection, empty: DataCheck, progress: Callable[[Reached], None]) -> DataCheck:
    samples = inspection.samples
    of_bytes = sum(sample.num_bytes for sample in samples)
    contents: list[Contents] = []
    num_bytes = num_findings = 0
    began = time.monotonic()
    for held in in_threads(inspection.look, len(samples), inspection.num_threads):
        num_bytes += samples[len(contents)].num_bytes
        num_findings += len(held.findings)
        contents.append(held)
        progress(Reached(len(contents), len(samples), num_bytes, of_bytes, num_findings))
    seconds = time.monotonic() - began
    conclusion = inspection.conclude(contents)
    classes = _classes(samples, contents, conclusion.class_names)
    findings = [
        *inspection.findings,
        *(finding for held in contents for finding in held.findings),
        *conclusion.findings,
        *_doubled(inspection, contents),
        *_absent(classes, {sample.part for sample in samples}),
    ]
    parts = {
        part: _part(
            [(sample, held) for sample, held in zip(samples, contents, strict=True) if sample.part == part]
        )
        for part in dict.fromkeys(sample.part for sample in samples)
    }
    findings.sort(key=lambda finding: (finding.kind.severity, finding.kind.name))
    return replace(
        empty,
        findings=findings,
        parts=parts,
        classes=classes,
        unit=inspection.unit,
        compared=inspection.compared,
        seconds=round(seconds, 3),
    )


def _part(held: Sequence[tuple[SampleName, Contents]]) -> PartSummary:
    sizes = sorted(
        (c.size for _, c in held if c.size is not None), key=lambda size: (size[0] * size[1], size)
    )
    ordered = {"min": sizes[0], "median": sizes[len(sizes) // 2], "max": sizes[-1]} if sizes else {}
    # Channels may differ where a task draws them so; then there is no mean of all.
    sums = [c.sums for _, c in held if c.sums is not None]
    mean, std = _mean_and_std(sums) if len({of_one.shape for of_one in sums}) == 1 else ((), ())
    return PartSummary(
        samples=len(held), num_bytes=sum(s.num_bytes for s, _ in held), sizes=ordered, mean=mean, std=std
    )


def _mean_and_std(sums: Sequence[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    number, first, second = np.sum(sums, axis=0)
    mean = first / number
    std = np.sqrt(np.maximum(second / number - mean**2, 0.0))
    return tuple(mean.tolist()), tuple(std.tolist())


def _classes(
    samples: Sequence[SampleName], contents: Sequence[Contents], names: Sequence[str]
) -> list[ClassSummary]:
    parts = list(dict.fromkeys(sample.part for sample in samples))
    counts = {part: np.zeros(len(names) + 1, np.int64) for part in parts}
    occurring = {part: np.zeros(len(names) + 1, np.int64) for part in parts}
    for sample, held in zip(samples, contents, strict=True):
        for label, count in held.labels.items():
            if label < len(names):  # the last place is that of IGNORED, -1
                counts[sample.part][label] += count
                occurring[sample.part][label] += 1
    numbers = [
        *range(len(names)),
        *([IGNORED] if any(of_part[IGNORED] for of_part in counts.values()) else []),
    ]
    return [
        ClassSummary(
            name="ignored" if number == IGNORED else names[number],
            counts={part: int(counts[part][number]) for part in parts},
            samples={part: int(occurring[part][number]) for part in parts},
        )
        for number in (numbers if names else [])
    ]


def _doubled(inspection: Inspection, contents: Sequence[Contents]) -> list[Finding]:
    """Validation samples that are training samples too."""
    trained: dict[bytes, str] = {}
    for sample, held in zip(inspection.samples, contents, strict=True):
        if sample.part == "train":
            trained |= {digest: sample.where for digest in held.digests if digest not in trained}
    return [
        Finding(
            inspection.doubled,
            sample.where,
            f"the same {inspection.compared} as {short_name(trained[digest], inspection.root)}",
        )
        for sample, held in zip(inspection.samples, contents, strict=True)
        if sample.part == "valid"
        for digest in held.digests
        if digest in trained
    ]


def _absent(classes: Sequence[ClassSummary], parts: set[str]) -> list[Finding]:
    """Classes that a part lacks."""
    found = []
    for row in classes:
        lacking = sorted(part for part in parts if not row.samples[part])
        if row.name != "ignored" and lacking:
            told = " and ".join({"train": "training", "valid": "validation"}.get(p, p) for p in lacking)
            found.append(Finding(ABSENT, f"class {row.name}", f"is in no {told} sample"))
    return found
