"""Trials as Optuna's storage holds them, read back into TrialRecords."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from search.config.yaml import parse_yaml
from search.space.parse import parse_space
from search.space.space import Space
from search.study.data import DATA
from search.study.patches import share_distributions
from search.study.times import Times
from search.study.trial import JobTimes, Outcome, TakenOver, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import Failure, FailureKind

TAKEN_OVER = "taken_over"
"""Attribute of a trial: where it went on from others, see `TakenOver`."""
OTHERS = "others/"
"""Attributes of a trial, with the number of a virtual epoch behind: its further objectives there."""
CARRIED = ("trial", "space", "known", "virtual_epochs", "spent", "failures", "measured", "audited", "bracket")
"""Attributes that a trial which continues after its end takes over, besides TAKEN_OVER and OTHERS."""
JOBS = "jobs/"
"""Attributes of a trial, with the number of a job from 1 behind, see `job_attribute`."""
WINDOW = "window"
"""Attribute of the study: `TrialRecord.window` of its trials; 1 where there is none."""

SPACE_PREFIX = "space/"
"""Prefix of the study's attributes that hold its spaces; a run that grows may add one for its next trials."""


def record_of(number: int, trial_id: int, frozen: FrozenTrial, space: Space) -> TrialRecord:
    """The trial `number` as its newest Optuna trial holds it."""
    attrs, ended = frozen.user_attrs, frozen.state.is_finished()
    spent, end = attrs.get("spent", {}), attrs.get("end", {}) if ended else {}
    values = [frozen.intermediate_values[step] for step in sorted(frozen.intermediate_values)]
    lengths = VirtualEpochs(**attrs["virtual_epochs"]) if "virtual_epochs" in attrs else None
    failures = [
        Failure(FailureKind(item["kind"]), item["cause"], item.get("host", ""), item.get("depth", 0))
        for item in attrs.get("failures", [])
    ]
    drawn = space.resolve(frozen.params).params
    taken_over = [TakenOver(**item) for item in attrs.get(TAKEN_OVER, [])]
    # `spent` may be one virtual epoch ahead: it is written before the value, and the power may fail between.
    steps = lengths.end_step(len(values)) if lengths and values else 0
    last_report = spent.get("sequence", 0) if spent.get("steps") == steps else 0
    record = TrialRecord(
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
        bracket=attrs.get("bracket", 0),
        promoted_at=attrs.get("promoted", 0),
        held_at=attrs.get("held", 0),
        failures=failures,
        outcome=Outcome(attrs.get("outcome", Outcome.FAILED)) if ended else None,
        reason=attrs.get("reason", "") if ended else "",
        stopped_by_budget=end.get("stopped_by_budget", False),
        jobs=_jobs(attrs),
    )
    record.heard_of(max(spent.get("at", 0.0), end.get("at") or 0.0))
    return record


def job_attribute(record: TrialRecord) -> tuple[str, list[float]]:
    """The attribute that holds the job which has begun: its beginning, and the end of the one before it.

    So that a job takes one entry, whatever comes of it: its own end is its last report's, or the trial's.
    """
    last = record.jobs[-1]
    before = record.jobs[-2].heard_of if len(record.jobs) > 1 else last.began
    return f"{JOBS}{len(record.jobs)}", [before, last.began, last.after]


def _jobs(attrs: Mapping[str, Any]) -> list[JobTimes]:
    jobs: list[JobTimes] = []
    while (job := attrs.get(f"{JOBS}{len(jobs) + 1}")) is not None:
        before, began, after = job
        if jobs:
            jobs[-1] = jobs[-1]._replace(heard_of=before)
        jobs.append(JobTimes(began, began, after))
    return jobs


def space_texts(attrs: Mapping[str, Any]) -> list[str]:
    """The spaces that trials were drawn from, as YAML, in the order of their numbers."""
    count = sum(key.startswith(SPACE_PREFIX) for key in attrs)
    return [attrs[f"{SPACE_PREFIX}{number}"] for number in range(count)]


def records_of(storage: BaseStorage) -> Iterator[TrialRecord]:
    """Each trial once, in order; of one that continued after its end, the newest Optuna trial."""
    # A run has one study, to which Optuna's tools may have added trials of their own.
    for study in storage.get_all_studies()[:1]:
        study_id = storage.get_study_id_from_name(study.study_name)
        texts = space_texts(study.user_attrs)
        spaces = [parse_space(parse_yaml(text).tree) for text in texts]
        data, window = study.user_attrs.get(DATA, [""]), study.user_attrs.get(WINDOW, 1)
        newest: dict[int, FrozenTrial] = {}
        for frozen in storage.get_all_trials(study_id, deepcopy=False):
            share_distributions(frozen)
            if "trial" in frozen.user_attrs:
                newest[frozen.user_attrs["trial"]] = frozen
        for number, frozen in sorted(newest.items()):
            trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, frozen.number)
            record = record_of(number, trial_id, frozen, spaces[frozen.user_attrs["space"]])
            record.of_other_data = data[record.data_number] != data[-1]
            record.window = window
            yield record
