"""Reads every sample of a configuration's data before anything is trained, and reports its problems."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from search.config.stages import load_config
from trainables.build import load_arrays
from trainables.data.threads import in_threads
from trainables.findings import Finding, Kind, short_name
from trainables.inspect.folds import FoldSummary, fold_leakage, fold_summaries
from trainables.inspect.generic import DrawnInspection
from trainables.inspect.inspection import IGNORED, Column, Conclusion, Contents, Inspection, SampleName
from trainables.task import Task

UNUSABLE = Kind(name="data", severity="error", remedy="correct it: no sample can be read")
ABSENT = Kind(name="class without samples", severity="warning", remedy="check the split")

PARTS = {"train": "training", "valid": "validation"}
"""The parts of the data, and what messages call them."""


@dataclass(frozen=True)
class Progress:
    """How much was read so far; bytes are 0 if sizes are unknown."""

    samples: int
    of_samples: int
    num_bytes: int
    of_bytes: int
    findings: int
    seconds: float

    @property
    def fraction(self) -> float:
        """Part of the bytes, or of the samples if sizes are unknown, that was read."""
        return self.num_bytes / self.of_bytes if self.of_bytes else self.samples / self.of_samples


@dataclass(frozen=True, kw_only=True)
class PartSummary:
    """The training or the validation data."""

    samples: int
    """How many were looked at."""
    of_samples: int
    num_bytes: int
    sizes: Mapping[str, tuple[int, int]]
    """Width and height of the smallest, the median and the largest image by area: min, median, max."""
    mean: tuple[float, ...]
    """By channel; images are scaled to [0, 1]."""
    std: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ClassSummary:
    """How often a class occurs, by part."""

    name: str
    counts: Mapping[str, int]
    """In units of `DataCheck.unit`."""
    samples: Mapping[str, int]
    """Number of samples that contain it."""


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """What was found in the data of a configuration."""

    name: str
    task: str
    root: Path | None = None
    """The folder of the files."""
    findings: Sequence[Finding] = ()
    """Errors first, sorted by kind."""
    notes: Sequence[str] = ()
    """How the data were understood, where they could be meant otherwise."""
    parts: Mapping[str, PartSummary] = field(default_factory=dict)
    classes: Sequence[ClassSummary] = ()
    """In the order of the class numbers; the last one may be `ignored`."""
    folds: Sequence[FoldSummary] = ()
    """In their order; empty without folds. Counts are of the samples that were looked at."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What was understood, such as how many bits images have: texts by what they are of."""
    columns: Sequence[Column] = ()
    """Of a table."""
    totals: Mapping[str, int] = field(default_factory=dict)
    """Of what the counts of classes are shares, by part."""
    unit: str = ""
    """What is counted of a class, such as `pixels`."""
    compared: str = ""
    """What was compared by SHA-256 between training and validation, such as `decoded pixels`."""
    seconds: float = 0.0
    """Time to read all samples."""

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind.severity == "warning"]

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
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
    progress: Callable[[Progress], None] = lambda progress: None,
) -> DataCheck:
    """Read every sample of the data and list its problems; nothing is trained and nothing is written.

    If `trial.data` is searched, the data are those of the trial with the first option of every choice.

    Args:
        config: a YAML file, or the same as a mapping.
        overrides: `trial.data.root=data/streets` and the like.
        progress: called after each sample.

    Raises:
        ConfigError: the configuration is wrong.
    """
    loaded = load_config(config, overrides).first
    task_class = loaded.task_class()
    options = task_class.Options.parse(next(iter(loaded.space.candidates())).options)
    found = DataCheck(name=loaded.name, task=loaded.task_path)
    try:
        inspection = task_class.inspect(options)
        if inspection is None:
            inspection = drawn_inspection(task_class(options, load_arrays(task_class, options)))
    except Exception as error:  # a user's task may raise anything
        message = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return replace(found, findings=[Finding(UNUSABLE, task_class.__name__, message)])
    return inspected(found, inspection, progress=progress)


def drawn_inspection(task: Task) -> Inspection:
    """Of the samples that a task draws."""
    return DrawnInspection(task.train_data(), task.valid_data(), getattr(task, "class_names", ()))


def inspected(
    found: DataCheck,
    inspection: Inspection,
    *,
    most: int | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> DataCheck:
    """What is found in the samples.

    Args:
        found: of the configuration, without findings.
        most: samples of each part to look at, spread over all; None looks at all.
    """
    began = time.monotonic()
    parts: dict[str, list[int]] = {}
    for number, sample in enumerate(inspection.samples):
        parts.setdefault(sample.part, []).append(number)
    chosen = [number for numbers in parts.values() for number in _spread(numbers, most)]
    contents = _read(inspection, chosen, progress)
    seconds = round(time.monotonic() - began, 3)
    return _summarize(replace(found, root=inspection.root, seconds=seconds), inspection, contents, chosen)


def _spread(numbers: list[int], most: int | None) -> list[int]:
    if most is None or len(numbers) <= most:
        return numbers
    return [numbers[place * (len(numbers) - 1) // (most - 1)] for place in range(most)]


def _read(
    inspection: Inspection, chosen: Sequence[int], progress: Callable[[Progress], None]
) -> list[Contents]:
    """The contents of all samples, empty ones of those that are not chosen."""
    samples = [inspection.samples[number] for number in chosen]
    of_bytes = sum(sample.num_bytes for sample in samples)
    contents = [Contents()] * len(inspection.samples)
    num_bytes = num_findings = 0
    began = time.monotonic()
    looks = in_threads(lambda place: inspection.look(chosen[place]), len(chosen), inspection.num_threads)
    for place, held in enumerate(looks):
        num_bytes += samples[place].num_bytes
        num_findings += len(held.findings)
        contents[chosen[place]] = held
        seconds = time.monotonic() - began
        progress(Progress(place + 1, len(samples), num_bytes, of_bytes, num_findings, seconds))
    return contents


def _summarize(
    found: DataCheck, inspection: Inspection, contents: Sequence[Contents], chosen: Sequence[int]
) -> DataCheck:
    conclusion = inspection.conclude(contents) if contents else Conclusion()
    parts: dict[str, list[tuple[SampleName, Contents]]] = {}
    for number in chosen:
        parts.setdefault(inspection.samples[number].part, []).append(
            (inspection.samples[number], contents[number])
        )
    totals = Counter(sample.part for sample in inspection.samples)
    classes = _classes(parts, conclusion.class_names)
    findings = [
        *inspection.findings,
        *(finding for held in contents for finding in held.findings),
        *conclusion.findings,
        *_leakage(inspection, parts),
        *fold_leakage(inspection, contents),
        *_absent(classes, complete=len(chosen) == len(contents)),
    ]
    return replace(
        found,
        notes=inspection.notes,
        findings=sorted(findings, key=lambda finding: (finding.kind.severity, finding.kind.name)),
        parts={part: replace(_part(held), of_samples=totals[part]) for part, held in parts.items()},
        totals=_totals(parts, classes, overlapping=inspection.overlapping),
        facts=conclusion.facts,
        columns=conclusion.columns,
        classes=classes,
        folds=fold_summaries(inspection, contents, len(conclusion.class_names)),
        unit=inspection.unit,
        compared=inspection.compared,
    )


def _part(samples: Sequence[tuple[SampleName, Contents]]) -> PartSummary:
    sizes = sorted((c.size for _, c in samples if c.size), key=lambda size: (size[0] * size[1], size))
    ordered = {"min": sizes[0], "median": sizes[len(sizes) // 2], "max": sizes[-1]} if sizes else {}
    sums = [c.sums for _, c in samples if c.sums is not None]
    # Samples that a task draws may differ in their channels; then there is no common mean.
    mean, std = _mean_and_std(sums) if len({of_sample.shape for of_sample in sums}) == 1 else ((), ())
    num_bytes = sum(sample.num_bytes for sample, _ in samples)
    return PartSummary(
        samples=len(samples),
        of_samples=len(samples),
        num_bytes=num_bytes,
        sizes=ordered,
        mean=mean,
        std=std,
    )


def _mean_and_std(sums: Sequence[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    number, first, second = np.sum(sums, axis=0)
    mean = first / number
    std = np.sqrt(np.maximum(second / number - mean**2, 0.0))
    return tuple(mean.tolist()), tuple(std.tolist())


def _classes(
    parts: Mapping[str, Sequence[tuple[SampleName, Contents]]], names: Sequence[str]
) -> list[ClassSummary]:
    if not names:
        return []
    counts: dict[str, Counter[int]] = {part: Counter() for part in parts}
    occurring: dict[str, Counter[int]] = {part: Counter() for part in parts}
    for part, samples in parts.items():
        for _, held in samples:
            counts[part].update(held.labels)
            occurring[part].update(held.labels.keys())
    numbered = dict(enumerate(names))
    if any(of_part[IGNORED] for of_part in counts.values()):
        numbered[IGNORED] = "ignored"
    return [
        ClassSummary(
            name=name,
            counts={part: counts[part][number] for part in parts},
            samples={part: occurring[part][number] for part in parts},
        )
        for number, name in numbered.items()
    ]


def _totals(
    parts: Mapping[str, Sequence[tuple[SampleName, Contents]]],
    classes: Sequence[ClassSummary],
    *,
    overlapping: bool,
) -> dict[str, int]:
    """The sum over classes, or where classes may overlap, or a pixel have none, the number of pixels."""
    if not overlapping:
        return {part: sum(row.counts[part] for row in classes) for part in parts}
    sizes = {part: [held.size for _, held in samples if held.size] for part, samples in parts.items()}
    return {part: sum(width * height for width, height in of_part) for part, of_part in sizes.items()}


def _leakage(
    inspection: Inspection, parts: Mapping[str, Sequence[tuple[SampleName, Contents]]]
) -> Iterator[Finding]:
    """Validation samples that are training samples too."""
    trained: dict[bytes, str] = {}
    for sample, held in parts.get("train", ()):
        for digest in held.digests:
            trained.setdefault(digest, sample.where)
    for sample, held in parts.get("valid", ()):
        for digest in held.digests:
            if digest in trained:
                other = short_name(trained[digest], inspection.root)
                message = f"the same {inspection.compared} as {other}"
                yield Finding(inspection.leakage, sample.where, message)


def _absent(classes: Sequence[ClassSummary], *, complete: bool) -> Iterator[Finding]:
    """Classes that a part lacks."""
    looked = "" if complete else " of those that were looked at"
    for row in classes:
        lacking = sorted(part for part, number in row.samples.items() if not number)
        if row.name != "ignored" and lacking:
            parts = " or ".join(PARTS.get(part, part) for part in lacking)
            yield Finding(ABSENT, f"class {row.name}", f"occurs in no {parts} sample{looked}")
