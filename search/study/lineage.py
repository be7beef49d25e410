"""Which trials the weights of a trial have passed through, and the values that trained them there."""

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


def measured_at(
    records: Sequence[TrialRecord], record: TrialRecord, virtual_epoch: int
) -> Mapping[str, float]:
    """What was measured of the model that a trial has in a virtual epoch: of the trial that built it."""
    return records[schedule_of(records, record, virtual_epoch)[0].trial].measured


def schedule_lines(schedule: Sequence[Mapping[str, Any]]) -> list[str]:
    """The parts of a schedule in a row as text, if it has several: what changed from each to the next.

    `virtual epochs 4 to 6: trial 7, optimizer.lr 0.003 -> 0.0024`
    """
    if len(schedule) < 2:
        return []
    lines, begin, before = ["these values changed while the weights were trained:"], 1, schedule[0]["params"]
    for part in schedule:
        changes = changed(before, part["params"])
        text = f"  virtual epochs {begin} to {part['until']}: trial {part['trial']}"
        lines.append(f"{text}, {changes}" if changes else text)
        begin, before = part["until"] + 1, part["params"]
    return lines


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """`optimizer.lr 0.003 -> 0.0024, optimizer.weight_decay 0.01 -> 0.012`; empty if nothing did."""
    pairs = ((name, before.get(name), value) for name, value in after.items())
    return ", ".join(f"{name} {_short(old)} -> {_short(new)}" for name, old, new in pairs if old != new)


def went_on_from(record: TrialRecord) -> bool:
    """Whether the trial's present job goes on from another trial's checkpoint."""
    return bool(record.taken_over) and record.taken_over[-1].at == record.depth


def change_text(records: Sequence[TrialRecord], record: TrialRecord) -> str:
    """`goes on from trial 7 at virtual epoch 6 with optimizer.lr 0.003 -> 0.0024`.

    The values are those with which the other trial came there, and those with which this one goes on.
    """
    last = record.taken_over[-1]
    changes = changed(records[last.donor].params_at(last.at), last.params)
    with_them = f" with {changes}" if changes else ""
    return f"goes on from trial {last.donor} at virtual epoch {last.at}{with_them}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
