"""What is written of a run elsewhere: points, states, ids, the best over time; and who is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from listed_runs import RANDOM, asked, begun
from populations import of_a_population
from simulated_search import by_number, config_of
from tiny_tasks import search_config

from search.config.stages import load_config
from search.errors import ConfigError
from search.followers.destination import FollowedRun, Status
from search.followers.look import Look
from search.followers.sources import Piped
from search.run.disk.folder import RunFolder
from search.study.front import front_of
from search.study.journal import this_process
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")


def seen(folder: Path, ended: str | None = "") -> FollowedRun:
    return Look(RunFolder(folder)).take(ended)


def test_a_look_at_a_search_that_goes_on_adds_to_the_one_before(tmp_path: Path) -> None:
    simulation = begun(tmp_path / "run", workers=2)
    simulation.run(max_reports=7)
    look = Look(RunFolder(tmp_path / "run"))
    first = look.take(None)
    assert first.search.status is Status.RUNNING
    assert {trial.status for trial in first.trials} <= {Status.RUNNING, Status.WAITING, Status.FINISHED}
    simulation.run()
    second, whole = look.take(""), seen(tmp_path / "run")
    assert [trial.fingerprint for trial in second.trials] == [trial.fingerprint for trial in whole.trials]
    assert second.search.facts == whole.search.facts
    assert [len(trial.points) for trial in second.trials] == [r.depth for r in simulation.records]
    for before, after in zip(first.trials, second.trials, strict=False):
        assert list(after.points[: len(before.points)]) == list(before.points)
        assert before.id == after.id


def failing_second(number: int, virtual_epoch: int, attempts: int) -> FailureKind | None:
    return FailureKind.ERROR if number == 2 else None


def test_each_trial_has_its_state_and_a_failed_one_its_cause(tmp_path: Path) -> None:
    config = asked(max_failures=0)
    records = begun(tmp_path / "run", config, workers=2, faults=failing_second).run().records
    trials = seen(tmp_path / "run").trials
    for record, trial in zip(records, trials, strict=True):
        assert record.outcome is not None
        assert trial.state == record.outcome.value
        is_failed = record.outcome.value == "failed"
        assert trial.status is (Status.FAILED if is_failed else Status.FINISHED)
        assert trial.reason == record.reason
        assert dict(trial.config) == record.params
    assert {record.outcome.value for record in records if record.outcome} >= {"stopped", "completed"}


def test_the_best_over_time_ends_with_the_best_report_and_only_rises(tmp_path: Path) -> None:
    config = config_of(
        budget={"trials": 6, "max_virtual_epochs": 3}, sampler=RANDOM, scheduler={"name": "none"}
    )
    values = [0.1, 0.4, 0.2, 0.6, 0.5, 0.3]
    begun(tmp_path / "run", config, curve=by_number(values), workers=1).run()
    points = seen(tmp_path / "run").search.points
    assert [point.values["best_value"] for point in points] == [0.1, 0.4, 0.6]
    assert [point.values["best_trial"] for point in points] == [0, 1, 3]
    assert [point.step for point in points] == [5, 15 + 5, 45 + 5]


def test_a_population_s_parameters_are_metrics_as_they_change(tmp_path: Path) -> None:
    config = load_config(of_a_population()).first
    records = begun(tmp_path / "run", config).run().records
    taken = [record for record in records if record.taken_over]
    assert taken
    trials = {trial.facts["trial"]: trial for trial in seen(tmp_path / "run").trials}
    for record in taken:
        trial = trials[record.number]
        assert dict(trial.config) == record.drawn
        rates = [point.values["params/optimizer.lr"] for point in trial.points]
        assert rates == [record.params_at(n)["optimizer.lr"] for n in range(1, record.depth + 1)]


def test_all_objectives_are_metrics_and_the_front_is_told(tmp_path: Path) -> None:
    objectives = [{"metric": "accuracy", "mode": "max"}, {"metric": "parameters", "mode": "min"}]
    given = {key: value for key, value in search_config().items() if key != "objective"}
    config = load_config({**given, "objectives": objectives, "sampler": RANDOM}).first
    records = begun(tmp_path / "run", config).run().records
    run = seen(tmp_path / "run")
    front = front_of(records, config.objectives or ())
    assert run.search.facts["front"] == ", ".join(str(record.number) for record in front)
    assert all("accuracy" in point.values for trial in run.trials for point in trial.points)


def test_ids_are_those_of_the_study_and_a_stage_s_trials_have_its_number(tmp_path: Path) -> None:
    begun(tmp_path / "one").run(max_reports=5)
    before = seen(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    assert [trial.id for trial in seen(tmp_path / "two").trials] == [trial.id for trial in before.trials]
    begun(tmp_path / "three").run(max_reports=5)
    assert seen(tmp_path / "three").search.id != before.search.id
    from search.followers.identity import trial_id

    assert trial_id("0123456789ab", "12-" + "a-very-long-name" * 5 + "/7") == "0123456789ab-s12-7"


@pytest.mark.parametrize(
    ("ended", "state", "status"),
    [
        ("killed", "interrupted", Status.KILLED),
        ("failed: the disk is full", "failed", Status.FAILED),
        ("", "interrupted", Status.KILLED),  # it has no summary
    ],
)
def test_a_search_that_did_not_end_well_says_so(
    tmp_path: Path, ended: str, state: str, status: Status
) -> None:
    begun(tmp_path / "run").run(max_reports=5)
    run = seen(tmp_path / "run", ended)
    assert (run.search.state, run.search.status) == (state, status)
    assert run.search.reason
    unfinished = [trial for trial in run.trials if trial.state in ("paused", "unfinished")]
    assert unfinished
    assert {trial.status for trial in unfinished} == {Status.KILLED}


@pytest.mark.parametrize("said", ["", "terminated\n"])
def test_a_search_is_over_when_its_pipe_ends_and_killed_where_it_said_nothing(said: str) -> None:
    first = json.dumps({"by": "process 7 on host", "logger": {"to": "mlflow"}})
    source = Piped(io.StringIO(f"{first}\n{said}"))
    while source.ended() is None:  # pytest's own time limit ends a wait for nothing
        source.wait(1.0)
    assert source.ended() == (said.strip() or "killed")


def test_a_search_that_is_refused_has_nothing_to_tell(tmp_path: Path) -> None:
    """The folder is there, and another search has written its study."""
    begun(tmp_path / "run").run(max_reports=5)
    for by, has_begun in ((this_process(), True), ("process 0 on nowhere", False)):
        source = Piped(io.StringIO(json.dumps({"by": by, "logger": {}}) + "\n"))
        assert source.has_begun(RunFolder(tmp_path / "run")) is has_begun


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"log": ["mlfow"]}, "log"),
        ({"log": [{"to": "mlflow", "uri": "http://x"}]}, "log"),
        ({"log": "mlflow"}, "log"),
        ({"log": ["wandb", {"to": "wandb"}]}, "received wandb twice"),
        (
            {"log": [{"to": "mlflow", "tracking_uri": "http://me:hunter2@host"}]},
            "write ${env:NAME} in its place",
        ),
        ({"log": [{"to": "mlflow", "tracking_uri": "${env:NOT_SET_AT_ALL}"}]}, "NOT_SET_AT_ALL is not set"),
        ({"notify": ["mailto://me:hunter2@host"]}, "write ${env:NAME} in its place"),
        ({"notify": []}, "notify"),
        ({"notify": {"to": ["json://host"], "on": ["start"]}}, "on"),
        ({"notify": {"to": ["json://host"], "best_every": 5}}, "must be a duration"),
    ],
)
def test_a_wrong_section_is_refused_before_the_search(sections: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(search_config(**sections))
    assert problem in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("name", ["mlflow", "wandb", "notify"])
def test_a_missing_package_is_refused_with_the_command_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(load_loggers_packages(), name, "no_such_package")
    section = {"notify": ["json://host"]} if name == "notify" else {"log": [name]}
    with pytest.raises(ConfigError, match=rf"pip install 'tune-search\[{name}\]'"):
        load_config(search_config(**section))


def load_loggers_packages() -> dict[str, str]:
    from search.config.sections.loggers import _PACKAGE

    return _PACKAGE
