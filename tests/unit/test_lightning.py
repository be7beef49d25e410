"""Lightning's Trainer in a training function: suspended between two of its epochs, continued bit for bit."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning_functions
import pytest
import pytorch_lightning as pl
import torch
from function_runs import all_reports, copied, trainer_of

import search
from trainables.integrations.lightning import Trainer
from trainables.process.process_state import ProcessState


@pytest.fixture(autouse=True)
def _nothing_is_left():
    lightning_functions.CALLED.clear()
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def weights_of(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.weights().items()}


def assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


CASES = [
    (lightning_functions.train, {}),
    (lightning_functions.train, {"accumulate": 4}),
    (lightning_functions.with_data_module, {}),
    (lightning_functions.by_hand, {}),
]


LENGTHS = [
    {"count": 4},
    {"count": 15},
    {"unit": "epochs", "count": 1},
    {"unit": "epochs", "count": 2},
    {"unit": "samples", "count": 64},
]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("function", "values"), CASES)
@pytest.mark.parametrize("pause", [1, 3])
def test_a_training_that_is_paused_and_begun_again_gives_the_same_bits(
    function: Callable[..., None], values: dict[str, Any], length: dict[str, Any], pause: int, tmp_path: Path
) -> None:
    calm = trainer_of(function, **length, **values)
    wanted = all_reports(calm)
    final, state = weights_of(calm), calm.state_dict()
    calm.close()

    first = trainer_of(function, **length, **values)
    found = [first.run_virtual_epoch() for _ in range(pause)]
    weights, saved = copied(first, tmp_path)
    first.close()
    torch.manual_seed(12345)
    second = trainer_of(function, **length, **values)
    second.load(weights, saved)
    found += all_reports(second)

    assert found == wanted
    assert len(found) == 4
    assert_equal(weights_of(second), final)
    second_state = second.state_dict()
    state["counters"].pop("seconds"), second_state["counters"].pop("seconds")
    assert str(second_state) == str(state)
    second.close()


def test_a_step_of_accumulated_batches_is_one_step_and_each_virtual_epoch_has_all_of_its_own() -> None:
    trainer = trainer_of(lightning_functions.train, accumulate=4, count=5)
    all_reports(trainer)
    saved = trainer.state_dict()["tracked"]
    assert saved["trainer"]["global_step"] == trainer.counters.num_steps == 20
    # 80 batches: 13 passes of 6, and 2 of the next.
    assert (saved["batches"]["epochs"], saved["batches"]["batch_in_epoch"]) == (13, 2)
    trainer.close()


def test_a_virtual_epoch_of_one_pass_is_an_epoch_as_lightning_has_it() -> None:
    trainer = trainer_of(lightning_functions.train, accumulate=4, unit="epochs", count=1)
    all_reports(trainer)
    saved = trainer.state_dict()["tracked"]
    assert saved["trainer"]["global_step"] == trainer.counters.num_steps == 8
    assert (saved["batches"]["epochs"], saved["batches"]["batch_in_epoch"]) == (4, 0)
    trainer.close()


def test_lightning_knows_how_many_steps_there_will_be() -> None:
    trainer = trainer_of(lightning_functions.with_data_module, count=7)
    trainer.run_virtual_epoch()
    assert lightning_functions.CALLED == ["setup fit", "28 steps"]
    trainer.close()


def test_a_pause_tears_lightning_down_and_is_no_error() -> None:
    trainer = trainer_of(lightning_functions.with_data_module)
    trainer.run_virtual_epoch()
    trainer.close()
    assert lightning_functions.CALLED == ["setup fit", "20 steps", "teardown fit"]


def test_a_trial_that_comes_to_its_end_does_all_that_lightning_does_there() -> None:
    trainer = trainer_of(lightning_functions.with_data_module)
    assert len(all_reports(trainer)) == 4
    assert lightning_functions.CALLED == ["setup fit", "20 steps", "on_train_end", "teardown fit"]
    trainer.close()


def test_an_error_of_the_module_is_that_of_the_virtual_epoch() -> None:
    trainer = trainer_of(lightning_functions.fails)
    with pytest.raises(RuntimeError, match="no luck in step 3"):
        trainer.run_virtual_epoch()
    assert lightning_functions.CALLED == ["on_exception"]
    trainer.close()


def test_a_users_early_stopping_ends_the_trial_also_where_it_was_paused(tmp_path: Path) -> None:
    calm = trainer_of(lightning_functions.stops)
    wanted = all_reports(calm)
    calm.close()
    assert len(wanted) == 2

    first = trainer_of(lightning_functions.stops)
    found = [first.run_virtual_epoch() for _ in range(2)]
    weights, saved = copied(first, tmp_path)
    first.close()
    second = trainer_of(lightning_functions.stops)
    second.load(weights, saved)
    assert second.validate()["loss"] == wanted[1]["loss"]
    assert second.run_virtual_epoch() is None
    assert found == wanted
    second.close()


def test_a_training_that_is_stopped_in_the_middle_of_a_virtual_epoch_reports_what_was_complete() -> None:
    trainer = trainer_of(lightning_functions.stops_in_the_middle)
    assert len(all_reports(trainer)) == 1
    trainer.close()


@pytest.mark.parametrize("pause", [2, 4])
def test_weights_of_a_checkpoint_are_evaluated_again(pause: int, tmp_path: Path) -> None:
    """Also where nothing is left to train: an export does so."""
    first = trainer_of(lightning_functions.train)
    wanted = [first.run_virtual_epoch() for _ in range(pause)][-1]
    weights, saved = copied(first, tmp_path)
    assert first.validate() == {name: wanted[name] for name in ("loss", "valid/accuracy")}
    first.close()
    second = trainer_of(lightning_functions.train)
    second.load(weights, saved)
    assert second.validate() == {name: wanted[name] for name in ("loss", "valid/accuracy")}
    second.close()


def test_layers_that_a_hook_builds_are_restored_and_hyperparameters_are_not_saved(tmp_path: Path) -> None:
    first = trainer_of(lightning_functions.builds_late)
    found = [first.run_virtual_epoch()]
    weights, saved = copied(first, tmp_path)
    assert "late.weight" in weights
    found += all_reports(first)
    first.close()
    second = trainer_of(lightning_functions.builds_late)
    second.load(weights, saved)
    assert all_reports(second) == found[1:]
    second.close()


def test_a_process_serves_the_next_trial_as_the_first_one_and_keeps_nothing_of_it() -> None:
    def run() -> list[dict[str, float]]:
        trainer = trainer_of(lightning_functions.train)
        reports = all_reports(trainer)
        trainer.close()
        return reports

    wanted = run()
    state = ProcessState()
    other = trainer_of(lightning_functions.with_data_module, lr=0.3)
    other.run_virtual_epoch()
    module = weakref.ref(other.model)
    other.close()
    del other
    gc.collect()
    assert module() is None
    assert run() == wanted
    assert vars(ProcessState())["_handlers"] == vars(state)["_handlers"]


def test_nothing_is_printed_or_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], recwarn: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = trainer_of(lightning_functions.with_data_module)
    all_reports(trainer)
    trainer.close()
    assert [str(warning.message) for warning in recwarn] == []
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_of_the_users_own_are_written_where_they_want_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = trainer_of(lightning_functions.keeps_files)
    all_reports(trainer)
    trainer.close()
    (path,) = lightning_functions.CALLED
    assert Path(path).absolute() == tmp_path / "checkpoints" / "best.ckpt"
    assert torch.load(path, weights_only=True)["epoch"] >= 0


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("logs_nothing", ValueError, r"logged nothing, .*self\.log\(\"val_loss\", loss\) in validation_step"),
        (
            "logs_a_step",
            ValueError,
            r"received step, which each report has already; .* my_step",
        ),
        ("skips_the_rest", ValueError, r"ended 2 of its 5 batches early: let training_step return None"),
        ("with_two_loaders", ValueError, r"are a dict of loaders, .* give one DataLoader"),
        (
            "with_a_sampler",
            ValueError,
            r"DistributedSampler waits for set_epoch, .*shuffle=True",
        ),
        ("from_a_file", ValueError, r"fit\(ckpt_path='last.ckpt'\): a trial continues from checkpoints of"),
    ],
)
def test_what_cannot_be_reported_or_continued_is_told(function: str, error: Any, message: str) -> None:
    trainer = trainer_of(getattr(lightning_functions, function))
    with pytest.raises(error, match=message):
        all_reports(trainer)
    trainer.close()


def test_two_trainers_in_a_trial_are_refused() -> None:
    trainer = trainer_of(lightning_functions.fits_twice)
    with pytest.raises(ValueError, match="fit is called a second time"):
        all_reports(trainer)
    trainer.close()


def test_virtual_epochs_of_different_lengths_are_refused() -> None:
    trainer = trainer_of(lightning_functions.train, unit="samples", count=100)
    with pytest.raises(ValueError, match=r"\{samples: 100\}, .* of 16 samples here: give a multiple of that"):
        trainer.run_virtual_epoch()
    trainer.close()


def test_a_state_that_could_be_loaded_by_executing_it_only_is_refused() -> None:
    trainer = trainer_of(lightning_functions.keeps_an_object)
    trainer.run_virtual_epoch()
    with pytest.raises(
        TypeError, match=r"the state of trainer\['callbacks'\].*\['of'\] is a Keeping; a check"
    ):
        trainer.state_dict()
    trainer.close()


def test_a_training_without_validation_reports_what_it_logs_and_is_noted() -> None:
    trainer = trainer_of(lightning_functions.not_validated)
    assert set(trainer.run_virtual_epoch()) == {"train_loss", "train_loss_step", "train_loss_epoch"}
    assert [note.partition(" ")[0] for note in trainer.doubts()] == ["trial.evaluated_by()"]
    trainer.close()


ARGUMENTS = [
    ({"max_epochs": 10}, r"max_epochs=10\): leave max_epochs out, budget.max_virtual_epochs"),
    ({"max_steps": 10}, r"leave max_steps out, budget"),
    ({"val_check_interval": 50}, r"leave val_check_interval out, each virtual epoch is validated"),
    ({"limit_train_batches": 3}, r"leave limit_train_batches out, an epoch of this Trainer is a virtual"),
    ({"devices": 2}, r"devices=2\): leave devices out, a trial is one process"),
    ({"strategy": "ddp"}, r"strategy='ddp'\): leave strategy out, .* more GPUs train more trials"),
    ({"accelerator": "gpu"}, r"accelerator='gpu'\): leave accelerator out"),
    ({"barebones": True}, r"leave barebones out, nothing that a module logs would be reported"),
    ({"fast_dev_run": True}, r"leave fast_dev_run out, `tune-search check`"),
    (
        {"callbacks": [pl.callbacks.LearningRateFinder()]},
        r"LearningRateFinder\(…\)\]\): leave it out, the lea",
    ),
    ({"callbacks": pl.callbacks.BatchSizeFinder()}, r"BatchSizeFinder\(…\)\]\): leave it out, batch_size is"),
]


@pytest.mark.parametrize(("arguments", "message"), ARGUMENTS)
def test_what_the_search_decides_is_refused_with_the_reason(arguments: Any, message: str) -> None:
    trainer = trainer_of(lambda trial: Trainer(trial, **arguments))
    with pytest.raises(ValueError, match=rf"Trainer\(trial, .*{message}"):
        trainer.run_virtual_epoch()
    trainer.close()


def test_what_says_the_same_as_the_search_is_no_mistake() -> None:
    def function(trial: Any) -> None:
        trainer = Trainer(trial, accelerator="cpu", devices=1, strategy="auto", num_sanity_val_steps=2)
        trainer.fit(lightning_functions.Module(), lightning_functions.loader(), lightning_functions.loader())

    trainer = trainer_of(function)
    assert len(all_reports(trainer)) == 4
    trainer.close()


def test_alone_trains_as_a_search_does() -> None:
    trainer = trainer_of(lightning_functions.train)
    assert search.alone(lightning_functions.train, virtual_epochs=4, steps=5) == all_reports(trainer)
    trainer.close()
