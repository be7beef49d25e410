"""Which trials keep their checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from search.config.schema import Mode
from search.study.trial import TrialRecord, ranked


def trials_to_keep(
    records: Sequence[TrialRecord],
    *,
    mode: Mode,
    keep_trials: int,
    going_on: Collection[int],
) -> set[int]:
    """Numbers of the best `keep_trials` trials and of those in `going_on`."""
    return {record.number for record in ranked(records, mode)[:keep_trials]} | set(going_on)
