"""Learning-rate schedules: their ends, their warm-up, and torch's own where they coincide."""

from typing import Literal

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    PolynomialLR,
    SequentialLR,
    StepLR,
)

from trainables.optim.lr_schedules import imported_factor, schedule_factor, set_lr

NAMES = ["constant", "linear", "cosine", "polynomial", "one_cycle"]
STEPS = 20


def factors(name: str, total_steps: int = STEPS, **options: float) -> list[float]:
    factor = schedule_factor(name, total_steps=total_steps, **options)
    return [factor(step) for step in range(total_steps)]


def torch_factors(scheduler: LRScheduler, num: int = STEPS) -> list[float]:
    """Learning rates of an optimizer whose peak is 1."""
    rates = []
    for _ in range(num):
        rates.append(float(scheduler.optimizer.param_groups[0]["lr"]))
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def sgd() -> torch.optim.SGD:
    return torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)


def test_cosine_is_that_of_torch() -> None:
    expected = torch_factors(CosineAnnealingLR(sgd(), T_max=STEPS - 1, eta_min=0.1))
    assert factors("cosine", final_factor=0.1) == pytest.approx(expected, abs=1e-12)


def test_polynomial_is_that_of_torch() -> None:
    expected = torch_factors(PolynomialLR(sgd(), total_iters=STEPS - 1, power=0.7))
    assert factors("polynomial", power=0.7) == pytest.approx(expected, abs=1e-12)


def test_linear_is_that_of_torch() -> None:
    scheduler = LinearLR(sgd(), start_factor=1.0, end_factor=0.2, total_iters=STEPS - 1)
    assert factors("linear", final_factor=0.2) == pytest.approx(torch_factors(scheduler), abs=1e-12)


def test_warmup_then_cosine_is_that_of_torch() -> None:
    optimizer = sgd()
    parts = [LinearLR(optimizer, 1 / 6, total_iters=5), CosineAnnealingLR(optimizer, T_max=STEPS - 6)]
    expected = torch_factors(SequentialLR(optimizer, parts, milestones=[5]))
    assert factors("cosine", warmup=5) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("anneal", "part"), [("linear", slice(0, 7)), ("cos", slice(6, 21))])
def test_one_cycle_rises_like_torch_in_a_line_and_falls_like_torch_in_a_cosine(
    anneal: Literal["linear", "cos"], part: slice
) -> None:
    scheduler = OneCycleLR(
        sgd(),
        max_lr=1.0,
        total_steps=21,
        pct_start=7 / 21,
        anneal_strategy=anneal,
        div_factor=25,
        final_div_factor=4,
        cycle_momentum=False,
    )
    ours = factors("one_cycle", total_steps=21, warmup=6, final_factor=0.01)
    assert ours[part] == pytest.approx(torch_factors(scheduler, 21)[part], abs=1e-12)


def test_one_cycle_without_a_warmup_peaks_after_30_percent() -> None:
    ours = factors("one_cycle")
    assert ours.index(1.0) == 6
    assert ours[0] == 1 / 25


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup", [4, 0.2])
def test_warmup_rises_linearly_to_the_peak(name: str, warmup: float) -> None:
    start = 1 / 25 if name == "one_cycle" else 1 / 5
    expected = [start + (1 - start) * step / 4 for step in range(5)]
    assert factors(name, warmup=warmup)[:5] == pytest.approx(expected)


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("warmup", [0, 0.5, STEPS - 1])
@pytest.mark.parametrize("final_factor", [0.0, 0.1, 1.0])
def test_last_step_has_exactly_the_final_factor(name: str, warmup: float, final_factor: float) -> None:
    assert factors(name, warmup=warmup, final_factor=final_factor)[-1] == final_factor


def test_constant_ignores_the_final_factor() -> None:
    assert factors("constant", final_factor=0.0) == [1.0] * STEPS


@pytest.mark.parametrize("name", NAMES)
def test_beyond_the_end_the_last_value_stays(name: str) -> None:
    factor = schedule_factor(name, total_steps=STEPS, final_factor=0.3)
    assert factor(STEPS + 7) == factor(STEPS - 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_of_one_step_has_a_factor(name: str) -> None:
    assert factors(name, total_steps=1, warmup=0.9, final_factor=0.5) == [1.0 if name == "constant" else 0.5]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup", [0, 3])
def test_factors_stay_within_zero_and_one(name: str, warmup: float) -> None:
    for total_steps in range(4, 40):
        assert all(0.0 <= factor <= 1.0 for factor in factors(name, total_steps, warmup=warmup))


def test_set_lr_scales_each_group_from_its_own_peak() -> None:
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in (0.5, 2.0)])
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    set_lr(optimizer, 0.25)
    set_lr(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 1.0]


def test_set_lr_fills_a_tensor_in_place() -> None:
    rate = torch.tensor(2.0)
    optimizer = torch.optim.Adam([torch.zeros(1)], lr=rate, capturable=True)
    optimizer.param_groups[0]["initial_lr"] = 2.0
    held = optimizer.param_groups[0]["lr"]
    set_lr(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] is held
    assert held.item() == 0.5


@pytest.mark.parametrize("warmup", [STEPS, STEPS + 5.0])
def test_warmup_as_long_as_the_trial_is_refused(warmup: float) -> None:
    with pytest.raises(ValueError, match=f"warmup is {warmup:g} steps of {STEPS}"):
        factors("cosine", warmup=warmup)


@pytest.mark.parametrize(
    ("name", "arguments", "make"),
    [
        ("CosineAnnealingWarmRestarts", {"T_0": 4}, lambda o: CosineAnnealingWarmRestarts(o, T_0=4)),
        ("OneCycleLR", {"max_lr": 1.0, "total_steps": 20}, lambda o: OneCycleLR(o, 1.0, total_steps=20)),
        ("StepLR", {"step_size": 3, "gamma": 0.5}, lambda o: StepLR(o, 3, gamma=0.5)),
    ],
)
def test_an_imported_scheduler_gives_its_own_factors_from_any_step(name, arguments, make) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
    scheduler = make(optimizer)
    wanted = []
    for _ in range(20):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    path = f"torch.optim.lr_scheduler:{name}"
    factor = imported_factor(path, arguments, total_steps=20)
    resumed = imported_factor(path, arguments, total_steps=20)
    assert [factor(step) for step in range(20)] == wanted
    assert [resumed(step) for step in range(7, 20)] == wanted[7:]


def test_an_imported_function_is_given_step_and_length() -> None:
    factor = imported_factor("own_parts:halving", {"factor": 0.25}, total_steps=10)
    assert [factor(0), factor(5), factor(10)] == [1.0, 0.5, 0.25]


def test_a_scheduler_that_needs_metrics_and_a_factor_that_is_no_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of torch\.optim\.lr_scheduler that steps alone; it needs metrics"):
        imported_factor("torch.optim.lr_scheduler:ReduceLROnPlateau", {}, total_steps=10)
    with pytest.raises(ValueError, match="it is no such class"):
        imported_factor("own_parts:Net", {}, total_steps=10)
    with pytest.raises(ValueError, match=r"own_parts:halving gave .* at step 3; must be a finite factor"):
        imported_factor("own_parts:halving", {"factor": -1.0}, total_steps=10)(3)
