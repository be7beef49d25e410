"""A run in a real MLflow server: each value once, whatever was killed, and whatever the server did."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answering_server import answering
from filelock import FileLock
from in_process import search_locally
from listed_runs import asked, begun, reading
from mlflow.tracking import MlflowClient
from mlflow_server import Held, Server, mlflow_server
from patience import PATIENCE
from programs import HELPERS, run, write_config
from simulated_search import Simulation, noisy
from tiny_tasks import search_config

import search
from search.config.sections.loggers import MlflowLogger
from search.errors import RefusedError, SearchError
from search.followers.destination import Followed, FollowedRun, Point, Status
from search.followers.mlflow import MlflowDestination
from search.study.trial import TrialRecord
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")
FAILING = {"model": {"hidden": {"choice": [8, 16]}, "fail_at": {"choice": [0, 2]}}, "batch_size": 16}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setattr("search.followers.log.EVERY_SECONDS", 0.05)


def simulated(folder: Path, **how: object) -> list[TrialRecord]:
    simulation = begun(folder, asked(), workers=2, **how)
    return simulation.run().records


def written(run: Path, server: Server, name: str, **how: object) -> Held:
    search.log(run, "mlflow", tracking_uri=server.address, project=name, once=True, **how)
    return Held.of(server.address, name)


def is_whole(held: Held, records: list[TrialRecord]) -> None:
    """The server has each value of each trial exactly once, in runs that are nested in one."""
    assert len(held.runs) == 1 + len(records)
    for record in records:
        trial = held.trial(record.number)
        assert trial.data.tags["mlflow.parentRunId"] == held.search.info.run_id
        assert held.history(trial, "accuracy") == list(zip(range(5, 50, 5), record.values, strict=False))


def test_a_search_is_one_run_with_its_trials_nested_in_it(server: Server, tmp_path: Path) -> None:
    summary = search_locally(
        search_config(
            task="tiny_tasks:FailingTask",
            trial=FAILING,
            budget={"trials": 4, "max_virtual_epochs": 3},
            sampler={"name": "grid"},
            scheduler={"name": "none"},
            max_failures=0,
        ),
        results=tmp_path,
    )
    held = written(tmp_path / "digits", server, "nested")
    records = list(reading(tmp_path / "digits").stages[0].records)
    is_whole(held, records)
    assert {record.outcome.value for record in records if record.outcome} == {"failed", "completed"}
    for record in records:
        trial = held.trial(record.number)
        assert record.outcome is not None
        assert trial.data.params == {name: str(value) for name, value in record.params.items()}
        assert trial.data.tags["tune_search.state"] == record.outcome.value
        took = trial.info.end_time - trial.info.start_time
        assert took == pytest.approx(1000 * (record.jobs[-1].heard_of - record.jobs[0].began), abs=1)
        failed = record.outcome.value == "failed"
        assert trial.info.status == ("FAILED" if failed else "FINISHED")
        assert ("is cursed" in trial.data.tags["tune_search.reason"]) == failed
        for metric in ("train_loss", "valid_loss", "lr", "virtual_epoch"):  # as TensorBoard has them
            assert len(held.history(trial, metric)) == record.depth
    best = summary.best
    assert best is not None
    parent = held.search
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == "digits"
    assert parent.data.tags["tune_search.best"] == str(best.trial)
    assert parent.data.params["objective.metric"] == "accuracy"
    steps, values = zip(*held.history(parent, "best_value"), strict=True)
    assert list(values) == sorted(set(values))
    assert steps[-1] <= summary.steps
    kept = {file.path for file in held.client.list_artifacts(parent.info.run_id)}
    assert kept == {"config.yaml", "summary.json"}


def test_what_is_there_is_not_written_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = simulated(tmp_path / "run")
    before = written(tmp_path / "run", server, "again")
    is_whole(before, records)
    monkeypatch.setattr("mlflow.tracking.MlflowClient.log_batch", None)  # which is not called at all
    again = written(tmp_path / "run", server, "again")
    assert [run.info.run_id for run in again.runs] == [run.info.run_id for run in before.runs]


def test_a_renamed_run_goes_on_in_the_same_runs_and_another_one_has_others(
    server: Server, tmp_path: Path
) -> None:
    begun(tmp_path / "one", asked(), workers=2).run(max_reports=9)
    before = {run.info.run_id for run in written(tmp_path / "one", server, "renamed").runs}
    (tmp_path / "one").rename(tmp_path / "two")
    records = Simulation(tmp_path / "two", asked(), noisy(0), workers=2).run().records
    held = written(tmp_path / "two", server, "renamed")
    is_whole(held, records)
    assert before < {run.info.run_id for run in held.runs}
    simulated(tmp_path / "other")
    assert len(written(tmp_path / "other", server, "renamed").runs) == 2 * len(held.runs)


def test_a_process_that_is_killed_after_a_write_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    number = 4
    records = simulated(tmp_path / "run")
    arguments = [str(number), str(tmp_path / "run"), "mlflow", server.address]
    killed = subprocess.run([sys.executable, HELPERS / "killed_logger.py", *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert Held.of(server.address, f"killed-{number}").runs
    is_whole(written(tmp_path / "run", server, f"killed-{number}"), records)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_hangs_for_a_while_has_nothing_twice(server: Server, tmp_path: Path) -> None:
    records = simulated(tmp_path / "run")
    lines = []

    def report(text: str, done: int, of: int) -> None:
        if text == "writing trial 2" and not lines:
            server.signal(signal.SIGSTOP)
        if "trying again" in text:
            lines.append(text)
            server.signal(signal.SIGCONT)

    search.log(tmp_path / "run", "mlflow", tracking_uri=server.address, project="hanging", report=report)
    assert lines
    is_whole(Held.of(server.address, "hanging"), records)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [500, 401, None])
def test_a_server_that_fails_is_told_with_the_way_out_and_without_its_password(
    tmp_path: Path, status: int | None
) -> None:
    simulated(tmp_path / "run")
    with answering(status) as broken:
        address = f"http://me:hunter2@127.0.0.1:{broken.port}"
        with pytest.raises(SearchError) as error:
            search.log(tmp_path / "run", "mlflow", tracking_uri=address, once=True)
    assert error.value.exit_code == 1
    assert "what is written stays, and the same command writes the rest" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_server_that_is_down_is_told(tmp_path: Path) -> None:
    simulated(tmp_path / "run")
    with pytest.raises(SearchError, match="the same command writes the rest"):
        search.log(tmp_path / "run", "mlflow", tracking_uri="http://127.0.0.1:9", once=True)


@pytest.mark.parametrize(
    "address", ["nothing://x", "file:///tmp/mlruns", "postgresql+nothing://me:hunter2@h/x"]
)
def test_an_address_that_mlflow_does_not_take_is_told(tmp_path: Path, address: str) -> None:
    simulated(tmp_path / "run")
    with pytest.raises(SearchError, match="the same command writes the rest") as error:
        search.log(tmp_path / "run", "mlflow", tracking_uri=address, once=True)
    assert "hunter2" not in str(error.value)


def test_an_experiment_that_was_deleted_is_told_with_the_way_out(server: Server, tmp_path: Path) -> None:
    simulated(tmp_path / "run")
    client = Held.of(server.address, "deleted").client
    client.delete_experiment(client.create_experiment("deleted"))
    with pytest.raises(SearchError, match="mlflow experiments restore --experiment-id"):
        written(tmp_path / "run", server, "deleted")


def test_runs_that_are_there_twice_become_one(server: Server, tmp_path: Path) -> None:
    """As after a request that was answered too late, and asked again."""
    records = simulated(tmp_path / "run")
    held = written(tmp_path / "run", server, "twice")
    of_trial = held.trial(3)
    held.client.create_run(of_trial.info.experiment_id, tags=dict(of_trial.data.tags))
    assert len(Held.of(server.address, "twice").runs) == 2 + len(records)
    is_whole(written(tmp_path / "run", server, "twice"), records)


def failing_once(number: int, virtual_epoch: int, attempts: int) -> FailureKind | None:
    return FailureKind.ERROR if (number, virtual_epoch, attempts) == (1, 1, 0) else None


def test_a_trial_that_was_tried_again_has_each_value_once(server: Server, tmp_path: Path) -> None:
    records = simulated(tmp_path / "run", faults=failing_once)
    assert records[1].failures
    is_whole(written(tmp_path / "run", server, "retried"), records)


def wait_until_free(run: Path) -> None:
    """Until the process that the search has started has written all and ended."""
    FileLock(run / "loggers/mlflow.lock", timeout=PATIENCE).acquire().__exit__(None, None, None)


def test_a_search_writes_itself_and_goes_on_in_the_same_runs_when_it_is_resumed(
    server: Server, tmp_path: Path
) -> None:
    logger = {"to": "mlflow", "tracking_uri": "${env:TRACKING}", "experiment": "itself"}
    file = write_config(tmp_path, budget={"trials": 3, "max_virtual_epochs": 3}, log=[logger])
    environment = {"TRACKING": server.address}
    command = [str(file), "--local", "--results", str(tmp_path)]
    first = run(*command, cwd=HELPERS, env=environment)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "\nlog\n  mlflow: " in first.stdout
    assert server.address not in (tmp_path / "digits/config.yaml").read_text()
    wait_until_free(tmp_path / "digits")
    before = {each.info.run_id for each in Held.of(server.address, "itself").runs}
    again = run("resume", str(tmp_path / "digits"), "--trials", "4", "--local", env=environment)
    assert again.returncode == 0, again.stdout + again.stderr
    wait_until_free(tmp_path / "digits")
    held = Held.of(server.address, "itself")
    is_whole(held, list(reading(tmp_path / "digits").stages[0].records))
    assert before <= {each.info.run_id for each in held.runs}
    assert held.search.info.status == "FINISHED"


def test_what_a_logger_does_not_have_is_refused(tmp_path: Path) -> None:
    simulated(tmp_path / "run")
    with pytest.raises(RefusedError, match="wandb has no tracking_uri"):
        search.log(tmp_path / "run", "wandb", tracking_uri="http://127.0.0.1:1")


def test_a_run_that_another_process_writes_and_one_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    simulated(tmp_path / "run")
    (tmp_path / "run/loggers").mkdir()
    with FileLock(tmp_path / "run/loggers/mlflow.lock"), pytest.raises(SearchError, match="another process"):
        search.log(tmp_path / "run", "mlflow")
    simulated(tmp_path / "full")
    (tmp_path / "full/loggers").touch()
    with pytest.raises(SearchError, match=r"cannot write to .*/full/loggers"):
        search.log(tmp_path / "full", "mlflow")


def many(names: list[str], num_facts: int = 0) -> FollowedRun:
    config = {name: number for number, name in enumerate(names)}
    points = [Point(1, 1.0, dict.fromkeys([*names, "value"], 0.5))]
    search = Followed("an-id", "many", config, points, Status.RUNNING, "running")
    search = replace(search, facts={f"f{number}": number for number in range(num_facts)})
    return FollowedRun(search, [], "value")


def destination(server: Server, experiment: str, run: FollowedRun) -> MlflowDestination:
    logger = MlflowLogger(to="mlflow", tracking_uri=server.address, experiment=experiment)
    opened = MlflowDestination(logger)
    opened.open(run)
    return opened


def test_names_that_differ_are_there_apart(server: Server) -> None:
    names = ["a{b}", "a(b)", "a_b_", 251 * "x", 252 * "x"]
    run = many(names)
    destination(server, "names", run).write(run.search, parent=None)
    data = Held.of(server.address, "names").search.data
    assert sorted(data.params.values()) == ["0", "1", "2", "3", "4"]
    assert len(data.metrics) == len(names) + 1
    assert data.params["a_b_"] == "2"


@pytest.mark.parametrize(("params", "facts"), [(150, 0), (250, 0), (50, 150)])
def test_a_process_that_is_killed_between_two_requests_of_many_parameters_loses_none(
    server: Server, params: int, facts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, experiment = many([f"p{number}" for number in range(params)], facts), f"many{params}"
    for requests in (1, 1, 3):
        left = [requests]

        def log_batch(
            *arguments: Any, left: list[int] = left, whole: Any = MlflowClient.log_batch, **more: Any
        ) -> None:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            whole(*arguments, **more)

        with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
            patched.setattr(MlflowClient, "log_batch", log_batch)
            destination(server, experiment, run).write(run.search, parent=None)
    data = Held.of(server.address, experiment).search.data
    assert len(data.params) == params
    assert {f"tune_search.f{number}" for number in range(facts)} <= data.tags.keys()
    assert len(data.metrics) == params + 1
