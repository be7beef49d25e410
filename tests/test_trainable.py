"""The adapter to Ray's Trainable, without a Ray around it."""

import os

import pytest
from small_trials import assert_identical, digits_plan, everything, run

from trainables.checkpoint import list_checkpoints
from trainables.failure import TRACE_FILE, take_failure
from trainables.trainable import TrialTrainable


def config(plan):
    return {"plan": plan.as_dict()}


def falling(folder, **changes):
    """Only the first virtual epoch is the best, the others are saved when due."""
    return digits_plan(folder, metric="passes", mode="min", checkpoint_every=10, **changes)


def test_a_step_is_a_virtual_epoch_with_the_lengths_and_the_process(tmp_path):
    trainable = TrialTrainable(config(digits_plan(tmp_path)))
    result = trainable.train()
    assert (result["virtual_epoch"], result["step"], result["process"]) == (1, 3, os.getpid())
    assert result["lengths"] == {"unit": "steps", "count": 3, "step_samples": 16, "pass_samples": 1200}
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


def test_an_actor_used_again_runs_the_trial_as_a_fresh_one(tmp_path):
    fresh = everything(run(digits_plan(tmp_path / "fresh")))
    trainable = TrialTrainable(config(digits_plan(tmp_path / "before", options={"seed": 5, "ema": 0.9})))
    trainable.train()
    assert trainable.reset(config(digits_plan(tmp_path / "used")))
    for _ in range(6):
        trainable.train()
    assert_identical(everything(trainable._session), fresh)
    trainable.stop()


def test_an_actor_used_again_closes_the_trial_before(tmp_path):
    trainable = TrialTrainable(config(falling(tmp_path / "before")))
    for _ in range(2):
        trainable.train()
    trainable.reset(config(digits_plan(tmp_path / "after")))
    assert list_checkpoints(tmp_path / "before") == [1, 2]
    trainable.stop()


def test_an_exception_is_noted_in_the_trials_folder_wherever_it_comes(tmp_path):
    trainable = TrialTrainable(config(digits_plan(tmp_path / "0", metric="miou")))
    with pytest.raises(KeyError):
        trainable.train()
    assert take_failure(tmp_path / "0")["message"].startswith("the task reports no metric 'miou'; it reports")
    with pytest.raises(ValueError, match="batch_size"):
        trainable.reset(config(digits_plan(tmp_path / "1", options={"batch_size": 0})))
    assert take_failure(tmp_path / "1")["type"] == "ValidationError"
    assert (tmp_path / "1" / TRACE_FILE).is_file()
    trainable.stop()
