"""Which trials the weights of a trial have passed through, and with which values each of them trained them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from search.study.trial import TrialRecord


class Segment(NamedTuple):
    """Virtual epochs in a row in which weights were trained with the same values."""

    trial: int
    until: int
    """The last of these virtual epochs; they begin after those of the segment before."""
    params: Mapping[str, Any]
    options: Mapping[str, Any]
    """What the parameters stand for: the resolved `trial:` section."""


def schedule_of(records: Sequence[TrialRecord], record: TrialRecord, virtual_epoch: int) -> list[Segment]:
    """How the weights came about that a trial has after a virtual epoch, from their first step on.

    One segment, its own, for a trial that never went on from another one.
    """
    before = [item for item in record.taken_over if item.at < virtual_epoch]
    params = record.params_at(virtual_epoch)
    own = Segment(record.number, virtual_epoch, params, record.options_at(virtual_epoch))
    if not before:
        return [own]
    donor = records[before[-1].donor]
    return [*schedule_of(records, donor, before[-1].at), own]


def change_text(records: Sequence[TrialRecord], record: TrialRecord) -> str:
    """What changed where the trial last went on from another one: `optimizer.lr 0.003 -> 0.0024`.

    The values are those of the other one before, and its own from now on.
    """
    last = record.taken_over[-1]
    before = records[last.donor].params_at(last.at)
    changed = [(name, before.get(name), value) for name, value in last.params.items()]
    texts = [f"{name} {_short(old)} -> {_short(new)}" for name, old, new in changed if old != new]
    return ", ".join(texts) or "its values"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
