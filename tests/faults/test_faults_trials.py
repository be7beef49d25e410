"""Faults of single trials in real searches: what is tried again, how it ends, and that the others go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_searches import Done, config_of
from faulty_trials import FAULTS
from in_process import search_locally
from invariants import DIFFERED, assert_nothing_lost
from programs import no_process_left
from recorder import optuna_study
from ruamel.yaml import YAML

from search.run.events import EventKind
from search.run.executors.ray_tune import failure_in
from search.samplers.view import HalvingScores
from search.schedulers.base import Rungs
from search.study.reading import read_records
from search.study.trial import Outcome
from trainables.process.failure import Failure, FailureKind

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def calm(folder: Path) -> Done:
    """A search without any fault."""
    config = config_of([0.001, 0.002, 0.003, 0.005, 0.008], folder / "calm")
    config["trial"]["data"]["calm"] = True
    return Done(config, folder / "calm", local=True)


@pytest.fixture(scope="module")
def killed(ray_session: None, folder: Path) -> Done:
    """A search in which the processes of all trials but the last die, each in another place."""
    return Done(config_of([0.001, 0.002, 0.003, 0.008], folder / "killed"), folder / "killed")


@pytest.fixture(scope="module")
def raising(folder: Path) -> Done:
    """A search whose trials raise, and are tried again."""
    return Done(config_of([0.004, 0.005, 0.006, 0.007], folder / "raising"), folder / "raising", local=True)


@pytest.fixture(scope="module")
def broken(folder: Path) -> Done:
    """A search whose trials have faults that another attempt would meet again."""
    rates = [rate for rate in FAULTS if 0.01 < rate < 0.02]
    return Done(config_of(rates, folder / "broken", max_failures=0), folder / "broken", local=True)


@pytest.mark.parametrize("name", ["killed", "raising", "broken"])
def test_a_search_full_of_faults_is_complete_and_nothing_is_lost(
    name: str, request: pytest.FixtureRequest
) -> None:
    done: Done = request.getfixturevalue(name)
    assert done.summary.status == "complete"
    assert_nothing_lost(done.run)
    assert [note for note in done.notes() if DIFFERED in note] == []


@pytest.mark.parametrize(
    ("name", "rate", "lost", "begun"),
    [
        pytest.param("killed", 0.001, ["process died"], [1, 2, 1], id="1: killed in mid-step"),
        pytest.param("killed", 0.002, ["process died"], [1, 2, 1], id="2: killed between two files"),
        pytest.param("killed", 0.003, ["process died"], [1, 1, 1], id="2: killed after saving"),
        pytest.param(
            "raising", 0.005, ["error of the system"] * 2, [1, 3, 1], id="6: a lost connection twice"
        ),
        pytest.param("killed", 0.008, [], [1, 1, 1], id="no fault, among all the others"),
    ],
)
def test_a_trial_goes_on_from_its_checkpoint_and_ends_as_if_undisturbed(
    request: pytest.FixtureRequest, calm: Done, name: str, rate: float, lost: list[str], begun: list[int]
) -> None:
    disturbed: Done = request.getfixturevalue(name)
    assert disturbed.records[rate].outcome is Outcome.COMPLETED
    assert disturbed.lost(rate) == lost
    assert disturbed.begun(rate) == begun
    assert disturbed.records[rate].values == calm.records[rate].values
    assert disturbed.weights(rate) == calm.weights(rate)


ERROR, LASTING, GPU, MEMORY = "error", "error that comes again", "out of memory on the GPU", "out of memory"


@pytest.mark.parametrize(
    ("rate", "outcome", "lost", "reason"),
    [
        pytest.param(
            0.004, Outcome.FAILED, [ERROR] * 2, "RuntimeError: step 5 is cursed",
            id="5: an exception in every attempt",
        ),
        pytest.param(
            0.006, Outcome.OUT_OF_MEMORY, [MEMORY] * 2, "out of memory at step 4", id="11: out of memory"
        ),
        pytest.param(
            0.011, Outcome.DIVERGED, [], "virtual epoch 2, step 4: loss nan, gradient norm nan",
            id="8: NaN in the loss",
        ),
        pytest.param(
            0.012, Outcome.DIVERGED, [], "virtual epoch 2, step 4: loss 2.", id="8: NaN in the gradient only"
        ),
        pytest.param(0.013, Outcome.DIVERGED, [], "virtual epoch 2, accuracy is inf", id="9: infinity"),
        pytest.param(
            0.014, Outcome.FAILED, [LASTING], "TypeError: the metric 'accuracy' is None", id="9: None"
        ),
        pytest.param(
            0.015, Outcome.FAILED, [LASTING], "KeyError: the task reports no metric 'accuracy'",
            id="9: a missing metric",
        ),
        pytest.param(
            0.007, Outcome.OUT_OF_MEMORY, [GPU], "out of memory on the GPU at step 4",
            id="10: out of memory on the GPU",
        ),
    ],
)  # fmt: skip
def test_a_trial_that_cannot_be_saved_ends_with_its_reason_after_a_bounded_number_of_attempts(
    request: pytest.FixtureRequest, rate: float, outcome: Outcome, lost: list[str], reason: str
) -> None:
    done: Done = request.getfixturevalue("raising" if rate < 0.01 else "broken")
    record = done.records[rate]
    assert record.outcome is outcome
    assert record.reason.startswith(reason)
    assert done.lost(rate) == lost
    assert record.depth == 1
    assert done.begun(rate) == [1, max(1, len(lost))]
    if outcome is Outcome.FAILED:
        assert done.summary.failures[str(record.number)] == record.reason


def test_a_trial_that_broke_off_is_never_the_best_whatever_it_had_shown(broken: Done) -> None:
    assert [broken.records[rate].values for rate in (0.011, 0.012)] == [[2.0], [2.0]]
    assert broken.summary.best is not None
    assert broken.summary.best.trial == broken.records[0.016].number


def test_optuna_is_told_and_the_sampler_learns_what_diverged_or_did_not_fit(broken: Done) -> None:
    states = {trial.number: trial.state.name for trial in optuna_study(broken.run).trials}
    assert {rate: states[record.number] for rate, record in broken.records.items()} == {
        0.011: "PRUNED",
        0.012: "PRUNED",
        0.013: "PRUNED",
        0.014: "FAIL",
        0.015: "FAIL",
        0.016: "COMPLETE",
    }
    scores = dict(HalvingScores(list(broken.records.values()), Rungs(), "max")())
    assert {r.resolved.options["optimizer"]["lr"]: score for r, score in scores.items()} == {
        0.011: 0.0,
        0.012: 0.0,
        0.013: 0.0,
        0.016: 1.0,
    }


@pytest.mark.parametrize("name", ["killed", "raising", "broken"])
def test_every_exception_has_its_trace(name: str, request: pytest.FixtureRequest) -> None:
    done: Done = request.getfixturevalue(name)
    for rate, record in done.records.items():
        trace = done.run / "trials" / f"{record.number:04d}" / "error.txt"
        raised = sum(kind != "process died" for kind in done.lost(rate))
        assert (trace.read_text().count("Traceback") if trace.exists() else 0) == raised


def test_when_every_trial_fails_alike_the_search_gives_up_and_goes_on_once_that_is_repaired(
    folder: Path,
) -> None:
    """7: not as many times the same trace as there are trials."""
    config = config_of(
        [0.001 * number for number in range(61, 73)],
        folder / "hopeless",
        task="faulty_trials:FileNeedingTask",
        max_failed_trials=3,
        max_failures=0,
        resources={"cpus_per_trial": 1, "concurrent_trials": 1},
    )
    needed = folder / "hopeless" / "needed-17.txt"
    config["trial"]["data"]["file"] = str(needed)
    gave_up = search_locally(config, results=folder / "hopeless")
    cause = f"FileNotFoundError: [Errno 2] No such file or directory: '{needed}'"
    assert (gave_up.status, gave_up.trials) == ("failed", 3)
    assert gave_up.reason.startswith(f"3 trials in a row failed alike: {cause} (faulty_trials.py:")
    assert all(each.startswith(cause) for each in gave_up.failures.values())
    needed.touch()
    done = Done(config, folder / "hopeless", local=True)
    assert done.summary.counts == {"failed": 3, "completed": 9}
    assert_nothing_lost(done.run)


def test_a_trial_that_dirties_its_process_leaves_the_next_one_in_it_untouched(folder: Path) -> None:
    """29: random states, defaults of torch and numpy, hooks, the environment, the working folder."""
    alone = {"cpus_per_trial": 1, "concurrent_trials": 1}
    clean = Done(mess_config([0.032], folder / "clean", alone), folder / "clean")
    dirty = Done(mess_config([0.031, 0.032], folder / "dirty", alone), folder / "dirty")
    processes = {process for reports in dirty.recorder.reports.values() for _, process in reports}
    assert len(processes) == 1
    assert dirty.records[0.032].values == clean.records[0.032].values
    assert dirty.weights(0.032) == clean.weights(0.032)
    assert dirty.environments() == [True, False]
    assert clean.environments() == [False]


def mess_config(rates: list[float], folder: Path, resources: dict[str, int]) -> dict[str, Any]:
    return config_of(rates, folder, task="faulty_trials:MessyTask", resources=resources)


def test_a_process_that_ray_ends_for_its_memory_is_told_as_that_and_tried_again_once(
    tmp_path: Path, program: Callable[..., Any]
) -> None:
    """11: Ray's own monitor, with its threshold a little above what is in use now."""
    total, available = memory_gigabytes()
    if available < _SPARE + _TAKEN:
        pytest.skip(f"needs {_SPARE + _TAKEN} GB of free memory, there are {available:.1f}")
    config = config_of(
        [0.051, 0.052],
        tmp_path,
        task="faulty_trials:HoardingTask",
        resources={"cpus_per_trial": 1, "concurrent_trials": 1},
    )
    config["trial"]["data"]["gigabytes"] = _TAKEN
    with (tmp_path / "hoard.yaml").open("w") as file:
        YAML(typ="safe").dump(config, file)
    threshold = 1 - (available - _SPARE) / total
    monitor = {"RAY_memory_usage_threshold": f"{threshold:.4f}", "RAY_memory_monitor_refresh_ms": "100"}
    process = program(str(tmp_path / "hoard.yaml"), "--results", str(tmp_path), env=monitor)
    output = process.communicate(timeout=500)[0]
    assert process.returncode == 0, output
    cause = "the machine ran out of memory, and Ray ended the trial's process"
    assert f"trial 0 failed, retrying: {cause}" in output
    hoarder, other = read_records(tmp_path / "digits" / "study.journal")
    assert (hoarder.outcome, hoarder.reason) == (Outcome.OUT_OF_MEMORY, cause)
    assert [failure.kind for failure in hoarder.failures] == [FailureKind.MEMORY] * 2
    assert other.outcome is Outcome.COMPLETED
    assert_nothing_lost(tmp_path / "digits")
    no_process_left(tmp_path)


_SPARE, _TAKEN = 3, 6
"""Gigabytes that a search may take until Ray's monitor acts, and that the trial tries to take."""


def memory_gigabytes() -> tuple[float, float]:
    """Of this machine, and how much of it is available."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {name: int(value) for name, value, *_ in lines}
    return kilobytes["MemTotal:"] / 2**20, kilobytes["MemAvailable:"] / 2**20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "ray.exceptions.RayTaskError(TrialError): ray::ResourceTrainable.train() (pid=1)\n"
            "trainables.process.failure.TrialError: disk full: no space left on the disk at step 7\n",
            Failure(FailureKind.DISK_FULL, "no space left on the disk at step 7"),
        ),
        (
            "trainables.process.failure.TrialError: out of memory on the GPU: "
            "out of memory on the GPU at step 4",
            Failure(FailureKind.GPU_MEMORY, "out of memory on the GPU at step 4"),
        ),
        (
            "The actor died unexpectedly before finishing this task. Worker exit type: SYSTEM_ERROR",
            Failure(FailureKind.DIED, "the trial's process died"),
        ),
        ("", Failure(FailureKind.DIED, "the trial's process died")),
    ],
)
def test_without_a_note_the_cause_is_what_ray_carries(text: str, expected: Failure) -> None:
    assert failure_in(text) == expected


def test_where_checkpoints_are_rare_a_trial_is_saved_before_another_process_goes_on_with_it(
    folder: Path,
) -> None:
    config = config_of(
        [0.041, 0.042],
        folder / "rare",
        task="faulty_trials:SlowSavingTask",
        budget={"trials": 2, "max_virtual_epochs": 4},
        scheduler={"name": "asha", "grace_period": 2},
        checkpoint={"every": 20},
    )
    config["trial"]["data"]["journal"] = str(folder / "rare" / "digits" / "study.journal")
    done = Done(config, folder / "rare")
    assert done.recorder.kinds().count(EventKind.PROMOTED) == 1
    assert (done.begun(0.041), done.begun(0.042)) == ([1, 1, 1, 1], [1, 1])
    assert_nothing_lost(done.run)
