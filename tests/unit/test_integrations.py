"""Frameworks' loops as training functions: paused anywhere, they continue as if they had not been."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import framework_functions as own
import pytest
import torch

from trainables.function.task import function_task
from trainables.function.trainer import FunctionTrainer
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
