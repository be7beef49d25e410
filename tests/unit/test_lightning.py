"""Lightning's Trainer in a training function: suspended between two of its epochs, continued bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning_functions
import pytest
import torch
from test_function_trainer import all_reports, copied, trainer_of


@pytest.fixture(autouse=True)
def _nothing_called():
    lightning_functions.CALLED.clear()


def weights_of(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.weights().items()}


def assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


CASES = [
    (lightning_functions.train, {}),
    (lightning_functions.train, {"accumulate": 4}),
    (lightning_functions.with_data_module, {}),
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
