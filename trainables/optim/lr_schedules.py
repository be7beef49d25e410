"""Learning-rate schedules as pure functions of the optimizer step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from trainables.imported import call, import_path

Factor = Callable[[int], float]
"""Step, counted from 0, to the factor of the peak learning rate used in that step."""

ONE_CYCLE_START = 1 / 25
ONE_CYCLE_RISE = 0.3


def schedule_factor(
    name: str, *, total_steps: int, warmup: float = 0.0, final_factor: float = 0.0, power: float = 0.9
) -> Factor:
    """The factor of the peak learning rate for every optimizer step of a trial.

    The peak is reached at the first step after the warm-up and `final_factor` in the last one, step
    total_steps - 1; later steps keep the last value. A warm-up of w steps uses (s + 1) / (w + 1) in step s.

    Args:
        name: constant (ignores `final_factor`), linear, cosine (arXiv:1608.03983 without restarts),
            polynomial (arXiv:1606.00915), or one_cycle (arXiv:1708.07120), which rises linearly from 1/25
            of the peak during the warm-up, or the first 30 % without one, then falls along a cosine.
        total_steps: optimizer steps of the trial's full length, also if it may be stopped before.
        warmup: below 1 a fraction of total_steps, else a number of steps; rounded to whole steps.
        final_factor, power: see `trainables.options.ScheduleOptions`, which has checked all of these.

    Raises:
        ValueError: the warm-up is longer than the trial.
    """
    if warmup >= 1 and round(warmup) >= total_steps:
        raise ValueError(
            f"warmup is {warmup:g} steps of {total_steps}; it must be fewer than the trial's steps: "
            "shorten it, or give it as a fraction below 1"
        )
    rise = _rise_steps(name, total_steps, warmup)
    start = ONE_CYCLE_START if name == "one_cycle" else 1 / (rise + 1)
    fall = _SHAPES[name]
    last = total_steps - 1

    def factor(step: int) -> float:
        step = min(step, last)
        if step < rise:
            return start + (1.0 - start) * step / rise
        if name == "constant":
            return 1.0
        progress = (step - rise) / (last - rise) if last > rise else 1.0
        return final_factor + (1.0 - final_factor) * fall(progress, power)

    return factor


def imported_factor(path: str, arguments: Mapping[str, Any], *, total_steps: int) -> Factor:
    """The factor of the peak learning rate that a class of torch.optim.lr_scheduler or a function gives.

    A class is stepped once for each optimizer step, from a learning rate of 1. A function is called with the
    step, `total_steps` and the arguments.

    Raises:
        ValueError: it cannot be imported or made, needs metrics, or gave no finite number.
    """
    target: Any = import_path(path)
    if isinstance(target, type):
        return _of_scheduler(path, target, arguments)

    def factor(step: int) -> float:
        return _finite(path, step, call(path, arguments, step, total_steps))

    return factor


def _of_scheduler(path: str, target: type, arguments: Mapping[str, Any]) -> Factor:
    if not issubclass(target, LRScheduler) or issubclass(target, ReduceLROnPlateau):
        why = "it needs metrics" if issubclass(target, ReduceLROnPlateau) else "it is no such class"
        raise ValueError(f"{path} must be a class of torch.optim.lr_scheduler that steps alone; {why}")
    optimizer = SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    scheduler = call(path, arguments, optimizer)
    optimizer.step()  # a scheduler warns unless the optimizer has stepped before it
    factors = [optimizer.param_groups[0]["lr"]]

    def factor(step: int) -> float:
        while len(factors) <= step:  # again from the start in a trial that is resumed
            scheduler.step()
            factors.append(optimizer.param_groups[0]["lr"])
        return _finite(path, step, factors[step])

    return factor


def _finite(path: str, step: int, value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{path} gave {value!r} at step {step}; must be a finite factor of the peak")
    return float(value)


def set_lr(optimizer: Optimizer, factor: float) -> None:
    """Set every group's learning rate to its `initial_lr` times `factor`, in place where it is a tensor."""
    for group in optimizer.param_groups:
        lr = float(group["initial_lr"]) * factor
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


_SHAPES: dict[str, Callable[[float, float], float]] = {
    "constant": lambda progress, power: 1.0,
    "linear": lambda progress, power: 1.0 - progress,
    "cosine": lambda progress, power: (1.0 + math.cos(math.pi * progress)) / 2,
    "polynomial": lambda progress, power: (1.0 - progress) ** power,
    "one_cycle": lambda progress, power: (1.0 + math.cos(math.pi * progress)) / 2,
}
"""Factors of the learning rate, from 1 at progress 0 to 0 at progress 1."""


def _rise_steps(name: str, total_steps: int, warmup: float) -> int:
    if name == "one_cycle" and warmup == 0:
        warmup = ONE_CYCLE_RISE
    if warmup < 1:
        return min(round(warmup * total_steps), total_steps - 1)
    return round(warmup)
