"""What a task gives as loss and metrics: read right, or said with the metric's name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from trainables.training.reported import OF_A_REPORT, OF_THE_TRAINER, begun, check_loss, numbers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1.0),
        (True, 1.0),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([0.5]), 0.5),
        (torch.tensor(3), 3.0),
        (np.float32(0.5), 0.5),
        (np.bool_(True), 1.0),
        (np.array([[2]]), 2.0),
    ],
    ids=repr,
)
def test_all_that_is_one_number_is_read(value: Any, expected: float) -> None:
    assert numbers({"mae": value}) == {"mae": expected}


def test_not_a_number_is_a_number_here() -> None:
    assert math.isnan(numbers({"mae": float("nan")})["mae"])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None"),
        ("0.5", "'0.5'"),
        ([1, 2], r"\[1, 2\]"),
        (torch.zeros(2), r"a tensor of shape \[2\]"),
        (np.zeros((2, 3)), r"an ndarray of shape \[2, 3\]"),
        (1j, "1j"),
        (torch.tensor(1j), "1j"),
    ],
    ids=repr,
)
def test_what_is_no_number_is_said_with_the_name(value: Any, shown: str) -> None:
    with pytest.raises(TypeError, match=f"the metric 'iou/road' is {shown}.*must be (a|one) number"):
        numbers({"iou/road": value})


@pytest.mark.parametrize("name", [*OF_THE_TRAINER, *OF_A_REPORT, "best/mae"])
def test_the_trainers_own_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"the task reports {name}, which the trainer reports itself; give"):
        numbers({"mae": 1.0, name: 5.0})


@pytest.mark.parametrize("name", [1, None, "", " ", "a\nb", ("a",)])
def test_a_name_is_printable_text(name: Any) -> None:
    with pytest.raises(ValueError, match="a name must be printable text"):
        numbers({name: 1.0})


def test_odd_names_and_those_of_ray_are_names() -> None:
    names = ("mIoU@0.5", "a b=c", "iou/road", "done", "training_iteration", "config", "time_total_s")
    assert list(numbers(dict.fromkeys(names, 1.0))) == list(names)


@pytest.mark.parametrize("metrics", [None, 0.5, [("mae", 1.0)]])
def test_metrics_are_a_mapping(metrics: Any) -> None:
    with pytest.raises(TypeError, match=r"it must return numbers by their names"):
        numbers(metrics)


def test_a_loss_per_sample_or_none_at_all_is_refused() -> None:
    check_loss(torch.tensor(1.0), 8.0)
    check_loss(torch.ones(3), torch.ones(3))
    with pytest.raises(ValueError, match=r"loss\(\) returned the shape \[8, 1\]; .*loss.mean\(\)"):
        check_loss(torch.ones(8, 1), 8.0)
    with pytest.raises(TypeError, match=r"loss\(\) returned 0.5 \(a float\); it must return a tensor"):
        check_loss(0.5, 8.0)


class Mae:
    def __init__(self) -> None:
        self.num_resets = 0

    def update(self, outputs: Any, batch: Any) -> None: ...

    def compute(self) -> dict[str, float]:
        return {}


class Resettable(Mae):
    def reset(self) -> None:
        self.num_resets += 1


def test_what_gathered_the_validation_before_is_used_again_only_if_it_can_be_reset() -> None:
    shared, other = Mae(), Resettable()
    for metrics in (Mae(), Mae(), shared, Mae(), other):
        assert begun(metrics) is metrics
    assert other.num_resets == 0
    assert begun(begun(other)).num_resets == 2
    begun(shared)
    with pytest.raises(TypeError, match=r"returned the Mae of the validation before, .* with reset\(\)"):
        begun(shared)


@pytest.mark.parametrize(
    ("metrics", "shown"), [(Mae, "<class"), ({"mae": Mae()}, "{'mae'"), (None, "None"), (len, "<built-in")]
)
def test_what_cannot_gather_metrics_is_said(metrics: Any, shown: str) -> None:
    with pytest.raises(TypeError, match=rf"metrics\(\) returned {shown}.*must return a new object"):
        begun(metrics)
