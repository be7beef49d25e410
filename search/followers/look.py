"""Looks at a run again and again: what it should be found as elsewhere. Nothing is locked or written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from search.config.schema import Pbt
from search.config.stages import SearchConfig, open_run
from search.followers.best_curve import Report, best_over_time
from search.followers.destination import Followed, FollowedRun, Point, Status
from search.followers.event_values import EventValues
from search.followers.identity import run_id, trial_id
from search.listing.reading import RunReading, StageReading, read_run
from search.listing.rows import state_of_trial
from search.listing.state import State, state_of
from search.run.disk.folder import RunFolder
from search.study.front import front_of
from search.study.reading import FollowedStudy, StudyReading
from search.study.trial import Outcome, TrialRecord, best_record

BEST = "best_value"
"""The metric of a search."""
KILLED = "killed"
"""How a search has ended that could not say it."""
_FAILED = (Outcome.FAILED, Outcome.OUT_OF_MEMORY)
_OF_RUN = {
    State.COMPLETE: Status.FINISHED,
    State.FAILED: Status.FAILED,
    State.DAMAGED: Status.FAILED,
}
_NOT_TOLD = ("trial", "log", "notify")
"""Sections that are no configuration of the search, or stand at each trial."""


@dataclass
class Look:
    """Looks at one run.

    Args:
        folder: of a run that has begun.
    """

    folder: RunFolder
    _studies: dict[Path, FollowedStudy] = field(default_factory=dict)
    _configs: dict[Path, tuple[int, SearchConfig]] = field(default_factory=dict)
    _events: dict[Path, EventValues] = field(default_factory=dict)
    _points: dict[tuple[str, int], list[Point]] = field(default_factory=dict)
    """By stage and number of a trial; those of a virtual epoch stay as they were read first."""

    def take(self, ended: str | None) -> FollowedRun:
        """The run as it is now.

        Args:
            ended: None while the search runs; else how it has ended, in the words of a summary's status, as
                `killed`, or as `failed: ` and the cause; empty where its files say that.

        Raises:
            SearchError: a file is damaged.
            OSError: a file cannot be read.
        """
        run, is_running = read_run(self.folder, study_in=self._study_in, opened=self._opened), ended is None
        of_run = run_id(self.folder)
        trials, reports = list[Followed](), list[Report]()
        for stage in run.stages:
            for record in stage.records:
                points = self._points_of(stage, record)
                trials.append(_trial(of_run, stage, record, points, is_running=is_running))
                reports += _reports(record, points)
        files = [self.folder.config]
        if not is_running:
            files += [self.folder.summary, self.folder.path / "report.html"]
        return FollowedRun(
            search=replace(
                _search(of_run, run, reports, ended),
                began=min((trial.began for trial in trials if trial.began), default=0.0),
                heard_of=max((trial.heard_of for trial in trials), default=0.0),
            ),
            trials=trials,
            objective=run.search.objective.metric,
            files=[file for file in files if file.is_file()],
        )

    def _study_in(self, path: Path) -> StudyReading:
        if path not in self._studies:
            self._studies[path] = FollowedStudy(path)
        return self._studies[path].read()

    def _opened(self, path: Path) -> SearchConfig:
        written = path.stat().st_mtime_ns
        if self._configs.get(path, (0,))[0] != written:
            self._configs[path] = written, open_run(path)
        return self._configs[path][1]

    def _points_of(self, stage: StageReading, record: TrialRecord) -> list[Point]:
        known = self._points.setdefault((stage.name, record.number), [])
        if len(known) < record.depth:
            folder = stage.folder.trial(record.number)
            events = self._events.setdefault(folder, EventValues(folder))
            events.look()
            for virtual_epoch in range(len(known) + 1, record.depth + 1):
                known.append(_point(stage, record, virtual_epoch, events))
        if record.outcome is not None:  # of thousands of trials few are open
            self._events.pop(stage.folder.trial(record.number), None)
        return known


def _point(stage: StageReading, record: TrialRecord, virtual_epoch: int, events: EventValues) -> Point:
    """A virtual epoch: what the trial wrote of it, and what the study has, which counts."""
    assert record.lengths is not None
    step = record.lengths.end_step(virtual_epoch)
    written = events.at(step)
    values = dict(written.values) if written else {}
    if isinstance(stage.config.scheduler, Pbt):  # its parameters change
        params = record.params_at(virtual_epoch)
        values |= {f"params/{name}": float(v) for name, v in params.items() if isinstance(v, int | float)}
    values["virtual_epoch"] = float(virtual_epoch)
    if len(record.others) >= virtual_epoch:
        values |= record.others[virtual_epoch - 1]
    metric = stage.config.objective.metric
    values.pop(metric, None)
    values[metric] = record.values[virtual_epoch - 1]
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    return Point(step, written.at if written else _time_of(record, virtual_epoch), finite)


def _time_of(record: TrialRecord, virtual_epoch: int) -> float:
    """About when a virtual epoch ended, by the jobs of its trial; 0 where nothing is known of these."""
    ends = [*(job.after for job in record.jobs[1:]), record.depth]
    for job, until in zip(record.jobs, ends, strict=True):
        if job.after < virtual_epoch <= until:
            share = (virtual_epoch - job.after) / (until - job.after)
            return job.began + share * (job.heard_of - job.began)
    return 0.0


def _reports(record: TrialRecord, points: list[Point]) -> Iterator[Report]:
    before = 0
    for virtual_epoch, point in enumerate(points, 1):
        yield Report(point.at, record, virtual_epoch, point.step - before)
        before = point.step


def _trial(
    of_run: str, stage: StageReading, record: TrialRecord, points: list[Point], *, is_running: bool
) -> Followed:
    state = state_of_trial(stage, record, is_running=is_running)
    if record.outcome is not None:
        status = Status.FAILED if record.outcome in _FAILED else Status.FINISHED
    elif not is_running:
        status = Status.KILLED
    else:
        status = Status.WAITING if state == "paused" else Status.RUNNING
    name = stage.name_of(record)
    facts: dict[str, Any] = {"trial": name, "failed_attempts": len(record.failures)}
    if record.values:
        facts["best_virtual_epoch"] = record.best_virtual_epoch(stage.config.objective.mode)
    facts |= {"of_other_data": True} if record.of_other_data else {}
    return Followed(
        id=trial_id(of_run, name),
        name=f"trial {name}",
        config=dict(record.drawn),
        points=list(points),
        status=status,
        state=state,
        reason=record.reason if record.outcome is not None else "",
        began=record.jobs[0].began if record.jobs else points[0].at if points else 0.0,
        heard_of=record.jobs[-1].heard_of if record.jobs else points[-1].at if points else 0.0,
        facts={**facts, **record.measured},
    )


def _search(of_run: str, run: RunReading, reports: list[Report], ended: str | None) -> Followed:
    if ended is None:
        status, state, reason = Status.RUNNING, State.RUNNING.value, ""
    else:
        status, state, reason, ended = _end(run, ended)
    return Followed(
        id=of_run,
        name=run.folder.path.name,
        config={key: value for key, value in run.search.raw.items() if key not in _NOT_TOLD},
        points=_best_points(run, reports),
        status=status,
        state=state,
        reason=reason,
        facts={**_facts(run), **({"ended": ended} if ended else {})},
    )


def _end(run: RunReading, ended: str) -> tuple[Status, str, str, str]:
    """Status, state and reason of a search that does not run, and how it has ended in one word."""
    said, _, cause = ended.partition(": ")
    if said == KILLED:  # its summary, if it has one, is of a time before
        return Status.KILLED, State.INTERRUPTED.value, "its process was killed, or its machine died", KILLED
    if cause:
        return Status.FAILED, State.FAILED.value, cause, said
    summary = run.summary
    found = state_of(run, None, None if summary is None else summary.confirmed)
    if not said:
        is_told = summary is not None and (summary.status != "complete" or found.state is State.COMPLETE)
        said = summary.status if summary is not None and is_told else KILLED
    return _OF_RUN.get(found.state, Status.KILLED), found.state.value, found.reason, said


def _best_points(run: RunReading, reports: list[Report]) -> list[Point]:
    found = []
    for best in best_over_time(reports, run.search.objective.mode):
        of = {} if run.search.is_staged else {"best_trial": float(best.record.number)}  # a name is no number
        found.append(Point(best.steps, best.at, {**of, BEST: best.value}))
    return found


def _facts(run: RunReading) -> Mapping[str, Any]:
    """What a person looks for first: how many trials, the best one, its value and parameters."""
    records = [record for stage in run.stages for record in stage.records]
    facts: dict[str, Any] = {"trials": len(records), "steps": sum(record.steps for record in records)}
    objective = run.search.objective
    facts |= {"objective": objective.metric, "mode": objective.mode}
    for stage in reversed(run.stages):
        if several := stage.config.objectives:
            front = [str(stage.name_of(record)) for record in front_of(stage.records, several)]
            return {**facts, "front": ", ".join(front)}
        if (best := best_record(stage.records, objective.mode)) is not None:
            params = best.params_at(best.best_virtual_epoch(objective.mode))
            facts |= {"best": stage.name_of(best), BEST: best.value(objective.mode)}
            return facts | {f"best/{name}": each for name, each in params.items()}
    return facts
