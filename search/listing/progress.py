"""How far a run has come: trials, and the share of the budget that is used up first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from search.budget.growth import spent_of_limits
from search.budget.trained import trained_share
from search.config.config import Config
from search.config.sections.budget import COMPUTE
from search.listing.reading import RunReading, StageReading
from search.samplers.points import Points
from search.study.spent import spent_of
from search.study.trial import TrialRecord

_ALMOST = 0.99
"""The most that is said of a search that has not come to its end."""


class Progress(NamedTuple):
    """How far a run has come."""

    ended: int
    """Trials that have ended."""
    trials: int
    """Trials that have begun."""
    of: int | None
    """Trials in all; None where another limit says when the search ends."""
    share: float
    """From 0 to 1; of the limit that is used up first, a run in stages counting each stage alike."""
    by: str
    """That limit, as in `budget:`."""


def progress_of(run: RunReading, *, is_complete: bool) -> Progress:
    """How far a run has come."""
    records = [record for stage in run.stages for record in stage.records]
    num_stages = len(run.search.stages)
    share, by = (0.0, "trials") if run.last is None else _share(run.last)
    share = (max(0, len(run.stages) - 1) + share) / num_stages
    return Progress(
        ended=sum(record.outcome is not None for record in records),
        trials=len(records),
        of=_num_trials(run),
        share=1.0 if is_complete else min(_ALMOST, share),
        by=by,
    )


def _share(stage: StageReading) -> tuple[float, str]:
    budget, records = stage.config.budget, stage.records
    trials = _trials_of(stage.config, records)
    shares = {}
    if trials is not None:
        shares["trials"] = trained_share(records, stage.scheduler, trials, budget.max_virtual_epochs)
    spent = spent_of_limits(spent_of(stage.study), stage.config)
    for key in COMPUTE:
        total = getattr(budget, key)
        if total is not None:
            shares[key] = spent[key] / total
    return max((min(1.0, share), key) for key, share in shares.items())


def _num_trials(run: RunReading) -> int | None:
    begun = [(stage.config, stage.records) for stage in run.stages]
    later = [(stage.configs[0], ()) for stage in run.search.stages[len(begun) :]]
    numbers = [_trials_of(config, records) for config, records in (*begun, *later)]
    return None if None in numbers else sum(number for number in numbers if number is not None)


def _trials_of(config: Config, records: Sequence[TrialRecord]) -> int | None:
    trials = Points(config, records).limited(config.budget).trials
    return None if trials is None else max(trials, len(records))
