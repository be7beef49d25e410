"""Frameworks' loops as training functions: paused anywhere, they continue as if they had not been."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import framework_functions as own
import pytest
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

import search
from trainables.function.task import function_task
from trainables.function.trainer import FunctionTrainer
from trainables.integrations.accelerate import accelerator_of
from trainables.integrations.transformers import run as run_trainer
from trainables.process.process_state import clean_process

FUNCTIONS = [own.with_transformers, own.with_accelerate, own.with_ignite]


def trainer_of(function: Callable[..., None], folder: Path, *, epochs: int = 5, count: int = 5,
               unit: Any = "steps", **values: Any) -> FunctionTrainer:  # fmt: skip
    clean_process()  # as each trial of a process begins
    task = function_task(function)
    return task.trainer(
        task.Options.parse(values),
        number=3,
        device=torch.device("cpu"),
        folder=folder,
        unit=unit,
        count=count,
        num_virtual_epochs=epochs,
    )


def saved(trainer: FunctionTrainer, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a checkpoint would hold, through a file that nothing is executed for."""
    torch.save((trainer.weights(), trainer.state_dict()), folder / "saved.pt")
    return torch.load(folder / "saved.pt", weights_only=True)


def ended(trainer: FunctionTrainer) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Run to the end: the reports, and the last weights."""
    reports = []
    while (metrics := trainer.run_virtual_epoch()) is not None:
        reports.append(metrics)
    weights = {name: tensor.clone() for name, tensor in trainer.weights().items()}
    trainer.close()
    return reports, weights


def assert_same(found: Any, wanted: Any) -> None:
    assert found[0] == wanted[0]
    assert found[1].keys() == wanted[1].keys()
    assert all(torch.equal(found[1][name], wanted[1][name]) for name in wanted[1])


@pytest.mark.parametrize(
    ("function", "values"),
    [
        *((function, {}) for function in FUNCTIONS),
        *((function, {"accumulate": 3}) for function in FUNCTIONS),
        (own.with_a_plateau, {}),
        (own.with_accelerate, {"precision": "bf16"}),
        (own.with_accelerate, {"accumulate": 3, "prepared": True}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
@pytest.mark.parametrize(("count", "pauses"), [(5, (1, 3)), (13, (1, 2))], ids=["inside", "at_its_end"])
def test_a_loop_that_is_paused_ends_with_the_same_bits(
    function: Callable[..., None], values: dict[str, Any], count: int, pauses: tuple[int, ...], tmp_path: Path
) -> None:
    calm = ended(trainer_of(function, tmp_path, count=count, **values))
    assert len(calm[0]) == 5

    reports: list[Any] = []
    state: Any = None
    for pause in (*pauses, None):
        torch.manual_seed(12345)
        trainer = trainer_of(function, tmp_path, count=count, **values)
        if state is not None:
            trainer.load(*state)
        if pause is None:
            rest, weights = ended(trainer)
            assert_same((reports + rest, weights), calm)
        else:
            while len(reports) < pause:
                reports.append(trainer.run_virtual_epoch())
            state = saved(trainer, tmp_path)
            trainer.close()
    assert [file.name for file in tmp_path.iterdir()] == ["saved.pt"]


@pytest.mark.parametrize(
    ("before", "after", "values"),
    [
        (own.with_accelerate, own.with_accelerate, {"precision": "bf16", "accumulate": 2}),
        (own.with_accelerate, own.with_transformers, {"precision": "bf16", "accumulate": 2}),
        (own.with_transformers, own.with_accelerate, {"accumulate": 2}),
        (own.with_transformers, own.with_ignite, {"accumulate": 2}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_process_that_another_trial_has_used_gives_the_bits_of_a_fresh_one(
    before: Callable[..., None], after: Callable[..., None], values: dict[str, Any], tmp_path: Path
) -> None:
    fresh = ended(trainer_of(after, tmp_path, epochs=2))
    other = trainer_of(before, tmp_path, **values)
    other.run_virtual_epoch()
    other.close()
    assert_same(ended(trainer_of(after, tmp_path, epochs=2)), fresh)


def test_an_accelerator_has_the_precision_of_its_own_trial(tmp_path: Path) -> None:
    found = []

    def train(trial: Any, precision: str = "no") -> None:
        accelerator = accelerator_of(trial, mixed_precision=precision)
        found.append((accelerator.mixed_precision, accelerator.device.type))

    for precision in ("bf16", "no", "bf16"):
        with pytest.raises(ValueError, match="returned, or reported, before its loop"):
            trainer_of(train, tmp_path, precision=precision).run_virtual_epoch()
    assert found == [("bf16", "cpu"), ("no", "cpu"), ("bf16", "cpu")]


def test_an_accelerator_of_several_processes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which `accelerate launch` says by the environment."""
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    with pytest.raises(ValueError, match=r"would train in 2 processes; a trial has one: leave out"):
        trainer_of(own.with_accelerate, tmp_path).run_virtual_epoch()


def test_an_engine_that_is_paused_is_told_of_no_exception_and_ends_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own.FIRED.clear()
    first = trainer_of(own.with_ignite, tmp_path, epochs=3, count=13)
    first.run_virtual_epoch()
    state = saved(first, tmp_path)
    first.close()
    assert own.FIRED == ["EPOCH_COMPLETED 13", "TERMINATE 13"]
    own.FIRED.clear()
    second = trainer_of(own.with_ignite, tmp_path, epochs=3, count=13)
    second.load(*state)
    ended(second)
    assert own.FIRED == ["EPOCH_COMPLETED 26", "EPOCH_COMPLETED 39", "COMPLETED 39"]
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


def test_an_engine_may_end_before_the_full_length(tmp_path: Path) -> None:
    trainer = trainer_of(own.ends_its_engine, tmp_path)
    assert len(ended(trainer)[0]) == 2


def test_an_engine_over_a_loader_of_unknown_length_continues_with_the_same_bits(tmp_path: Path) -> None:
    calm = ended(trainer_of(own.streams, tmp_path))
    first = trainer_of(own.streams, tmp_path)
    reports = [first.run_virtual_epoch() for _ in range(3)]
    state = saved(first, tmp_path)
    first.close()
    second = trainer_of(own.streams, tmp_path)
    second.load(*state)
    rest, weights = ended(second)
    assert_same((reports + rest, weights), calm)


def test_what_is_reported_of_a_trainer_is_its_evaluation_without_times(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own.CALLS.clear()
    trainer = trainer_of(own.with_a_callback, tmp_path, epochs=2)
    for _ in range(2):
        assert trainer.run_virtual_epoch().keys() == {"loss", "grad_norm", "eval_loss", "eval_accuracy"}
    trainer.close()
    assert own.CALLS == {"on_evaluate": 2, "on_save": 2}
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_the_trainer_stops_where_its_own_callback_does_after_a_pause_too(tmp_path: Path) -> None:
    calm = ended(trainer_of(own.stops_early, tmp_path, epochs=9))
    assert 2 < len(calm[0]) < 9
    first = trainer_of(own.stops_early, tmp_path, epochs=9)
    reports = [first.run_virtual_epoch() for _ in range(len(calm[0]) - 1)]
    state = saved(first, tmp_path)
    first.close()
    second = trainer_of(own.stops_early, tmp_path, epochs=9)
    second.load(*state)
    rest, weights = ended(second)
    assert_same((reports + rest, weights), calm)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_steps": 7}, r"has max_steps=7; in a trial it must be 25: leave it out, and write"),
        ({"seed": 7}, r"has seed=7; in a trial it must be 0"),
        ({"save_strategy": "steps"}, r"has save_strategy=.*steps.*; in a trial it must be 'no'"),
        ({"load_best_model_at_end": True, "save_strategy": "steps", "save_steps": 5}, r"must be"),
        ({"ignore_data_skip": True}, r"has ignore_data_skip=True; in a trial it must be False"),
        ({"auto_find_batch_size": True}, r"has auto_find_batch_size=True"),
        ({"save_only_model": True}, r"has save_only_model=True"),
        ({"model_init": own.bert}, r"has model_init, which makes a model that is not the trial's"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_trainer_that_is_set_to_what_a_trial_does_not_allow_is_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    def train(trial: Any) -> None:
        run_trainer(trial, own.trainer_of(trial, **options))

    with pytest.raises(ValueError, match=message):
        trainer_of(train, tmp_path).run_virtual_epoch()
    assert list(tmp_path.iterdir()) == []


def test_a_trainer_of_several_devices_is_refused(tmp_path: Path) -> None:
    def train(trial: Any) -> None:
        trainer = own.trainer_of(trial)
        trainer.args._n_gpu = 2
        run_trainer(trial, trainer)

    with pytest.raises(ValueError, match=r"would train on 2 devices; a trial has one: set CUDA"):
        trainer_of(train, tmp_path).run_virtual_epoch()


def test_what_the_trainer_cannot_continue_is_said(tmp_path: Path) -> None:
    notes = {}
    for function in FUNCTIONS:
        trainer = trainer_of(function, tmp_path)
        trainer.run_virtual_epoch()
        notes[function] = [note.partition(",")[0] for note in trainer.doubts()]
        trainer.close()
    assert notes == {
        own.with_transformers: ["where a trial continues"],
        own.with_accelerate: [],
        own.with_ignite: [],
    }


def test_a_dataset_of_unknown_length_that_ends_is_refused(tmp_path: Path) -> None:
    def train(trial: Any) -> None:
        trainer = own.trainer_of(trial)
        trainer.train_dataset = own.Stream(own.Sequences(own.NUM_TRAIN))
        run_trainer(trial, trainer)

    trainer = trainer_of(train, tmp_path)
    for _ in range(2):
        trainer.run_virtual_epoch()
    with pytest.raises(ValueError, match=r"ended after 13 of the trial's 25 steps, and has no length"):
        trainer.run_virtual_epoch()
    trainer.close()


def test_a_loader_that_accelerate_has_prepared_is_refused_where_it_would_lose_numbers(tmp_path: Path) -> None:
    def train(trial: Any) -> None:
        accelerator = accelerator_of(trial)
        trial.batches(accelerator.prepare(DataLoader(own.points(), batch_size=4)))

    with pytest.raises(ValueError, match=r"received a DataLoaderShard, which accelerator.prepare has made"):
        trainer_of(train, tmp_path).run_virtual_epoch()


def test_an_engine_with_other_handlers_than_when_it_was_saved_is_refused(tmp_path: Path) -> None:
    first = trainer_of(own.streams, tmp_path)
    first.run_virtual_epoch()
    weights, state = saved(first, tmp_path)
    first.close()
    state["tracked"]["engine"]["1 LRScheduler"] = {}
    second = trainer_of(own.streams, tmp_path)
    second.load(weights, state)
    with pytest.raises(ValueError, match=r"when the trial was saved it had 1 LRScheduler: attach"):
        second.run_virtual_epoch()
    second.close()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_framework_runs_alone_and_prints_its_reports(
    function: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = search.alone(function, virtual_epochs=2, steps=5, folder=tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "virtual epoch 1 of 2, step 5",
        "virtual epoch 2 of 2, step 10",
    ]
    assert len(reports) == 2
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_trainer_has_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".trainer" / "checkpoint-3").mkdir(parents=True)
    trainer = trainer_of(own.with_transformers, tmp_path)
    trainer.run_virtual_epoch()
    assert [folder.name for folder in (tmp_path / ".trainer").iterdir()] == ["checkpoint-5"]
    trainer.close()
    assert list(tmp_path.iterdir()) == []
