"""The trials of a run as rows of a table, the best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.listing.reading import StageReading
from search.study.front import front_of, objectives_at
from search.study.trial import TrialRecord, ranked


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial, with the parameters of its best virtual epoch."""

    trial: int | str
    """Its number; of a run in stages `1-optimizer/7`."""
    rank: int | None
    """From 1 for the best, as the search ranks them; None for one without a value, and one that diverged,
    failed or ran out of memory."""
    on_front: bool
    """No other trial beats it in all objectives; False where there is one objective."""
    value: float | None
    """The objective at its best virtual epoch, the first of several."""
    mean: float | None
    """Over the virtual epochs up to there, by which it is ranked; None with fewer reports than that takes."""
    objectives: Mapping[str, float]
    """All of them there, where there are several."""
    best_virtual_epoch: int | None
    virtual_epochs: int
    """That it has reported."""
    state: str
    """running, paused, unfinished (it runs when the search goes on), or its outcome."""
    reason: str
    """Why it has ended."""
    params: Mapping[str, Any]
    record: TrialRecord

    def as_dict(self) -> dict[str, Any]:
        """Plain values under the keys that docs/list.md documents."""
        plain = {key: value for key, value in vars(self).items() if key != "record"}
        return {**plain, "objectives": dict(self.objectives), "params": dict(self.params)}


def rows_of(stage: StageReading, *, is_running: bool) -> list[TrialRow]:
    """The trials of a search, the best first; after the ranked ones those without a value.

    With several objectives the front comes first, and the others by the first objective.

    Args:
        stage: the search.
        is_running: whether it runs now.
    """
    mode, objectives = stage.config.objective.mode, stage.config.objectives or ()
    in_order = ranked(stage.records, mode)
    ranks = {record.number: rank for rank, record in enumerate(in_order, 1)}
    front = front_of(stage.records, objectives) if objectives else []
    of_front = {record.number for record in front}
    left = sorted(
        (record for record in stage.records if record.number not in ranks),
        key=lambda record: (record.outcome is not None, record.number),
    )
    return [
        _row(stage, record, ranks.get(record.number), record.number in of_front, is_running)
        for record in _each_once((*front, *in_order, *left))
    ]


def _each_once(records: Sequence[TrialRecord]) -> Iterable[TrialRecord]:
    return {record.number: record for record in records}.values()


def _row(
    stage: StageReading, record: TrialRecord, rank: int | None, on_front: bool, is_running: bool
) -> TrialRow:
    mode, several = stage.config.objective.mode, stage.config.objectives
    best = record.best_virtual_epoch(mode) if record.values else None
    return TrialRow(
        trial=stage.name_of(record),
        rank=rank,
        on_front=on_front,
        value=record.value(mode),
        mean=record.mean(mode),
        objectives=objectives_at(record, several) if several and record.values else {},
        best_virtual_epoch=best,
        virtual_epochs=record.depth,
        state=state_of_trial(stage, record, is_running=is_running),
        reason=record.reason,
        params=record.params if best is None else record.params_at(best),
        record=record,
    )


def state_of_trial(stage: StageReading, record: TrialRecord, *, is_running: bool) -> str:
    """running, paused, unfinished, or the outcome of a trial.

    Args:
        is_running: whether the search runs. A trial that it will take up as soon as a worker is free counts
            as running: the study does not tell these apart.
    """
    if record.outcome is not None:
        return record.outcome.value
    if stage.is_paused(record):
        return "paused"
    return "running" if is_running else "unfinished"


def failures_of(stage: StageReading) -> dict[str, list[int | str]]:
    """By cause the trials that failed, ran out of memory or diverged, the most common cause first."""
    found: dict[str, list[int | str]] = {}
    for record in stage.records:
        if record.outcome is not None and record.outcome.value in ("failed", "out of memory", "diverged"):
            found.setdefault(f"{record.outcome}: {record.reason}", []).append(stage.name_of(record))
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))
