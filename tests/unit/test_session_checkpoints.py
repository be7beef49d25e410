"""Which checkpoints a session writes and keeps, what they name, and the events beside them."""

import pytest
from odd_tasks import odd_plan
from small_trials import (
    assert_identical,
    digits_plan,
    everything,
    run,
    timeless,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainables.checkpoints.checkpoint import list_checkpoints, load_newest, read_checkpoint
from trainables.session import TrialSession

pytestmark = pytest.mark.usefixtures("small_machine")


def test_best_and_newest_are_kept_and_the_best_is_that_of_its_virtual_epoch(tmp_path):
    session = run(digits_plan(tmp_path, checkpoint_keep=2))
    best = session.best["virtual_epoch"]
    assert list_checkpoints(tmp_path) == sorted({best, 6} | ({5} if best == 6 else set()))
    info = read_checkpoint(tmp_path, best).info
    assert info["best"] == best
    assert info["history"][-1] == session.best
    assert len(info["history"]) == best


def test_only_what_is_due_or_best_or_last_is_saved(tmp_path):
    run(odd_plan(tmp_path, "", 0, checkpoint_every=4, checkpoint_keep=9))
    assert list_checkpoints(tmp_path) == [1, 4, 6]


def test_closing_saves_a_virtual_epoch_that_was_not_due(tmp_path):
    plan = odd_plan(tmp_path, "", 0)
    session = run(plan, 3)
    assert list_checkpoints(tmp_path) == [1]
    session.save()
    session.close()
    assert list_checkpoints(tmp_path) == [1, 3]
    whole = everything(run(odd_plan(tmp_path / "whole", "", 0)))
    assert_identical(everything(run(plan)), whole)


def test_closing_twice_writes_once(tmp_path):
    session = run(odd_plan(tmp_path, "", 0), 2)
    session.save()
    before = (tmp_path / "checkpoint_000002" / "manifest.json").stat()
    session.save()
    session.close()
    assert (tmp_path / "checkpoint_000002" / "manifest.json").stat() == before


@pytest.mark.parametrize("how", ["diverge", "nan", "raise", "clash"])
def test_a_virtual_epoch_that_went_wrong_does_not_get_into_a_checkpoint(tmp_path, how):
    session = run(odd_plan(tmp_path, how, 4), 3)
    if how in ("diverge", "nan"):
        assert "diverged" in session.next_report()
    else:
        with pytest.raises((RuntimeError, ValueError)):
            session.next_report()
    session.close()
    assert list_checkpoints(tmp_path) == [1]
    expected = run(odd_plan(tmp_path / "whole", "", 0), 4).history
    resumed = TrialSession(odd_plan(tmp_path, how, 4), None)  # which counts from where it begins
    assert timeless([resumed.next_report() for _ in range(4)]) == timeless(expected)


def test_a_checkpoint_names_what_it_is_of(tmp_path):
    run(digits_plan(tmp_path), 1)
    info = load_newest(tmp_path)[0].info
    assert info["trial"] == 7
    assert info["task"] == "tiny_tasks:DigitsTask"
    assert info["options"] == {"batch_size": 16}
    assert info["virtual_epoch"] == {"steps": 3}
    assert (info["metric"], info["mode"], info["num_virtual_epochs"]) == ("accuracy", "max", 6)


def test_events_stand_once_for_each_virtual_epoch_also_after_a_crash(tmp_path):
    plan = odd_plan(tmp_path, "", 0, hparams={"optimizer.lr": 0.1})
    run(plan, 3)  # killed with its checkpoint at 1
    run(plan)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    for tag in ("accuracy", "train_loss", "lr", "epoch", "samples_per_second", "best/falling"):
        assert [event.step for event in events.Scalars(tag)] == [3, 6, 9, 12, 15, 18]
    assert "step" not in events.Tags()["scalars"]


def test_a_checkpoint_of_another_trial_in_the_folder_is_set_aside(tmp_path):
    first = TrialSession(digits_plan(tmp_path), None)
    first.next_report()
    first.close()
    options = {**digits_plan(tmp_path).options, "batch_size": 8}
    session = TrialSession(digits_plan(tmp_path, options=options), None)
    assert session.history == []
    record = session.next_report()
    assert record["virtual_epoch"] == 1
    assert "set aside as damaged_000001" in record["message"]
