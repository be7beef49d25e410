"""The adapter to Ray's Trainable, without a Ray around it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE
from small_trials import digits_plan

from trainables.checkpoints import arrived
from trainables.process.failure import TrialError
from trainables.process.process_state import ProcessState
from trainables.session import TrialPlan
from trainables.workers.trainable import RESULT, Result, TrialTrainable


@pytest.fixture(autouse=True)
def process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trials change their process: folder, environment, streams, search path."""
    before, folder = ProcessState(), Path.cwd()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    yield
    before.restore()
    os.chdir(folder)


def config(plan: TrialPlan) -> dict[str, Any]:
    return {"plan": plan.as_dict()}


def step(trainable: TrialTrainable) -> Result:
    return trainable.train()[RESULT]  # type: ignore[no-any-return]


def test_a_job_says_that_it_is_ready_and_then_what_each_virtual_epoch_gave(tmp_path: Path) -> None:
    trainable = TrialTrainable(config(digits_plan(tmp_path)))
    first = step(trainable)
    assert (first.report, first.started.step) == (None, 0)
    assert first.started.lengths.as_dict() == {
        "unit": "steps",
        "count": 3,
        "step_samples": 16,
        "epoch_samples": 1200,
    }
    report = step(trainable).report
    assert (report["virtual_epoch"], report["step"], report["process"]) == (1, 3, os.getpid())
    trainable.stop()


def test_a_process_that_is_used_again_says_for_each_job_that_it_is_ready(tmp_path: Path) -> None:
    trainable = TrialTrainable(config(digits_plan(tmp_path)))
    step(trainable), step(trainable)
    assert trainable.reset(config(digits_plan(tmp_path, reported=1)))
    assert step(trainable).started.step == 3
    assert step(trainable).report["virtual_epoch"] == 2
    trainable.stop()


def test_a_process_that_has_been_asked_for_and_is_not_used_leaves_the_trial_alone(tmp_path: Path) -> None:
    """Tune gives a job to a process that has become free, while the one that was to get it still starts."""
    plan = digits_plan(tmp_path)
    used = TrialTrainable(config(plan))
    step(used), step(used)
    (tmp_path / ".checkpoint_000002.0-0.partial").mkdir()  # which `used` would be writing
    before = sorted(tmp_path.rglob("*"))
    unused = TrialTrainable(config(plan))
    unused.stop()
    assert sorted(tmp_path.rglob("*")) == before
    used.stop()


def test_a_job_whose_folder_is_not_on_its_host_fails_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrived, "_PATIENCE_SECONDS", 0.0)
    asked = {"resources": {"CPU": 1, "GPU": 0}, "not_on": []}
    trainable = TrialTrainable({**config(digits_plan(tmp_path / "0003")), "request": asked})
    with pytest.raises(TrialError, match="0003 is not there: the results are not shared with this host"):
        trainable.train()
    assert not (tmp_path / "0003").exists()


def test_a_job_waits_a_moment_for_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrived, "_PATIENCE_SECONDS", 600.0)
    asked = {"resources": {"CPU": 1, "GPU": 0}, "not_on": []}
    with ThreadPoolExecutor(1) as pool:
        trainable = TrialTrainable({**config(digits_plan(tmp_path / "0003")), "request": asked})
        job = pool.submit(trainable.train)
        assert wait([job], timeout=0.5).not_done
        (tmp_path / "0003").mkdir()
        assert job.result(timeout=PATIENCE)[RESULT].started.step == 0
    trainable.stop()
