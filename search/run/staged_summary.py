"""What a search in stages came to, as one summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from search.run.summary import Best, Status, Summary


@dataclass(frozen=True, kw_only=True)
class StageOutcome:
    """One stage that has begun."""

    name: str
    """`1-optimizer`"""
    status: Status
    reason: str
    best: Best | None
    trials: int
    steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StagedSummary(Summary):
    """All stages together: `best` is that of the last stage that has one, all numbers are sums.

    Paths are relative to the folder of the whole, and trials in `failures` are named `1-optimizer/7`.
    """

    stages: list[StageOutcome]
    of: int
    """Stages in all."""


def join(summaries: Sequence[Summary], folder: Path, num_stages: int) -> StagedSummary:
    """The summary of the whole from those of the stages that have begun, one at least."""
    last = summaries[-1]
    names = [Path(summary.folder).name for summary in summaries]
    complete = last.status == "complete" and len(summaries) == num_stages
    bests = [_in_whole(summary.best, name) for summary, name in zip(summaries, names, strict=True)]
    counts: Counter[str] = Counter()
    for summary in summaries:
        counts.update(summary.counts)
    return StagedSummary(
        folder=str(folder),
        status=last.status,
        reason=f"all {num_stages} stages are done" if complete else f"stage {names[-1]}: {last.reason}",
        metric=last.metric,
        mode=last.mode,
        best=next((best for best in reversed(bests) if best is not None), None),
        counts=dict(counts),
        trials=sum(s.trials for s in summaries),
        steps=sum(s.steps for s in summaries),
        samples=sum(s.samples for s in summaries),
        virtual_epochs=sum(s.virtual_epochs for s in summaries),
        trial_seconds=round(sum(s.trial_seconds for s in summaries), 3),
        seconds=round(sum(s.seconds for s in summaries), 3),
        steps_saved=sum(s.steps_saved for s in summaries),
        failures={
            f"{name}/{number}": cause
            for name, summary in zip(names, summaries, strict=True)
            for number, cause in summary.failures.items()
        },
        skipped_samples={file: why for summary in summaries for file, why in summary.skipped_samples.items()},
        stages=[
            StageOutcome(
                name=name,
                status=summary.status,
                reason=summary.reason,
                best=best,
                trials=summary.trials,
                steps=summary.steps,
                seconds=summary.seconds,
            )
            for name, summary, best in zip(names, summaries, bests, strict=True)
        ],
        of=num_stages,
    )


def _in_whole(best: Best | None, stage: str) -> Best | None:
    return None if best is None else replace(best, checkpoint=f"stages/{stage}/{best.checkpoint}")
