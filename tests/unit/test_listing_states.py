"""Which trials run and which are paused, told from the study alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from listed_runs import asked, begun, reading
from simulated_search import FLAT_SPACE, RULES, Simulation, config_of

from search.config.config import Config
from search.listing.jobs import jobs_of
from search.listing.reading import StageReading
from search.listing.rows import rows_of, state_of_trial
from search.run.events import EventKind
from search.study.trial import JobTimes
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")

PBT = {"name": "pbt", "interval": 3, "quantile": 0.25}
SEARCHES: dict[str, Config] = {
    **{name: asked(**sections) for name, sections in RULES.items()},
    "grace": asked(scheduler={"name": "asha", "grace_period": 2}),
    "steps": asked(scheduler={"name": "asha", "axis": "steps", "grace_period": 12}),
    "audited": asked(scheduler={"name": "asha", "audit": 3}),
    "budget": asked(budget={"full_trainings": 3, "max_virtual_epochs": 9}),
    "held": asked(budget={"full_trainings": 2, "max_virtual_epochs": 9}, scheduler={"name": "asha_stop"}),
    "budget without a scheduler": asked(
        budget={"full_trainings": 2.5, "max_virtual_epochs": 9}, scheduler={"name": "none"}
    ),
    "pbt": config_of(
        FLAT_SPACE,
        budget={"trials": 6, "max_virtual_epochs": 9},
        scheduler=PBT,
        sampler={"name": "random", "seed": 0},
    ),
}


def stage_of(folder: Path) -> StageReading:
    return reading(folder).stages[0]


def told(stage: StageReading) -> dict[int, str]:
    return {
        record.number: state_of_trial(stage, record, is_running=True)
        for record in stage.records
        if record.outcome is None
    }


def true(simulation: Simulation) -> dict[int, str]:
    return {
        record.number: "running" if record.running else "paused"
        for record in simulation.records
        if record.outcome is None
    }


@pytest.mark.parametrize("name", SEARCHES)
def test_who_runs_and_who_is_paused_is_what_the_search_itself_knows(name: str, tmp_path: Path) -> None:
    simulation = begun(tmp_path / "run", SEARCHES[name], workers=3)
    seen: set[str] = set()
    for number in range(60):
        simulation.step()
        if number % 3 == 0:
            assert told(stage_of(tmp_path / "run")) == true(simulation)
            seen |= set(true(simulation).values())
    pauses = {"asha", "grace", "steps", "audited", "budget", "held", "pbt", "asha and plateau"}
    assert seen >= ({"running", "paused"} if name in pauses else {"running"})


@pytest.mark.parametrize("name", ["asha", "grace", "steps", "audited", "pbt", "none"])
def test_the_jobs_of_each_trial_are_those_that_the_search_began(name: str, tmp_path: Path) -> None:
    simulation = begun(tmp_path / "run", SEARCHES[name], workers=2)
    simulation.run()
    stage = stage_of(tmp_path / "run")
    for row in rows_of(stage, is_running=False):
        jobs = jobs_of(stage, row.record, row.state)
        number = row.record.number
        kinds = (EventKind.STARTED, EventKind.PROMOTED)
        begun_at = [depth for kind, trial, depth in simulation.events if trial == number and kind in kinds]
        assert [job.after for job in jobs] == begun_at
        assert [job.until for job in jobs] == [*begun_at[1:], row.record.depth]
        assert jobs[-1].ended == row.state


def test_an_attempt_that_failed_is_a_job_of_its_own(tmp_path: Path) -> None:
    def fails_once(number: int, virtual_epoch: int, attempt: int) -> Any:
        return FailureKind.DIED if (number, virtual_epoch, attempt) == (1, 1, 0) else None

    simulation = begun(tmp_path / "run", asked(scheduler={"name": "none"}), faults=fails_once)
    simulation.run()
    stage = stage_of(tmp_path / "run")
    jobs = jobs_of(stage, stage.records[1], "completed")
    assert [(job.after, job.until, job.began, job.ended) for job in jobs] == [
        (0, 0, "started", FailureKind.DIED.value),
        (0, 9, "tried again", "completed"),
    ]
    assert [job.at for job in jobs] == [times.began for times in stage.records[1].jobs]


def test_a_promoted_trial_that_failed_had_paused_before(tmp_path: Path) -> None:
    def fails_once(number: int, virtual_epoch: int, attempt: int) -> Any:
        return FailureKind.ERROR if (number, virtual_epoch, attempt) == (0, 2, 0) else None

    simulation = begun(tmp_path / "run", SEARCHES["asha"], faults=fails_once)
    simulation.run()
    stage = stage_of(tmp_path / "run")
    for records_jobs in (stage.records[0].jobs, []):  # of now, and of a version that kept no times
        stage.records[0].jobs = records_jobs
        jobs = jobs_of(stage, stage.records[0], "completed")
        assert [(job.after, job.began, job.ended) for job in jobs][:2] == [
            (0, "started", "paused"),
            (1, "promoted", FailureKind.ERROR.value),
        ]
        assert (jobs[2].after, jobs[2].began) == (1, "tried again")


def test_each_job_has_its_own_times_whatever_came_between(tmp_path: Path) -> None:
    simulation = begun(tmp_path / "run", SEARCHES["asha"])
    simulation.run()
    stage = stage_of(tmp_path / "run")
    record = next(record for record in stage.records if len(record.jobs) > 1)
    # It was killed in its second job after one report, and went on an hour later.
    first, second = record.jobs[:2]
    again = JobTimes(second.began + 3600.0, second.began + 3660.0, second.after + 1)
    record.jobs = [first, second, again]
    jobs = jobs_of(stage, record, "completed")
    assert [(job.at, job.began) for job in jobs] == [
        (first.began, "started"),
        (second.began, "promoted"),
        (again.began, "continued"),
    ]
    assert [job.ended for job in jobs] == ["paused", "cut off with the search", "completed"]
