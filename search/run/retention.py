"""Which trials keep their checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from search.study.study import BROKEN_OFF, TrialRecord


def ranked(records: Sequence[TrialRecord], mode: Literal["max", "min"]) -> list[TrialRecord]:
    """The trials with a value, best first; the lower number first among equals.

    One that broke off is left out, whatever it had reached before.
    """
    sign = 1.0 if mode == "max" else -1.0
    candidates = [r for r in records if r.values and r.outcome not in BROKEN_OFF]
    return sorted(candidates, key=lambda r: (-sign * (r.best(mode) or 0.0), r.number))


def trials_to_keep(
    records: Sequence[TrialRecord],
    *,
    mode: Literal["max", "min"],
    keep_trials: int,
    going_on: Collection[int],
) -> set[int]:
    """Numbers of the best `keep_trials` trials and of those in `going_on`."""
    return {record.number for record in ranked(records, mode)[:keep_trials]} | set(going_on)
