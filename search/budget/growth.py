"""What a search has spent of each limit of compute by its journal, and limits with which it goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping

from search.config.config import Config
from search.config.sections.budget import COMPUTE
from search.study.spent import SearchSpent


def spent_of_limits(spent: SearchSpent, config: Config) -> dict[str, float]:
    """What is spent, by the key of each limit of compute in `budget:`, in the units of the key.

    As the search itself counts it, see `search.budget.limits`: a virtual epoch in which a trial diverged or
    failed counts as one.
    """
    of_trials, length = spent.of_trials, config.virtual_epoch
    broken_off, gpus = of_trials.broken_off, config.resources.gpus_per_trial
    steps = max((lengths.end_step(1) for lengths in spent.lengths), default=0)
    steps = length.count if length.unit == "steps" else steps
    samples = max((lengths.samples_at(1) for lengths in spent.lengths), default=0)
    count, seconds = of_trials.virtual_epochs, of_trials.ms / 1000
    mean = seconds / count if count else 0.0
    return {
        "full_trainings": (count + broken_off) / config.budget.max_virtual_epochs,
        "time": spent.seconds,
        "steps": of_trials.steps + broken_off * steps,
        "samples": of_trials.samples + broken_off * samples,
        "gpu_hours": (seconds + broken_off * mean) * gpus / 3600,
    }


def limits_for_more(spent: SearchSpent, config: Config) -> list[str]:
    """Options of `resume` with which a search may take as much again as its limits of compute are now."""
    taken = spent_of_limits(spent, config)
    asked = {key: value for key in COMPUTE if (value := getattr(config.budget, key)) is not None}
    return [
        option
        for key, value in _written(asked, taken).items()
        for option in ("--set", f"budget.{key}={value}")
    ]


def _written(asked: Mapping[str, float], taken: Mapping[str, float]) -> dict[str, str]:
    write = {key: in_minutes if key == "time" else number for key in asked}
    return {key: write[key](taken[key] + value) for key, value in asked.items()}


def number(value: float) -> str:
    """A whole number as it is, another one rounded up, so that what is suggested is allowed."""
    hundredths = math.ceil(round(value * 100, 6))
    whole, rest = divmod(hundredths, 100)
    return f"{whole}.{rest:02d}".rstrip("0") if rest else str(whole)


def in_minutes(seconds: float) -> str:
    """A duration as a configuration has it, rounded up: `2h05m`."""
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m"
