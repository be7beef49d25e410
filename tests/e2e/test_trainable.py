"""The adapter to Ray's Trainable, without a Ray around it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_trials import assert_identical, digits_plan, everything, run
from tiny_tasks import DigitsTask

from trainables.checkpoint import list_checkpoints
from trainables.process import environment
from trainables.process.environment import Concealing
from trainables.process.failure import (
    TRACE_FILE,
    Failure,
    FailureKind,
    TrialError,
    failure_note,
    take_failure,
)
from trainables.process.process_state import ProcessState
from trainables.trainable import TrialTrainable

TESTS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(autouse=True)
def process_as_it_was(monkeypatch):
    """Trials change their process: folder, environment, streams, search path."""
    before, folder = ProcessState(), Path.cwd()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(environment, "_replaced", {})
    yield
    before.restore()
    os.chdir(folder)


class MessyTask(DigitsTask):
    """With `model.mess` it leaves its process in disorder."""

    def build_model(self):
        model = super().build_model()
        if self.options.model.get("mess"):
            # A handle is lost, as it is where a hook is registered for the time of a process.
            torch.nn.modules.module.register_module_forward_hook(lambda module, args, output: output * 2)
            torch.nn.modules.module.register_module_full_backward_hook(lambda module, after, before: None)
            torch.set_default_dtype(torch.float64)
            np.seterr(all="raise")
            os.environ["HOME"] = "/nowhere"
            os.environ["LEFT_BEHIND"] = "x"
            os.environ.pop("PATH")
            os.chdir("/")
        return model


class UnclosableTask(DigitsTask):
    """Its state cannot be saved from `model.from` virtual epochs on."""

    def metrics(self):
        self.validations = getattr(self, "validations", 0) + 1
        return super().metrics()

    def images(self, model, device):
        if self.validations >= self.options.model["from"]:
            model.register_buffer("late", torch.zeros(1).as_subclass(Unsavable))
        return {}


class Unsavable(torch.Tensor):
    def detach(self):
        raise RuntimeError("cannot be saved")


def config(plan):
    return {"plan": plan.as_dict()}


def falling(folder, **changes):
    """Only the first virtual epoch is the best, the others are saved when due."""
    return digits_plan(folder, metric="epochs", mode="min", checkpoint_every=10, **changes)


def test_a_step_is_a_virtual_epoch_with_the_lengths_and_the_process(tmp_path):
    trainable = TrialTrainable(config(digits_plan(tmp_path)))
    result = trainable.train()
    assert (result["virtual_epoch"], result["step"], result["process"]) == (1, 3, os.getpid())
    assert result["lengths"] == {"unit": "steps", "count": 3, "step_samples": 16, "epoch_samples": 1200}
    trainable.stop()


def test_a_pause_saves_a_virtual_epoch_that_was_not_due(tmp_path):
    trainable = TrialTrainable(config(falling(tmp_path)))
    for _ in range(3):
        trainable.train()
    assert list_checkpoints(tmp_path) == [1]
    trainable.save(str(tmp_path / "of_ray"))
    assert list_checkpoints(tmp_path) == [1, 3]
    elsewhere = TrialTrainable(config(falling(tmp_path, reported=3)))
    assert elsewhere.train()["virtual_epoch"] == 4
    for each in (trainable, elsewhere):
        each.stop()


# Used again


def test_an_actor_used_again_runs_the_trial_as_a_fresh_one(tmp_path):
    fresh = everything(run(digits_plan(tmp_path / "fresh")))
    trainable = TrialTrainable(config(digits_plan(tmp_path / "before", options={"seed": 5, "ema": 0.9})))
    trainable.train()
    assert trainable.reset(config(digits_plan(tmp_path / "used")))
    for _ in range(6):
        trainable.train()
    assert_identical(everything(trainable._session), fresh)
    trainable.stop()


def test_a_trial_that_dirties_its_process_does_not_touch_the_next_one(tmp_path):
    plan = {"task": "test_trainable:MessyTask", "working_folder": str(TESTS)}
    fresh = everything(run(digits_plan(tmp_path / "fresh", task=plan["task"])))
    environment_before = dict(os.environ)
    trainable = TrialTrainable(
        config(digits_plan(tmp_path / "mess", options={"model": {"mess": True}}, **plan))
    )
    trainable.train()
    assert os.environ["LEFT_BEHIND"] == "x"
    assert trainable.reset(config(digits_plan(tmp_path / "used", **plan)))
    assert dict(os.environ) == environment_before
    assert Path.cwd() == TESTS
    assert np.geterr()["over"] == "warn"
    for _ in range(6):
        trainable.train()
    assert_identical(everything(trainable._session), fresh)
    trainable.stop()


def test_what_a_task_sets_up_when_it_is_imported_stays(tmp_path, monkeypatch):
    monkeypatch.delenv("SET_ON_IMPORT", raising=False)
    module = "import os\nfrom tiny_tasks import DigitsTask\nos.environ['SET_ON_IMPORT'] = 'x'\n"
    (tmp_path / "task_with_import.py").write_text(module)
    plan = {"task": "task_with_import:DigitsTask", "working_folder": str(tmp_path)}
    trainable = TrialTrainable(config(digits_plan(tmp_path / "0", **plan)))
    assert os.environ.pop("SET_ON_IMPORT") == "x"
    trainable.reset(config(digits_plan(tmp_path / "1", **plan)))
    assert os.environ["SET_ON_IMPORT"] == "x"
    trainable.stop()


def test_an_actor_used_again_closes_the_trial_before(tmp_path):
    trainable = TrialTrainable(config(falling(tmp_path / "before")))
    for _ in range(2):
        trainable.train()
    trainable.reset(config(digits_plan(tmp_path / "after")))
    assert list_checkpoints(tmp_path / "before") == [1, 2]
    trainable.stop()


@pytest.mark.parametrize("by", ["reset", "stop"])
def test_a_trial_that_cannot_be_closed_keeps_its_trace_and_the_next_one_is_not_blamed(tmp_path, by):
    options = {"batch_size": 16, "model": {"from": 2}}
    plan = falling(tmp_path / "before", options=options, task="test_trainable:UnclosableTask")
    trainable = TrialTrainable(config(plan))
    for _ in range(2):
        trainable.train()
    if by == "reset":
        assert trainable.reset(config(digits_plan(tmp_path / "after")))
        assert trainable.train()["virtual_epoch"] == 1
    trainable.stop()
    assert "cannot be saved" in (tmp_path / "before" / TRACE_FILE).read_text()
    for trial in tmp_path.iterdir():
        assert take_failure(trial) is None


# Failures


def test_an_exception_is_noted_in_the_trials_folder_wherever_it_comes(tmp_path):
    trainable = TrialTrainable(config(digits_plan(tmp_path / "0", metric="miou")))
    with pytest.raises(TrialError, match="error: KeyError: the task reports no metric 'miou'"):
        trainable.train()
    noted = take_failure(tmp_path / "0")
    assert noted.cause.startswith("KeyError: the task reports no metric 'miou'; it reports")
    with pytest.raises(TrialError, match="batch_size"):
        trainable.reset(config(digits_plan(tmp_path / "1", options={"batch_size": 0})))
    cause = "ValidationError: batch_size: Input should be greater than 0"
    assert take_failure(tmp_path / "1") == Failure(FailureKind.ERROR, cause)
    assert (tmp_path / "1" / TRACE_FILE).is_file()
    trainable.stop()


def test_a_failure_says_at_which_step_it_came(tmp_path):
    class Exhausted(DigitsTask):
        def loss(self, outputs, batch):
            if self.trainer_steps() == 4:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().loss(outputs, batch)

    trainable = TrialTrainable(config(digits_plan(tmp_path)))
    trainable.train()
    Exhausted.trainer_steps = lambda self: trainable._session.trainer.counters.num_steps
    trainable._session.trainer.task.__class__ = Exhausted
    with pytest.raises(TrialError):
        trainable.train()
    expected = Failure(FailureKind.GPU_MEMORY, "out of memory on the GPU at step 4")
    assert take_failure(tmp_path) == expected
    trainable.stop()


def test_a_working_folder_that_is_not_there_is_named(tmp_path):
    plan = digits_plan(tmp_path / "0", working_folder=str(tmp_path / "gone"))
    with pytest.raises(TrialError, match=r"FileNotFoundError: .*/gone"):
        TrialTrainable(config(plan))
    assert "gone" in take_failure(tmp_path / "0").cause


def test_the_note_of_an_attempt_that_nobody_was_there_to_read_is_not_that_of_the_next(tmp_path):
    note, text = failure_note(tmp_path, Failure(FailureKind.MEMORY, "out of memory"))
    note.write_text(text)
    trainable = TrialTrainable(config(digits_plan(tmp_path)))
    assert take_failure(tmp_path) is None
    trainable.stop()


# Hanging

HANG = """
import json, os, signal, sys
from trainables.trainable import TrialTrainable
from tiny_tasks import DigitsTask

class HangingTask(DigitsTask):
    def metrics(self):
        self.validations = getattr(self, "validations", 0) + 1
        if self.validations == 3:
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().metrics()

if __name__ == "__main__":
    trainable = TrialTrainable({"plan": json.loads(sys.argv[1])})
    for _ in range(3):
        print(trainable.train()["virtual_epoch"], flush=True)
"""


def test_a_virtual_epoch_that_hangs_ends_the_process_with_the_reason_in_a_note(tmp_path):
    program = tmp_path / "hanging.py"
    program.write_text(HANG)
    plan = digits_plan(tmp_path / "0", task="hanging:HangingTask", timeout=1.5, working_folder=str(tmp_path))
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    ended = subprocess.run(
        [sys.executable, str(program), json.dumps(plan.as_dict())],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == ["1", "2"]
    cause = "a virtual epoch took more than 1.5 s, begun at step 6"
    assert take_failure(tmp_path / "0") == Failure(FailureKind.HUNG, cause)
    assert list_checkpoints(tmp_path / "0")[-1] == 2


def test_without_a_limit_nobody_watches_and_stopping_leaves_no_child(tmp_path):
    trainable = TrialTrainable(config(digits_plan(tmp_path / "0")))
    trainable.train()
    assert trainable._watchdog._process is None
    trainable.reset(config(digits_plan(tmp_path / "1", timeout=60.0)))
    trainable.train()
    child = trainable._watchdog._process
    assert child.poll() is None
    trainable.stop()
    assert child.poll() == 0


# What is printed


def test_what_a_trial_prints_shows_no_value_of_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TOKEN_OF_TEST", "s3cr3t")
    options = {"data": {"token": "${env:TOKEN_OF_TEST}"}, "model": {"hidden": 8}}
    trainable = TrialTrainable(config(digits_plan(tmp_path, options=options)))
    assert isinstance(sys.stdout, Concealing)
    print("it is s3cr3t")
    assert "it is ${env:TOKEN_OF_TEST}" in capsys.readouterr().out
    trainable.stop()
