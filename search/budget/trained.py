"""How much of its trials a search has trained."""

from __future__ import annotations

from collections.abc import Sequence

from search.schedulers.base import Scheduler
from search.study.trial import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs


def trained_share(
    records: Sequence[TrialRecord], scheduler: Scheduler, num_trials: int, num_virtual_epochs: int
) -> float:
    """Share of the expected virtual epochs that were trained; an ended trial counts as one of full length.

    More than 1 where the scheduler takes more than expected.

    Args:
        records: the trials that have begun.
        scheduler: ends trials early.
        num_trials: in all.
        num_virtual_epochs: the full length.
    """
    expected = scheduler.expected_virtual_epochs(num_trials, num_virtual_epochs, lengths_seen(records))
    if expected is not None:
        return sum(record.depth for record in records) / max(1, expected)
    trained = sum(num_virtual_epochs if r.outcome and not r.resumable else r.depth for r in records)
    return trained / max(1, num_virtual_epochs * num_trials)


def lengths_seen(records: Sequence[TrialRecord]) -> VirtualEpochs | None:
    """Lengths of the virtual epochs of a trial, once there is one with a report."""
    return next((record.lengths for record in records if record.lengths is not None), None)
