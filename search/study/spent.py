"""What a search has spent so far, read from its journal."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from search.study.journal import open_journal, reraise_as_damaged
from search.study.study import ELAPSED, records_of


class Spent(NamedTuple):
    """What a search has done so far."""

    trials: int
    steps: int
    """Optimizer steps of all trials."""
    samples: int
    """Training samples of all trials."""
    virtual_epochs: int
    """Virtual epochs of all trials."""
    trial_seconds: float
    """Seconds that the trials themselves took."""
    seconds: float
    """Wall time of all sessions."""


def read_spent(path: Path) -> Spent:
    """What the search in this journal has done, without writing to it.

    Raises:
        SearchError: the journal is damaged.
    """
    storage, _ = open_journal(path)
    with reraise_as_damaged(path):
        records = list(records_of(storage))
        seconds = [study.user_attrs.get(ELAPSED, 0.0) for study in storage.get_all_studies()]
    return Spent(
        trials=len(records),
        steps=sum(record.steps for record in records),
        samples=sum(record.samples for record in records),
        virtual_epochs=sum(record.depth for record in records),
        trial_seconds=sum(record.seconds for record in records),
        seconds=float(sum(seconds)),
    )
