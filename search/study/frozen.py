"""A trial as Optuna's storage holds it, read back into a TrialRecord."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from search.space.space import Space
from search.study.data import DATA
from search.study.times import Times
from search.study.trial import Outcome, TakenOver, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import Failure, FailureKind

TAKEN_OVER = "taken_over"
"""Attribute of a trial: where it went on from others, see `TakenOver`."""
OTHERS = "others/"
"""Attributes of a trial, with the number of a virtual epoch behind: its further objectives there."""


def record_of(number: int, trial_id: int, frozen: FrozenTrial, space: Space) -> TrialRecord:
    """The trial `number` as its newest Optuna trial holds it."""
    attrs, ended = frozen.user_attrs, frozen.state.is_finished()
    spent, end = attrs.get("spent", {}), attrs.get("end", {}) if ended else {}
    values = [frozen.intermediate_values[step] for step in sorted(frozen.intermediate_values)]
    lengths = VirtualEpochs(**attrs["virtual_epochs"]) if "virtual_epochs" in attrs else None
    failures = [
        Failure(FailureKind(item["kind"]), item["cause"], item.get("host", ""))
        for item in attrs.get("failures", [])
    ]
    drawn = space.resolve(frozen.params).params
    taken_over = [TakenOver(**item) for item in attrs.get(TAKEN_OVER, [])]
    # `spent` may be one virtual epoch ahead: it is written before the value, and the power may fail between.
    steps = lengths.end_step(len(values)) if lengths and values else 0
    last_report = spent.get("sequence", 0) if spent.get("steps") == steps else 0
    return TrialRecord(
        number=number,
        trial_id=trial_id,
        space=space,
        params=dict(taken_over[-1].params) if taken_over else drawn,
        drawn=drawn,
        taken_over=taken_over,
        space_number=attrs["space"],
        known=attrs.get("known"),
        measured=attrs.get("measured", {}),
        values=values,
        others=[attrs[f"{OTHERS}{n}"] for n in range(1, len(values) + 1) if f"{OTHERS}{n}" in attrs],
        lengths=lengths,
        steps=steps,
        samples=lengths.samples_at(len(values)) if lengths and values else 0,
        seconds=spent.get("seconds", 0.0),
        times=Times(*spent.get("times", ())),
        sequence=end.get("sequence", last_report),
        last_report=last_report,
        data_number=attrs.get(DATA, 0),
        audited=attrs.get("audited", False),
        promoted_at=attrs.get("promoted", 0),
        held_at=attrs.get("held", 0),
        failures=failures,
        outcome=Outcome(attrs.get("outcome", Outcome.FAILED)) if ended else None,
        reason=attrs.get("reason", "") if ended else "",
        stopped_by_budget=end.get("stopped_by_budget", False),
    )
