"""Fault 4: trials whose processes hang, one way or another, in real searches."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_searches import Done, config_of
from invariants import DIFFERED, assert_nothing_lost
from small_trials import digits_plan

from search.config.sections.resources import Resources
from search.run.executors import ray_tune
from search.run.executors.ray_tune import HangWatch
from search.run.executors.running import RunningJob, RunningJobs
from search.study.trial import Outcome
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import TRACE_FILE
from trainables.workers.trainable import Result
from trainables.workers.worker import Started

pytestmark = pytest.mark.timeout(600)

STOPPED_ONCE, STOPPED, FINE, SLEEPS, KEEPS_LOCK = 0.021, 0.022, 0.023, 0.024, 0.025


def wait(until: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hangs")


@pytest.fixture(scope="module")
def hung(ray_session: None, folder: Path) -> Done:
    """A search whose trials hang in their second virtual epoch."""
    rates = [STOPPED_ONCE, STOPPED, FINE, SLEEPS, KEEPS_LOCK]
    return Done(config_of(rates, folder / "hung", timeout="6s"), folder / "hung")


@pytest.mark.parametrize("rate", [STOPPED_ONCE, SLEEPS, KEEPS_LOCK])
def test_a_trial_that_hangs_is_ended_after_its_limit_and_goes_on_from_its_checkpoint(
    hung: Done, rate: float
) -> None:
    assert hung.lost(rate) == ["hung"]
    assert hung.begun(rate) == [1, 2, 1]
    assert hung.records[rate].outcome is Outcome.COMPLETED


def test_a_trial_that_hangs_again_has_failed_and_the_others_are_complete(hung: Done) -> None:
    assert hung.lost(STOPPED) == ["hung", "hung"]
    assert hung.records[STOPPED].outcome is Outcome.FAILED
    assert hung.records[STOPPED].reason == "a virtual epoch took more than 6 s, begun at step 3"
    assert hung.summary.counts == {"completed": 4, "failed": 1}
    assert_nothing_lost(hung.run)
    assert [note for note in hung.notes() if DIFFERED in note] == []


def test_a_trial_that_hung_ends_with_the_weights_of_one_that_did_not(
    hung: Done, ray_session: None, folder: Path
) -> None:
    config = config_of([STOPPED_ONCE, SLEEPS], folder / "calm")
    config["trial"]["data"]["calm"] = True
    calm = Done(config, folder / "calm")
    for rate in (STOPPED_ONCE, SLEEPS):
        assert hung.weights(rate) == calm.weights(rate)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(SLEEPS, "in sleep_for_ever"), (KEEPS_LOCK, "in keep_the_lock"), (STOPPED, "did not say where")],
)
def test_error_txt_says_where_a_trial_hung(hung: Done, rate: float, expected: str) -> None:
    text = (hung.run / "trials" / f"{hung.records[rate].number:04d}" / TRACE_FILE).read_text()
    assert text.startswith("a virtual epoch took more than 6 s, begun at step 3\n")
    assert expected in text


def test_processes_that_were_stopped_are_gone(hung: Done) -> None:
    trained = {process for reports in hung.recorder.reports.values() for _, process in reports}
    assert trained
    wait(lambda: not any(is_stopped(process) for process in trained), "the end of the stopped processes")


def is_stopped(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


# When time counts


class Killed:
    """In the place of Ray, which would end the process of an actor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.actors: list[object] = []
        monkeypatch.setattr(ray_tune.ray, "kill", self.actors.append)


def job_of(folder: Path, timeout: float | None) -> RunningJob:
    return RunningJob(digits_plan(folder, timeout=timeout), Resources())


def started() -> Result:
    lengths = VirtualEpochs(unit="steps", count=3, step_samples=16, epoch_samples=1200)
    return Result(started=Started(step=6, lengths=lengths), actor="actor")


def test_time_counts_from_the_moment_when_the_process_is_ready_and_anew_from_each_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, job = Killed(monkeypatch), job_of(tmp_path, 2.0)
    job.tick(100.0)
    job.start(started())
    job.tick(1.5)
    job.heard(step=9)
    job.tick(1.5)
    assert (killed.actors, job.failure) == ([], None)
    (tmp_path / ".hang.txt").write_text("Thread 0x1 (most recent call first):\n")
    job.tick(1.0)
    job.tick(1.0)
    assert killed.actors == ["actor"]
    assert job.failure is not None
    assert job.failure.cause == "a virtual epoch took more than 2 s, begun at step 9"


def test_a_process_that_began_late_has_its_time_to_say_where_it_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, job, trace = Killed(monkeypatch), job_of(tmp_path, 100.0), tmp_path / ".hang.txt"
    job.start(started())
    trace.touch()  # it is opened when the virtual epoch begins, and empty until the time has come
    job.tick(101.0)
    assert killed.actors == []
    trace.write_text("Thread 0x1 (most recent call first):\n")
    job.tick(0.05)
    assert killed.actors == ["actor"]


def test_a_process_that_never_says_where_it_hangs_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, job, trace = Killed(monkeypatch), job_of(tmp_path, 100.0), tmp_path / ".hang.txt"
    job.start(started())
    trace.touch()
    os.utime(trace, times=(time.time() - 106,) * 2)
    job.tick(99.0)
    assert killed.actors == []
    job.tick(1.5)
    assert killed.actors == ["actor"]


def test_a_process_that_never_begins_its_virtual_epoch_is_ended_after_twice_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, job = Killed(monkeypatch), job_of(tmp_path, 100.0)
    job.start(started())
    job.tick(199.0)
    assert killed.actors == []
    job.tick(1.5)
    assert killed.actors == ["actor"]


def test_without_a_limit_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed, job = Killed(monkeypatch), job_of(tmp_path, None)
    job.start(started())
    job.tick(1e9)
    assert killed.actors == []


def test_time_in_which_the_search_itself_stood_still_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, job = Killed(monkeypatch), job_of(tmp_path, 2.0)
    job.start(started())
    now = [0.0]
    monkeypatch.setattr(ray_tune.time, "monotonic", lambda: now[0])
    watch = HangWatch(RunningJobs({"job": job}))
    for moment in (0.1, 3600.0, 3600.1):
        now[0] = moment
        watch.on_step_begin(iteration=0, trials=[])
    assert killed.actors == []
    for moment in range(3601, 3610):
        now[0] = moment
        watch.on_step_begin(iteration=0, trials=[])
    assert killed.actors == ["actor"]
