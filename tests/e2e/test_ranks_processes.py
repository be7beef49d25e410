"""Two processes train a trial together: what one of them would train, and bit for bit the same again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_processes import team_of
from small_trials import SEGMENTATION, assert_identical, digits_plan, everything, segmentation_plan, timeless

from trainables.plan import TrialPlan
from trainables.process.process_state import clean_process
from trainables.ranks.team import Team
from trainables.session import TrialSession
from trainables.workers.worker import TrialWorker

pytestmark = pytest.mark.usefixtures("small_machine")

ALIKE = ("train_loss", "valid_loss", "lr", "epoch", "step", "samples")
# What draws random numbers of its own is another training in two processes.
SEG: dict[str, Any] = {**SEGMENTATION, "model": {**SEGMENTATION["model"], "dropout": 0.0}}
CLASSES: dict[str, Any] = {
    "data": {"source": "digits"},
    "model": {"name": "cnn", "width": 4},
    "loss": {"mixup": 0.2, "class_weights": "balanced", "label_smoothing": 0.1},
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    "batch_size": 15,
    "ema": 0.5,
}
NUMBERS: dict[str, Any] = {
    "data": {"source": "diabetes"},
    "model": {"name": "mlp", "width": 8, "normalization": "batch"},
    "loss": {"name": "huber"},
    # Adam would make whole steps of the rounding in gradients that are 0, as of a bias before a batch norm.
    "optimizer": {"name": "sgd", "lr": 0.05},
    "batch_size": 8,
    "accumulate": 2,
}


@pytest.fixture(scope="module")
def pair() -> Iterator[Team]:
    """A team of two, which trains one trial after the other."""
    with team_of(2) as (team, _):
        yield team


def worker_of(team: Team, plan: TrialPlan) -> TrialWorker:
    worker = TrialWorker(team=team)
    worker.begin(plan)
    return worker


def trained(team: Team, plan: TrialPlan, until: int | None = None) -> TrialSession:
    """The session of rank 0 after some virtual epochs, or all of them."""
    worker = worker_of(team, plan)
    while len(worker.session.history) < (until or plan.num_virtual_epochs):
        assert "diverged" not in worker.next_report()
    return worker.session


def alone(plan: TrialPlan) -> TrialSession:
    """The same trial in one process."""
    clean_process()
    torch.set_num_threads(1)
    session = TrialSession(plan, None)
    while not session.finished:
        assert "diverged" not in session.next_report()
    return session


def assert_close(two: TrialSession, one: TrialSession) -> None:
    assert len(two.history) == len(one.history)
    for found, expected in zip(two.history, one.history, strict=True):
        assert {k: found[k] for k in ALIKE} == pytest.approx({k: expected[k] for k in ALIKE}, rel=2e-4)
    weights = one.trainer.weights()
    for name, tensor in two.trainer.weights().items():
        torch.testing.assert_close(tensor, weights[name], rtol=1e-3, atol=2e-4, msg=name)


def of_task(name: str, folder: Path, options: dict[str, Any], metric: str, mode: str = "max") -> TrialPlan:
    task = f"trainables.{name}.task:{name.capitalize()}Task"
    changes = {"task": task, "options": options, "metric": metric, "mode": mode, "num_virtual_epochs": 2}
    return segmentation_plan(folder, **changes)


@pytest.mark.parametrize(
    ("name", "options", "metric"),
    [
        ("segmentation", SEG, "miou"),
        ("classification", CLASSES, "accuracy"),
        ("regression", NUMBERS, "r2"),
    ],
)
def test_two_processes_train_what_one_does(
    tmp_path: Path, pair: Team, name: str, options: dict[str, Any], metric: str
) -> None:
    two = trained(pair, of_task(name, tmp_path / "two", options, metric))
    assert_close(two, alone(of_task(name, tmp_path / "one", options, metric)))


def test_a_last_batch_with_a_sample_for_one_process_alone_counts_once(tmp_path: Path, pair: Team) -> None:
    options = {**SEG, "data": {**SEG["data"], "num_train": 13}, "accumulate": 2}
    lengths = {"options": options, "unit": "epochs", "count": 2, "num_virtual_epochs": 2}
    two = trained(pair, segmentation_plan(tmp_path / "two", **lengths))
    assert two.history[0]["samples"] == 26
    assert_close(two, alone(segmentation_plan(tmp_path / "one", **lengths)))


def test_a_trial_of_two_processes_resumed_is_bit_for_bit_the_uninterrupted_one(
    tmp_path: Path, pair: Team
) -> None:
    whole = everything(trained(pair, segmentation_plan(tmp_path / "whole")))
    again = everything(trained(pair, segmentation_plan(tmp_path / "again")))
    assert_identical(again, whole)
    for reported, until in ((0, 1), (1, 3)):
        trained(pair, segmentation_plan(tmp_path / "cut", reported=reported), until)
    resumed = trained(pair, segmentation_plan(tmp_path / "cut", reported=3))
    assert_identical(everything(resumed), whole)


def test_one_process_goes_on_where_two_have_paused(tmp_path: Path, pair: Team) -> None:
    trained(pair, segmentation_plan(tmp_path / "moved", options=SEG), 2)
    moved = alone(segmentation_plan(tmp_path / "moved", options=SEG, reported=2))
    assert_close(moved, alone(segmentation_plan(tmp_path / "one", options=SEG)))


@pytest.mark.parametrize("valid_batch_size", [3, 10])
def test_a_validation_of_equal_weights_has_equal_metrics(
    tmp_path: Path, pair: Team, valid_batch_size: int
) -> None:
    """With 3 samples a batch ranks have two each, with 10 the second one has none."""
    options = {
        **{key: value for key, value in SEG.items() if key not in ("ema", "augment")},
        "optimizer": {"name": "sgd", "lr": 1e-30},
        "valid_batch_size": valid_batch_size,
        "validation": {"boundary_iou": 0.02},
        "metrics": {"confidence": {"name": "rank_tasks:mean_confidence"}},
        "sync_batch_norm": False,
    }
    plan = segmentation_plan(tmp_path / "two", options=options, num_virtual_epochs=1)
    two = trained(pair, plan)
    one = alone(segmentation_plan(tmp_path / "one", options=options, num_virtual_epochs=1))
    buffers = {name for name, _ in one.trainer.model.named_buffers()}
    one.trainer.model.load_state_dict(
        {name: tensor for name, tensor in two.trainer.weights().items() if name in buffers}, strict=False
    )
    expected, found = one.trainer.validate(), timeless(two.history)[0]
    exact = [name for name in expected if name.startswith(("iou/", "dice/", "boundary", "miou", "pixel"))]
    assert {name: found[name] for name in exact} == {name: expected[name] for name in exact}
    assert found == pytest.approx({**found, **expected}, rel=1e-6)


def test_batch_norm_of_each_process_alone_is_another_training(tmp_path: Path, pair: Team) -> None:
    own = trained(pair, segmentation_plan(tmp_path / "own", options={**SEG, "sync_batch_norm": False}), 1)
    both = trained(pair, segmentation_plan(tmp_path / "both", options=SEG), 1)
    assert own.history[0]["train_loss"] != pytest.approx(both.history[0]["train_loss"], rel=1e-4)


def test_a_parameter_without_a_gradient_on_any_rank_keeps_none(tmp_path: Path, pair: Team) -> None:
    options = {"batch_size": 16, "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1}}
    plan = digits_plan(tmp_path, task="rank_tasks:Branching", options=options)
    session = trained(pair, plan, 1)
    names = {parameter: name for name, parameter in session.trainer.model.named_parameters()}
    with_state = session.trainer.optimizer.state
    assert {names[parameter].partition(".")[0] for parameter in with_state} == {"main", "second"}
