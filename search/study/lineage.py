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


def went_on_from(record: TrialRecord) -> bool:
    """Whether the trial's present job goes on from another trial's checkpoint."""
    return bool(record.taken_over) and record.taken_over[-1].at == record.depth


def change_text(records: Sequence[TrialRecord], record: TrialRecord) -> str:
    """`goes on from trial 7 at virtual epoch 6 with optimizer.lr 0.003 -> 0.0024`.

    The values are those with which the other trial came there, and those with which this one goes on.
    """
    last = record.taken_over[-1]
    before = records[last.donor].params_at(last.at)
    pairs = ((name, before.get(name), value) for name, value in last.params.items())
    texts = [f"{name} {_short(old)} -> {_short(new)}" for name, old, new in pairs if old != new]
    changed = f" with {', '.join(texts)}" if texts else ""
    return f"goes on from trial {last.donor} at virtual epoch {last.at}{changed}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
