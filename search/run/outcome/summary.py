"""The outcome of a search as one object, for summary.json, the last screen and notebooks."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from search.budget.reserve import is_fully_trained
from search.config.config import Config
from search.config.schema import Objective
from search.fidelity.audit import FidelityAudit
from search.race.confirmed import Confirmed
from search.run.coordinator import Coordinator
from search.run.disk.folder import RunFolder
from search.run.limits import over_at_last
from search.study.front import front_of, objectives_at
from search.study.lineage import measured_at, schedule_of
from search.study.trial import Outcome, TrialRecord
from trainables.checkpoints.checkpoint import checkpoint_folder
from trainables.images.skipped import read_skipped
from trainables.options import Mode

Status = Literal["complete", "interrupted", "terminated", "failed"]
NO_VALUE = "no trial has a value"
"""Why a search has failed that came to its end."""
RACE = "; confirm: "
"""Between the reason why a search ended and that of its race."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best trial: its value is that of `virtual_epoch`, and so is its checkpoint."""

    trial: int
    value: float
    virtual_epoch: int
    step: int
    params: dict[str, Any]
    checkpoint: str
    mean: float | None = None
    """Over the `window` virtual epochs up to that one, by which it is ranked; None with fewer reports."""
    window: int = 1
    of_other_data: bool = False
    """The data have changed since: no trial of those of now has a value."""
    schedule: list[dict[str, Any]] = field(default_factory=list)
    """With pbt, how its weights came about: `trial`, `until` (virtual epoch) and `params` of each part, from
    the first step on. Empty if its values never changed."""
    objectives: dict[str, float] = field(default_factory=dict)
    """All objectives at that virtual epoch, where there are several."""
    measured: dict[str, float] = field(default_factory=dict)
    """What was measured of its model for `limits`, by name: seconds, bytes and numbers."""


@dataclass(frozen=True, kw_only=True)
class StageOutcome:
    """One named stage that has begun."""

    name: str
    """`1-optimizer`"""
    status: Status
    reason: str
    best: Best | None
    trials: int
    steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome of a search. Seconds are wall time; `steps_saved` is against every trial at full length.

    Of one in named stages, `best` is that of the last stage that has one, all numbers are sums, paths are
    relative to the folder of the whole, and trials in `failures` are named `1-optimizer/7`.
    """

    folder: str
    status: Status
    reason: str
    metric: str
    mode: Mode
    objectives: list[dict[str, str]] = field(default_factory=list)
    """Where there are several, `metric` and `mode` of each; those above are of the first."""
    best: Best | None
    front: list[Best] = field(default_factory=list)
    """With several objectives the trials that no other beats, the best by the first objective first; there is
    no `best` then."""
    counts: dict[str, int]
    trials: int
    steps: int
    samples: int
    virtual_epochs: int
    trial_seconds: float
    seconds: float
    steps_saved: int
    failures: dict[str, str]
    """Cause of each failed trial, by its number."""
    over_limit: dict[str, str] = field(default_factory=dict)
    """By how much each trial was over the limits, by its number."""
    skipped_samples: dict[str, str]
    """Why each sample was left out that some trial could not read, by its file; each once over all trials."""
    stages: list[StageOutcome] = field(default_factory=list)
    """The named stages that have begun; empty for a search without."""
    of: int = 0
    """Named stages in all."""
    of_other_data: int = 0
    """Trials with a value on other data than those of now."""
    best_fully_trained: bool | None = None
    """Whether the best trial came to its own end; None where its budget has no limit of compute."""
    budget_spent: dict[str, float] = field(default_factory=dict)
    """Share that is spent of each limit of compute, by its key in `budget:`; of named stages in their own."""
    taken_over: list[dict[str, Any]] = field(default_factory=list)
    """With pbt, which `trial` went on `at` which virtual epoch from which `donor`, with which `params`."""
    audit: FidelityAudit | None = None
    """How far rungs agree with full length; of a search in named stages it is in the summary of each."""
    confirmed: Confirmed | None = None
    """The race of the best trials over seeds, if there is one; its steps are not in `steps`."""
    of_config: str = ""
    """Digest of the configuration that the search ended with, see `config_digest`; of stages in their own."""
    sessions: int = 0
    """How often the search was begun or gone on with by then; of stages together. 0 where it is not known."""
    forecast: dict[str, Any] | None = None
    """Forecast and fact of `seconds`, `trials` and `disk_bytes`, where the search was begun with a plan."""

    @property
    def ended_in_race(self) -> bool:
        """The search is complete, and its race has not come to its end."""
        return RACE in self.reason

    def as_dict(self) -> dict[str, Any]:
        """What summary.json holds; without what the search has none of, as stages or a race."""
        given = asdict(self)
        left_out = {"stages", "of"} if not self.of else set()
        left_out |= {key for key in (*_OPTIONAL, "confirmed") if not given[key]}
        left_out |= {"best_fully_trained"} if self.best_fully_trained is None else set()
        for best in (given["best"], *given["front"], *(stage["best"] for stage in given["stages"])):
            for key in ("schedule", "objectives", "measured"):
                if best is not None and not best[key]:
                    del best[key]
        return {key: value for key, value in given.items() if key not in left_out}


_OPTIONAL = (
    "of_other_data",
    "budget_spent",
    "audit",
    "of_config",
    "sessions",
    "forecast",
    "taken_over",
    "over_limit",
    "objectives",
    "front",
)
_SUMS = (
    "trials",
    "sessions",
    "steps",
    "samples",
    "virtual_epochs",
    "trial_seconds",
    "seconds",
    "steps_saved",
    "of_other_data",
)
"""Fields of a summary that are added up over stages."""


def summarize(
    coordinator: Coordinator,
    folder: RunFolder,
    metric: str,
    status: Status,
    reason: str,
    objectives: Sequence[Objective] = (),
) -> Summary:
    """The summary of what the study holds now; with several objectives it has a front."""
    study = coordinator.study
    records = study.records
    best = None if objectives else coordinator.best
    front = front_of(records, objectives) if objectives else ()
    counts = Counter(r.outcome.value if r.outcome else "unfinished" for r in records)
    return Summary(
        folder=str(folder.path),
        status=status,
        reason=reason,
        metric=metric,
        mode=study.mode,
        objectives=[{"metric": each.metric, "mode": each.mode} for each in objectives],
        best=None if best is None else as_best(best, records, study.mode, folder),
        front=[_of_front(record, records, objectives, folder) for record in front],
        counts=dict(counts),
        trials=len(records),
        steps=sum(r.steps for r in records),
        samples=sum(r.samples for r in records),
        virtual_epochs=sum(r.depth for r in records),
        trial_seconds=round(sum(r.seconds for r in records), 3),
        seconds=round(coordinator.elapsed_seconds, 3),
        steps_saved=sum(_steps_saved(r, coordinator.budget.max_virtual_epochs) for r in records),
        failures={
            str(r.number): r.reason
            for r in records
            if r.outcome and r.outcome.value in ("failed", "out of memory")
        },
        over_limit={str(r.number): r.reason for r in records if r.outcome is Outcome.OVER_LIMIT},
        skipped_samples=_skipped_samples(records, folder),
        best_fully_trained=trained_to_its_end(coordinator),
        budget_spent={limit.key: round(limit.spent / limit.total, 4) for limit in coordinator.reserve.limits},
        of_other_data=sum(bool(record.of_other_data and record.values) for record in records),
        taken_over=[{"trial": r.number, **item._asdict()} for r in records for item in r.taken_over],
    )


def config_digest(config: Config) -> str:
    """A short hash of the configuration of a search, or of a stage, without the race that
    follows and without who is told of it."""
    kept = {key: value for key, value in config.raw.items() if key not in ("confirm", "log", "notify")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]


def trained_to_its_end(coordinator: Coordinator) -> bool | None:
    """Whether the best trial is fully trained; None without a limit of compute or a best trial."""
    if not coordinator.reserve.limits or coordinator.best is None:
        return None
    return is_fully_trained(coordinator.best, coordinator.budget.max_virtual_epochs)


def end_reason(coordinator: Coordinator, which: str = "the best trial") -> str:
    """What ended a search; of one with a limit of compute, also whether its best trial is fully trained."""
    study, ending = coordinator.study, coordinator.ending
    over = "" if ending or coordinator.budget.trials is not None else over_at_last(study)
    reason = ending or over or f"all {len(study.records)} trials are done"
    trained, best = trained_to_its_end(coordinator), coordinator.best
    if trained is None or best is None:
        return reason
    length = coordinator.budget.max_virtual_epochs
    if trained:
        how = "fully trained" if best.depth >= length else f"trained to its end, virtual epoch {best.depth}"
    else:
        how = f"at virtual epoch {best.depth} of {length}"
    return f"{reason}; {which} is {how}"


def as_best(record: TrialRecord, records: Sequence[TrialRecord], mode: Mode, folder: RunFolder) -> Best:
    """A trial with a value, at its best virtual epoch; `records` are those of its study."""
    value = record.value(mode)
    assert value is not None
    assert record.lengths is not None
    virtual_epoch = record.best_virtual_epoch(mode)
    checkpoint = checkpoint_folder(folder.trial(record.number), virtual_epoch)
    schedule = schedule_of(records, record, virtual_epoch)
    parts = [{"trial": part.trial, "until": part.until, "params": dict(part.params)} for part in schedule]
    return Best(
        trial=record.number,
        value=value,
        virtual_epoch=virtual_epoch,
        step=record.lengths.end_step(virtual_epoch),
        params=dict(record.params_at(virtual_epoch)),
        checkpoint=str(checkpoint.relative_to(folder.path)),
        mean=record.mean(mode),
        window=min(record.window, record.depth),
        of_other_data=record.of_other_data,
        schedule=parts if len(parts) > 1 else [],
        measured=dict(measured_at(records, record, virtual_epoch)),
    )


def _of_front(
    record: TrialRecord, records: Sequence[TrialRecord], objectives: Sequence[Objective], folder: RunFolder
) -> Best:
    best = as_best(record, records, objectives[0].mode, folder)
    return replace(best, objectives=objectives_at(record, objectives))


def _skipped_samples(records: Sequence[TrialRecord], folder: RunFolder) -> dict[str, str]:
    found: dict[str, str] = {}
    for record in records:
        found = {**read_skipped(folder.trial(record.number)), **found}
    # An image that is lost altogether has no suffix any more, and is named `2.*` from then on.
    whole = {str(Path(file).with_suffix("")) for file in found if not file.endswith(".*")}
    return {file: why for file, why in sorted(found.items()) if file.removesuffix(".*") not in whole}


def _steps_saved(record: TrialRecord, num_virtual_epochs: int) -> int:
    if record.lengths is None or record.outcome is None:
        return 0
    return record.lengths.end_step(num_virtual_epochs) - record.steps


def join(summaries: Sequence[Summary], folder: Path, num_stages: int) -> Summary:
    """The summary of the whole from those of the stages that have begun, one at least."""
    last = summaries[-1]
    names = [Path(summary.folder).name for summary in summaries]
    complete = last.status == "complete" and len(summaries) == num_stages
    found = next((summary for summary in reversed(summaries) if summary.best is not None), None)
    stages = [
        StageOutcome(
            name=name,
            best=_in_whole(summary.best, name),
            **{key: getattr(summary, key) for key in ("status", "reason", "trials", "steps", "seconds")},
        )
        for name, summary in zip(names, summaries, strict=True)
    ]
    return Summary(
        folder=str(folder),
        status=last.status,
        reason=f"all {num_stages} stages are done" if complete else f"stage {names[-1]}: {last.reason}",
        metric=last.metric,
        mode=last.mode,
        best=None if found is None else _in_whole(found.best, Path(found.folder).name),
        best_fully_trained=None if found is None else found.best_fully_trained,
        counts=dict(sum((Counter(summary.counts) for summary in summaries), Counter())),
        failures=_by_stage(names, [summary.failures for summary in summaries]),
        over_limit=_by_stage(names, [summary.over_limit for summary in summaries]),
        skipped_samples={file: why for summary in summaries for file, why in summary.skipped_samples.items()},
        taken_over=[
            {**item, "trial": f"{name}/{item['trial']}", "donor": f"{name}/{item['donor']}"}
            for name, summary in zip(names, summaries, strict=True)
            for item in summary.taken_over
        ],
        stages=stages,
        of=num_stages,
        **{key: round(sum(getattr(summary, key) for summary in summaries), 3) for key in _SUMS},
    )


def _by_stage(stages: Sequence[str], causes: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The causes of all stages, by the names of trials in the whole."""
    pairs = zip(stages, causes, strict=True)
    return {f"{stage}/{number}": cause for stage, of_stage in pairs for number, cause in of_stage.items()}


def _in_whole(best: Best | None, stage: str) -> Best | None:
    return None if best is None else replace(best, checkpoint=f"stages/{stage}/{best.checkpoint}")
