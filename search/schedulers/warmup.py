"""How long all learning rates rise: ranks before that say little of those at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search.config.config import Config
from search.config.schema import Asha, AshaStop, Hyperband
from search.schedulers.base import Rungs, Scheduler


def shortest_warmup(config: Config) -> float:
    """Virtual epochs for which the learning rate of every trial rises, by `trial.lr_schedule.warmup`.

    0 where some trial has none, or where its steps in virtual epochs are not known beforehand. The rise of
    one_cycle without a `warmup` does not count: it is a third of the training.
    """
    warmups = (_warmup(config, trial.options) for trial in config.space.candidates())
    return min(warmups, default=0.0)


def first_bracket(config: Config, rungs: Rungs) -> int:
    """How many rungs lie within the warm-up of all trials, which do not pause there; two rungs stay."""
    warmup, length = shortest_warmup(config), config.budget.max_virtual_epochs
    within = rungs.num_below(warmup)
    return max(0, min(within, rungs.num_below(length) - 2))


def early_rung_note(config: Config, scheduler: Scheduler) -> str:
    """Of a first rung within the warm-up all the same, such as one that somebody has set; else empty."""
    asked = config.scheduler
    if not isinstance(asked, Asha | AshaStop | Hyperband) or asked.axis != "virtual_epochs":
        return ""
    rungs, warmup = scheduler.rungs, shortest_warmup(config)
    first = rungs.grace_period * rungs.reduction_factor**scheduler.first_bracket
    if not first < min(warmup, config.budget.max_virtual_epochs):
        return ""
    return (
        f"trials are first compared at virtual epoch {first}, while all learning rates still rise, up to "
        f"{warmup:.3g} (trial.lr_schedule.warmup): ranks there say little of those at the end; "
        "a longer scheduler.grace_period compares them later"
    )


def _warmup(config: Config, options: Mapping[str, Any]) -> float:
    schedule = options.get("lr_schedule")
    warmup = schedule.get("warmup", 0.0) if isinstance(schedule, Mapping) else 0.0
    if not isinstance(warmup, int | float) or warmup <= 0:
        return 0.0
    if warmup < 1:
        return float(warmup) * config.budget.max_virtual_epochs
    unit = config.virtual_epoch
    batch_size = options.get("batch_size")
    if unit.steps is not None:
        return float(warmup) / unit.steps
    if unit.samples is not None and isinstance(batch_size, int):
        return float(warmup) * batch_size * int(options.get("accumulate", 1)) / unit.samples
    return 0.0
