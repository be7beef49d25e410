"""The outcome of a search as one object, for summary.json, the last screen and notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from search.run.coordinator import Coordinator
from search.run.folder import RunFolder
from search.schedulers.early_stopping import Mode
from search.study.study import TrialRecord
from trainables.checkpoint import checkpoint_folder
from trainables.images.skipped import read_skipped

Status = Literal["complete", "interrupted", "terminated", "failed"]


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best trial: its value is that of `virtual_epoch`, and so is its checkpoint."""

    trial: int
    value: float
    virtual_epoch: int
    step: int
    params: dict[str, Any]
    checkpoint: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a search came to. Seconds are wall time; `steps_saved` is against every trial at full length."""

    folder: str
    status: Status
    reason: str
    metric: str
    mode: Mode
    best: Best | None
    counts: dict[str, int]
    trials: int
    steps: int
    samples: int
    virtual_epochs: int
    trial_seconds: float
    seconds: float
    steps_saved: int
    failures: dict[str, str]
    """Cause of each failed trial, by its number."""
    skipped_samples: dict[str, str]
    """Why each sample was left out that some trial could not read, by its file; each once over all trials."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def summarize(
    coordinator: Coordinator, folder: RunFolder, metric: str, status: Status, reason: str
) -> Summary:
    """The summary of what the study holds now."""
    study = coordinator.study
    records = study.records
    best = coordinator.best
    counts = Counter(r.outcome.value if r.outcome else "unfinished" for r in records)
    return Summary(
        folder=str(folder.path),
        status=status,
        reason=reason,
        metric=metric,
        mode=study.mode,
        best=None if best is None else _best(best, study.mode, folder),
        counts=dict(counts),
        trials=len(records),
        steps=sum(r.steps for r in records),
        samples=sum(r.samples for r in records),
        virtual_epochs=sum(r.depth for r in records),
        trial_seconds=round(sum(r.seconds for r in records), 3),
        seconds=round(coordinator.elapsed_seconds, 3),
        steps_saved=sum(_steps_saved(r, coordinator.budget.max_virtual_epochs) for r in records),
        failures={
            str(r.number): r.reason
            for r in records
            if r.outcome and r.outcome.value in ("failed", "out of memory")
        },
        skipped_samples=_skipped_samples(records, folder),
    )


def _best(record: TrialRecord, mode: Mode, folder: RunFolder) -> Best:
    value = record.best(mode)
    assert value is not None
    assert record.lengths is not None
    virtual_epoch = record.best_virtual_epoch(mode)
    checkpoint = checkpoint_folder(folder.trial(record.number), virtual_epoch)
    return Best(
        trial=record.number,
        value=value,
        virtual_epoch=virtual_epoch,
        step=record.lengths.end_step(virtual_epoch),
        params=record.resolved.params,
        checkpoint=str(checkpoint.relative_to(folder.path)),
    )


def _skipped_samples(records: Sequence[TrialRecord], folder: RunFolder) -> dict[str, str]:
    found: dict[str, str] = {}
    for record in records:
        found = {**read_skipped(folder.trial(record.number)), **found}
    # An image that is lost altogether has no suffix any more, and is named `2.*` from then on.
    whole = {str(Path(file).with_suffix("")) for file in found if not file.endswith(".*")}
    return {file: why for file, why in sorted(found.items()) if file.removesuffix(".*") not in whole}


def _steps_saved(record: TrialRecord, num_virtual_epochs: int) -> int:
    if record.lengths is None or record.outcome is None:
        return 0
    return record.lengths.end_step(num_virtual_epochs) - record.steps
