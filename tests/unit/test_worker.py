"""A process that runs jobs of trials one after another."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_trials import assert_identical, digits_plan, everything, run
from tiny_tasks import DigitsTask

from trainables.checkpoints.checkpoint import list_checkpoints
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import (
    TRACE_FILE,
    Failure,
    FailureKind,
    TrialError,
    failure_note,
    take_failure,
)
from trainables.process.process_state import ProcessState
from trainables.workers.worker import Started, TrialWorker

TESTS = Path(__file__).parents[1] / "helpers"


@pytest.fixture(autouse=True)
def process_as_it_was(monkeypatch):
    """Trials change their process: folder, environment, streams, search path."""
    before, folder = ProcessState(), Path.cwd()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
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


def begun(plan):
    worker = TrialWorker()
    worker.begin(plan)
    return worker


def falling(folder, **changes):
    """Only the first virtual epoch is the best, the others are saved when due."""
    return digits_plan(folder, metric="epoch", mode="min", checkpoint_every=10, **changes)


def test_a_job_begins_with_its_step_and_lengths_and_each_report_is_a_virtual_epoch(tmp_path):
    worker = TrialWorker()
    lengths = VirtualEpochs(unit="steps", count=3, step_samples=16, epoch_samples=1200)
    assert worker.begin(digits_plan(tmp_path)) == Started(step=0, lengths=lengths)
    result = worker.next_report()
    assert (result["virtual_epoch"], result["step"], result["process"]) == (1, 3, os.getpid())
    assert result["saved"]
    worker.end()


def test_a_pause_saves_a_virtual_epoch_that_was_not_due(tmp_path):
    worker = begun(falling(tmp_path))
    for _ in range(3):
        worker.next_report()
    assert list_checkpoints(tmp_path) == [1]
    worker.save()
    assert list_checkpoints(tmp_path) == [1, 3]
    elsewhere = begun(falling(tmp_path, reported=3))
    assert elsewhere.next_report()["virtual_epoch"] == 4
    for each in (worker, elsewhere):
        each.end()


# Used again


def test_a_worker_used_again_runs_the_trial_as_a_fresh_one(tmp_path):
    fresh = everything(run(digits_plan(tmp_path / "fresh")))
    worker = begun(digits_plan(tmp_path / "before", options={"seed": 5, "ema": 0.9}))
    worker.next_report()
    worker.begin(digits_plan(tmp_path / "used"))
    for _ in range(6):
        worker.next_report()
    assert_identical(everything(worker.session), fresh)
    worker.end()


def test_a_trial_that_dirties_its_process_does_not_touch_the_next_one(tmp_path):
    plan = {"task": "test_worker:MessyTask", "working_folder": str(TESTS)}
    fresh = everything(run(digits_plan(tmp_path / "fresh", task=plan["task"])))
    environment_before = dict(os.environ)
    worker = begun(digits_plan(tmp_path / "mess", options={"model": {"mess": True}}, **plan))
    worker.next_report()
    assert os.environ["LEFT_BEHIND"] == "x"
    worker.begin(digits_plan(tmp_path / "used", **plan))
    assert dict(os.environ) == environment_before
    assert Path.cwd() == TESTS
    assert np.geterr()["over"] == "warn"
    for _ in range(6):
        worker.next_report()
    assert_identical(everything(worker.session), fresh)
    worker.end()


def test_what_a_task_sets_up_when_it_is_imported_stays(tmp_path, monkeypatch):
    monkeypatch.delenv("SET_ON_IMPORT", raising=False)
    module = "import os\nfrom tiny_tasks import DigitsTask\nos.environ['SET_ON_IMPORT'] = 'x'\n"
    (tmp_path / "task_with_import.py").write_text(module)
    plan = {"task": "task_with_import:DigitsTask", "working_folder": str(tmp_path)}
    worker = begun(digits_plan(tmp_path / "0", **plan))
    assert os.environ.pop("SET_ON_IMPORT") == "x"
    worker.begin(digits_plan(tmp_path / "1", **plan))
    assert os.environ["SET_ON_IMPORT"] == "x"
    worker.end()


def test_a_worker_used_again_closes_the_trial_before(tmp_path):
    worker = begun(falling(tmp_path / "before"))
    for _ in range(2):
        worker.next_report()
    worker.begin(digits_plan(tmp_path / "after"))
    assert list_checkpoints(tmp_path / "before") == [1, 2]
    worker.end()


@pytest.mark.parametrize("by", ["reset", "stop"])
def test_a_trial_that_cannot_be_closed_keeps_its_trace_and_the_next_one_is_not_blamed(tmp_path, by):
    options = {"batch_size": 16, "model": {"from": 2}}
    plan = falling(tmp_path / "before", options=options, task="test_worker:UnclosableTask")
    worker = begun(plan)
    for _ in range(2):
        worker.next_report()
    if by == "reset":
        worker.begin(digits_plan(tmp_path / "after"))
        assert worker.next_report()["virtual_epoch"] == 1
    worker.end()
    assert "cannot be saved" in (tmp_path / "before" / TRACE_FILE).read_text()
    for trial in tmp_path.iterdir():
        assert take_failure(trial) is None


# Failures


def test_an_exception_is_noted_in_the_trials_folder_wherever_it_comes(tmp_path):
    worker = begun(digits_plan(tmp_path / "0", metric="miou"))
    with pytest.raises(TrialError, match="KeyError: the task reports no metric 'miou'"):
        worker.next_report()
    noted = take_failure(tmp_path / "0")
    assert noted.cause.startswith("KeyError: the task reports no metric 'miou'; it reports")
    with pytest.raises(TrialError, match="batch_size"):
        worker.begin(digits_plan(tmp_path / "1", options={"batch_size": 0}))
    cause = "ValidationError: batch_size: Input should be greater than 0"
    assert take_failure(tmp_path / "1") == Failure(FailureKind.LASTING, cause)
    assert (tmp_path / "1" / TRACE_FILE).is_file()
    worker.end()


def test_a_failure_says_at_which_step_it_came(tmp_path):
    class Exhausted(DigitsTask):
        def loss(self, outputs, batch):
            if self.trainer_steps() == 4:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().loss(outputs, batch)

    worker = begun(digits_plan(tmp_path))
    worker.next_report()
    Exhausted.trainer_steps = lambda self: worker.session.trainer.counters.num_steps
    worker.session.trainer.task.__class__ = Exhausted
    with pytest.raises(TrialError):
        worker.next_report()
    expected = Failure(FailureKind.GPU_MEMORY, "out of memory on the GPU at step 4")
    assert take_failure(tmp_path) == expected
    worker.end()


def test_a_working_folder_that_is_not_there_is_named(tmp_path):
    plan = digits_plan(tmp_path / "0", working_folder=str(tmp_path / "gone"))
    with pytest.raises(TrialError, match=r"FileNotFoundError: .*/gone"):
        begun(plan)
    assert "gone" in take_failure(tmp_path / "0").cause


def test_the_note_of_an_attempt_that_nobody_was_there_to_read_is_not_that_of_the_next(tmp_path):
    note, text = failure_note(tmp_path, Failure(FailureKind.MEMORY, "out of memory"))
    note.write_text(text)
    worker = begun(digits_plan(tmp_path))
    assert take_failure(tmp_path) is None
    worker.end()


def test_the_process_is_what_it_was_once_all_jobs_have_ended(tmp_path):
    torch.manual_seed(7)
    expected, environment_before, path_before = torch.rand(3), dict(os.environ), list(sys.path)
    torch.manual_seed(7)
    worker, folder = TrialWorker(), Path.cwd()
    plan = digits_plan(
        tmp_path,
        task="test_worker:MessyTask",
        working_folder=str(TESTS),
        options={"model": {"mess": True}},
        num_threads=2,
    )
    with worker.surroundings_kept():
        worker.begin(plan)
        worker.next_report()
        assert os.environ["LEFT_BEHIND"] == "x"
    assert (dict(os.environ), Path.cwd(), sys.path) == (environment_before, folder, path_before)
    assert (torch.get_default_dtype(), torch.get_num_threads()) == (torch.float32, 1)
    assert torch.equal(torch.rand(3), expected)
    assert list_checkpoints(tmp_path) == [1]
