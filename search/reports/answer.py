"""What a search found, how sure that is and what it cost, in sentences and rows for the head of the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.reports.opened import OpenedRun, Stage
from search.reports.sure import complete_race, sure_of
from search.study.front import front_of, objectives_at
from search.study.trial import Outcome, TrialRecord
from search.text import counted, duration, number_text, value_text


@dataclass(frozen=True)
class Answer:
    """The head of the page."""

    state: str
    """`complete: all 24 trials are done`"""
    value: str
    """The number that was found; empty without one."""
    what: str
    """Of which metric, trial and virtual epoch it is."""
    sure: list[str]
    """How far it can be believed."""
    cost: list[tuple[str, str]]
    """What was spent, and what early stopping saved."""
    params: list[tuple[str, str]]
    """Of the best trial."""
    front: list[list[str]]
    """With several objectives a row for each trial of the front, after one with the names."""


def answer_of(run: OpenedRun) -> Answer:
    """The head of the page of this run."""
    stage = run.last
    several = bool(stage.config.objectives)
    best = stage.ranked[0] if stage.ranked else None
    race = complete_race(run)
    if several or best is None:
        value, what = "", "no trial has a value yet" if best is None else _first_of(stage)
        params: Mapping[str, Any] = {}
    elif race is not None and race.best is not None:
        spread = "" if race.best.std is None else f" ± {number_text(race.best.std)}"
        value, params = f"{number_text(race.best.mean)}{spread}", race.best.params
        what = (
            f"{stage.config.objective.metric}, mean ± standard deviation over "
            f"{counted(race.best.seeds, 'seed')} of trial {race.best.trial}, the winner of the race"
        )
    else:
        mode = stage.config.objective.mode
        at = best.best_virtual_epoch(mode)
        value, params = number_text(best.value(mode)), best.params_at(at)
        what = f"{stage.config.objective.metric} of trial {best.number}, {_trained(best, at, stage)}"
    return Answer(
        state=_state(run),
        value=value,
        what=what,
        sure=[] if several or best is None else list(sure_of(run, stage, best)),
        cost=_cost(run),
        params=[(name, value_text(each)) for name, each in params.items()],
        front=_front(stage) if several else [],
    )


def _first_of(stage: Stage) -> str:
    """What charts show where there are several objectives."""
    metric = stage.config.objective.metric
    return f"Charts, ranks and what mattered are by the first objective, {metric}; the front is by all."


def _state(run: OpenedRun) -> str:
    state = run.state
    return f"{state.state}: {state.reason if state.heard is None else state.heard.owner}"


def _trained(record: TrialRecord, at: int, stage: Stage) -> str:
    assert record.lengths is not None
    step = f"virtual epoch {at} of {stage.length}, step {record.lengths.end_step(at):,}"
    if record.depth >= stage.length:
        return step
    return f"{step}; the trial was trained for {record.depth} of {stage.length} virtual epochs so far"


def _cost(run: OpenedRun) -> list[tuple[str, str]]:
    records = [record for stage in run.stages for record in stage.records]
    counts = Counter(str(record.outcome or "unfinished") for record in records)
    seconds = sum(stage.study.seconds for stage in run.stages)
    trained = sum(record.seconds for record in records)
    rows = [
        ("trials", f"{len(records):,}: " + ", ".join(f"{n:,} {kind}" for kind, n in sorted(counts.items()))),
        (
            "time",
            f"{duration(seconds)}; trials together trained for {duration(trained)}",
        ),
        ("steps", f"{sum(r.steps for r in records):,}, on {sum(r.samples for r in records):,} samples"),
    ]
    spent = sum(record.depth / stage.length for stage in run.stages for record in stage.records)
    stopped = sum(
        1 - record.depth / stage.length
        for stage in run.stages
        for record in stage.records
        if record.outcome is Outcome.STOPPED
    )
    rows.append(("compute", f"that of {spent:.1f} full trainings"))
    if run.race is not None:
        rows.append(
            ("race", f"{run.race.steps:,} steps besides, over {counted(len(run.race.seeds), 'seed')}")
        )
    if stopped and spent:
        share = stopped / (spent + stopped)
        rows.append(("saved by early ends", f"{stopped:.1f} full trainings ({share:.0%})"))
    return rows


def _front(stage: Stage) -> list[list[str]]:
    objectives = stage.config.objectives or []
    front = front_of(stage.records, objectives)
    names = [objective.metric for objective in objectives]
    rows = [
        [str(record.number), *(number_text(found[name]) for name in names), _params_text(record)]
        for record in front
        for found in [objectives_at(record, objectives)]
    ]
    return [["trial", *names, "parameters"], *rows] if rows else []


def _params_text(record: TrialRecord) -> str:
    return ", ".join(f"{name} {value_text(value)}" for name, value in record.params.items())
