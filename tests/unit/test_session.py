"""Trials in a process: interrupted and resumed they are, bit for bit, what they would have been."""

import gc
import json
import os
import random
import shutil
import weakref

import numpy as np
import pytest
import torch
from odd_tasks import odd_plan
from small_trials import (
    SEGMENTATION,
    assert_identical,
    digits_plan,
    everything,
    run,
    segmentation_plan,
    timeless,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_tasks import DigitsTask

from trainables.checkpoints.checkpoint import load_newest
from trainables.data.prepared import data_key
from trainables.process.process_state import clean_process
from trainables.session import TrialSession, load_task_class
from trainables.training.progress import Progress

pytestmark = pytest.mark.usefixtures("small_machine")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The whole trial at one go, and its folder."""
    clean_process()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "0007"
    return everything(run(segmentation_plan(folder))), folder


def test_the_trial_of_these_tests_ends_virtual_epochs_inside_a_epoch_and_learns(uninterrupted):
    history = uninterrupted[0]["history"]
    assert [record["epoch"] for record in history] == [1.5, 3.0, 4.5, 6.0]
    assert [record["step"] for record in history] == [5, 10, 15, 20]
    assert [record["samples"] for record in history] == [60, 120, 180, 240]
    assert history[-1]["train_loss"] < history[0]["train_loss"]


@pytest.mark.parametrize("points", [(1,), (1, 2, 3)])
def test_a_trial_resumed_in_a_new_session_is_the_uninterrupted_one(tmp_path, uninterrupted, points):
    for reported, point in enumerate(points):  # killed at each: not closed
        run(segmentation_plan(tmp_path, reported=reported), point)
    resumed = run(segmentation_plan(tmp_path, reported=points[-1]))
    assert_identical(everything(resumed), uninterrupted[0])


def test_a_trial_killed_inside_a_virtual_epoch_is_the_uninterrupted_one(tmp_path, uninterrupted):
    session = run(segmentation_plan(tmp_path), 1)
    for _ in range(3):
        session.trainer._train_step(Progress(session.trainer.device))
    resumed = run(segmentation_plan(tmp_path, reported=1))
    assert_identical(everything(resumed), uninterrupted[0])


def test_after_damage_the_checkpoint_before_gives_the_same_trial(tmp_path, uninterrupted):
    run(segmentation_plan(tmp_path, checkpoint_keep=5), 3)
    for number, name in ((3, "state.pt"), (2, "model.safetensors")):
        file = tmp_path / f"checkpoint_00000{number}" / name
        content = bytearray(file.read_bytes())
        content[-9] ^= 4
        file.write_bytes(content)
    resumed = TrialSession(segmentation_plan(tmp_path, reported=3), None)
    again = [resumed.next_report() for _ in range(3)]
    note = again[0].pop("message")
    assert note.count("and was set aside") == 2
    assert note.endswith("; the one before is used")
    assert [path.name for path in sorted(tmp_path.glob("damaged_*"))] == ["damaged_000002", "damaged_000003"]
    assert [record["virtual_epoch"] for record in again] == [2, 3, 4]
    resumed.close()
    assert_identical(everything(resumed), uninterrupted[0])
    assert timeless(again) == uninterrupted[0]["history"][1:]


def test_virtual_epochs_cut_differently_train_the_same_weights(tmp_path, uninterrupted):
    ten = run(segmentation_plan(tmp_path, count=10, num_virtual_epochs=2))
    assert_identical(dict(ten.trainer.weights()), uninterrupted[0]["weights"])


def test_another_seed_is_another_trial(tmp_path, uninterrupted):
    other = run(segmentation_plan(tmp_path, options={**SEGMENTATION, "seed": 4}))
    assert timeless(other.history) != uninterrupted[0]["history"]


def make_a_mess():
    """What trials have been seen to leave behind."""
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.autograd.set_detect_anomaly(True)
    torch.set_num_threads(2)
    torch.set_float32_matmul_precision("medium")
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True
    for _ in range(7):
        random.random()
        np.random.rand()
        torch.rand(3)


def test_a_trial_in_a_used_process_is_the_trial_in_a_fresh_one(tmp_path, uninterrupted):
    dirty = segmentation_plan(
        tmp_path / "0", options={**SEGMENTATION, "seed": 9, "accumulate": 1, "precision": "bf16"}
    )
    run(dirty, 1).close()
    make_a_mess()
    used = run(segmentation_plan(tmp_path / "1"))
    assert_identical(everything(used), uninterrupted[0])
    assert torch.get_num_threads() == 1
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.benchmark
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.tensor([1e-40]).mul(1.0).item() > 0


def test_a_resumed_trial_in_a_used_process_is_the_trial_in_a_fresh_one(tmp_path, uninterrupted):
    run(segmentation_plan(tmp_path), 2)
    make_a_mess()
    assert_identical(everything(run(segmentation_plan(tmp_path, reported=2))), uninterrupted[0])


def test_data_drawn_at_random_is_the_same_in_every_process(tmp_path):
    plan = digits_plan(tmp_path, task="odd_tasks:UnseededTask")
    clean = run(plan, 1).trainer.task.arrays
    make_a_mess()
    shutil.rmtree(tmp_path)
    used = run(plan, 1).trainer.task.arrays
    for name in clean:
        np.testing.assert_array_equal(used[name], clean[name])


def test_threads_are_left_alone_if_the_plan_says_so(tmp_path):
    torch.set_num_threads(2)
    TrialSession(digits_plan(tmp_path, num_threads=0), None)
    assert torch.get_num_threads() == 2


def test_what_a_checkpoint_holds_beyond_the_reports_is_not_computed_again(tmp_path):
    ahead = run(digits_plan(tmp_path), 4)
    session = TrialSession(digits_plan(tmp_path, reported=1), None)
    for number in (2, 3, 4):
        assert session.next_report() == ahead.history[number - 1]
        assert session.trainer.counters.num_steps == 12
    assert session.next_report()["virtual_epoch"] == 5
    assert session.trainer.counters.num_steps == 15
    assert not session.finished
    assert session.next_report()["virtual_epoch"] == 6
    assert session.finished


def test_what_the_checkpoints_lack_of_the_reports_is_computed_again(tmp_path):
    plan = odd_plan(tmp_path, "", 0)
    expected = run(plan, 4).history
    session = TrialSession(odd_plan(tmp_path, "", 0, reported=4), None)
    assert timeless([session.next_report() for _ in range(3)]) == timeless(expected[1:])


def test_a_trial_without_a_checkpoint_begins_anew_whatever_was_reported(tmp_path):
    session = TrialSession(digits_plan(tmp_path, reported=3), None)
    assert session.next_report()["virtual_epoch"] == 1


def test_a_finished_trial_is_finished_after_a_restart_too(tmp_path):
    run(digits_plan(tmp_path))
    assert not TrialSession(digits_plan(tmp_path, reported=5), None).finished
    assert TrialSession(digits_plan(tmp_path, reported=6), None).finished


def test_the_best_is_the_first_of_equals_in_either_mode(tmp_path):
    run(odd_plan(tmp_path, "", 0, num_virtual_epochs=3))
    for mode in ("max", "min"):
        session = TrialSession(odd_plan(tmp_path, "", 0, mode=mode), None)
        assert session.best["virtual_epoch"] == 1
    losses = TrialSession(odd_plan(tmp_path, "", 0, metric="valid_loss", mode="min"), None)
    assert losses.best["valid_loss"] == min(record["valid_loss"] for record in losses.history)


def test_records_are_flat_and_survive_json(tmp_path):
    record = run(digits_plan(tmp_path), 1).history[0]
    assert {
        "virtual_epoch",
        "step",
        "samples",
        "seconds",
        "accuracy",
        "train_loss",
        "valid_loss",
        "lr",
    } <= set(record)
    assert all(isinstance(value, int | float) for value in record.values())
    assert json.loads(json.dumps(record)) == record


def test_a_diverged_trial_says_where_and_how(tmp_path):
    session = run(odd_plan(tmp_path, "diverge", 3), 2)
    record = session.next_report()
    assert record["virtual_epoch"] == 3
    assert record["diverged"] == "virtual epoch 3, step 6: loss nan, gradient norm nan"
    assert record["step"] == 6
    assert "falling" not in record
    assert len(session.history) == 2


def test_an_objective_that_is_nan_is_a_divergence(tmp_path):
    session = run(odd_plan(tmp_path, "nan", 2), 1)
    record = session.next_report()
    assert record["diverged"] == "virtual epoch 2, falling is nan"
    assert record["virtual_epoch"] == 2


def test_a_missing_metric_is_an_error_that_names_the_known_ones(tmp_path):
    session = TrialSession(digits_plan(tmp_path, metric="miou"), None)
    with pytest.raises(
        KeyError, match="no metric 'miou'; it reports accuracy, epoch, lr, samples_per_second"
    ):
        session.next_report()


def test_metrics_under_the_names_of_counters_are_refused(tmp_path):
    session = TrialSession(odd_plan(tmp_path, "clash", 1), None)
    with pytest.raises(ValueError, match="the task reports step, which the trainer reports itself"):
        session.next_report()


def test_an_option_that_is_wrong_is_refused_with_its_name(tmp_path):
    with pytest.raises(ValueError, match="batch_size"):
        TrialSession(digits_plan(tmp_path, options={"batch_size": 0}), None)


def test_references_to_the_environment_are_kept_as_written(tmp_path, monkeypatch):
    monkeypatch.setenv("ROOT_OF_TEST", "/big")
    plan = digits_plan(tmp_path, options={"model": {"hidden": 8}, "data": {"root": "${env:ROOT_OF_TEST}/x"}})
    session = run(plan, 1)
    assert session.options.data["root"] == "/big/x"
    assert load_newest(tmp_path)[0].info["options"]["data"]["root"] == "${env:ROOT_OF_TEST}/x"
    monkeypatch.delenv("ROOT_OF_TEST")
    with pytest.raises(KeyError, match="ROOT_OF_TEST is not set"):
        TrialSession(plan, None)


def test_training_and_validation_data_together(tmp_path):
    session = TrialSession(digits_plan(tmp_path, data="train+val", unit="epochs", count=1), None)
    assert session.trainer.virtual_epochs.epoch_samples == 1797


def test_shared_arrays_are_used_as_they_are(tmp_path):
    arrays = DigitsTask.load_data(DigitsTask.Options())
    for array in arrays.values():
        array.flags.writeable = False
    session = TrialSession(digits_plan(tmp_path / "shared"), arrays)
    assert session.trainer.task.arrays is arrays
    assert timeless([session.next_report()]) == timeless(run(digits_plan(tmp_path / "own"), 1).history)


def test_trials_with_equal_data_sections_share_it():
    one = {"data": {"b": 1, "a": "${env:X}"}, "model": {"hidden": 1}}
    two = {"model": {"hidden": 2}, "data": {"a": "${env:X}", "b": 1}}
    assert data_key("m:T", one) == data_key("m:T", two)
    assert data_key("m:T", one) != data_key("m:T", {"data": {"b": 2, "a": "${env:X}"}})
    assert data_key("m:T", one) != data_key("m:Other", one)
    assert load_task_class("tiny_tasks:DigitsTask") is DigitsTask


def test_pictures_are_written(tmp_path, uninterrupted):
    events = EventAccumulator(str(uninterrupted[1]))
    events.Reload()
    assert [image.step for image in events.Images("validation")] == [5, 10, 15, 20]


def test_deterministic_algorithms_are_of_the_trial_that_asks_for_them(tmp_path, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    asked = segmentation_plan(tmp_path / "asked", options={**SEGMENTATION, "deterministic": True})
    TrialSession(asked, None).close()
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    TrialSession(segmentation_plan(tmp_path / "other"), None).close()
    assert not torch.are_deterministic_algorithms_enabled()
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")


def test_what_only_a_cycle_holds_is_freed_before_the_memory_of_a_gpu_is_given_back(monkeypatch):
    class Held:
        pass

    held = Held()
    held.itself = held
    found, freed = weakref.ref(held), []
    del held
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(found() is None))
    gc.disable()
    try:
        clean_process()
    finally:
        gc.enable()
    assert freed == [True]
