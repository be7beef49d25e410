"""What a budget buys, in words and in numbers of trials."""

from __future__ import annotations

import math
from collections.abc import Callable

from search.config.schema import VirtualEpoch
from search.config.sections.budget import Budget
from search.schedulers.base import Scheduler
from search.text import duration
from trainables.data.virtual_epoch import VirtualEpochs

_MOST_TRIALS = 10**6


def budget_text(
    budget: Budget, lengths: VirtualEpochs | None = None, asked: VirtualEpoch | None = None
) -> str:
    """The limits of a search that are given, such as `compute of 10 full trainings: 5,400 steps`.

    Args:
        budget: with the limits.
        lengths: lengths of a typical trial's virtual epochs, for the number of steps.
        asked: the section `virtual_epoch:`, for the time before there is such a trial.
    """
    return " or ".join(text for _, text in _texts(budget, lengths, asked))


def progress_text(
    budget: Budget, lengths: VirtualEpochs | None, asked: VirtualEpoch, share: Callable[[str], float]
) -> str:
    """The limits of compute, each with the share of it that is spent: `…: 5,400 steps; 38 % spent`.

    In one unit from the beginning: where the number of steps depends on the trial, virtual epochs are shown.

    Args:
        budget, lengths, asked: see `budget_text`.
        share: of the limit with that key, from 0 to 1.
    """
    known = None if asked.steps is None else lengths
    texts = [(key, text) for key, text in _texts(budget, known, asked) if key != "trials"]
    return ", ".join(f"{text}; {math.floor(share(key) * 100)} % spent" for key, text in texts)


def _texts(
    budget: Budget, lengths: VirtualEpochs | None, asked: VirtualEpoch | None
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if lengths is None and asked is not None and asked.steps is not None and budget.samples is None:
        lengths = VirtualEpochs(unit="steps", count=asked.steps, step_samples=1, epoch_samples=None)
    if budget.trials is not None:
        found.append(("trials", f"{budget.trials} trials"))
    if budget.full_trainings is not None:
        count = math.floor(budget.full_trainings * budget.max_virtual_epochs + 1e-9)
        long = f"{count:,} virtual epochs" if lengths is None else f"{lengths.end_step(count):,} steps"
        found.append(("full_trainings", f"compute of {_full(budget.full_trainings)}: {long}"))
    for key, unit in (("steps", "steps"), ("samples", "samples")):
        total = getattr(budget, key)
        if total is not None:
            worth = ""
            if lengths is not None:
                length = budget.max_virtual_epochs
                one = lengths.end_step(length) if key == "steps" else lengths.samples_at(length)
                worth = f" (compute of {_full(math.floor(total / one * 10) / 10)})"
            found.append((key, f"{total:,} {unit}{worth}"))
    if budget.time is not None:
        found.append(("time", duration(budget.time)))
    if budget.gpu_hours is not None:
        found.append(("gpu_hours", f"{budget.gpu_hours:g} GPU hours"))
    return found


def _full(count: float) -> str:
    return f"{count:g} full training" + ("" if count == 1 else "s")


def full_trainings(
    budget: Budget, lengths: VirtualEpochs | None, seconds: float, concurrency: int, gpus: float
) -> float:
    """Trainings of full length that the limits of compute are worth; inf if there are none.

    Args:
        budget: with the limits.
        lengths: lengths of a typical trial's virtual epochs.
        seconds: of one virtual epoch; 0 if that is unknown.
        concurrency: trials at a time.
        gpus: of each trial.
    """
    length, found = budget.max_virtual_epochs, [math.inf]
    if budget.full_trainings is not None:
        found.append(budget.full_trainings)
    if budget.steps is not None and lengths is not None:
        found.append(budget.steps / lengths.end_step(length))
    if budget.samples is not None and lengths is not None:
        found.append(budget.samples / lengths.samples_at(length))
    if budget.time is not None and seconds:
        found.append(budget.time * concurrency / (seconds * length))
    if budget.gpu_hours is not None and seconds and gpus:
        found.append(budget.gpu_hours * 3600 / (seconds * gpus * length))
    return min(found)


def expected_trials(
    budget: Budget, scheduler: Scheduler, lengths: VirtualEpochs | None, trainings: float, audit: int = 0
) -> int | None:
    """Number of trials that a search should have; None where that is unknown.

    Args:
        budget: with the number of trials, if it is given.
        scheduler: ends trials early.
        lengths: lengths of a typical trial's virtual epochs.
        trainings: full trainings that the limits of compute are worth.
        audit: number of trials that are let through to full length.
    """
    if math.isinf(trainings):
        return budget.trials
    length = budget.max_virtual_epochs
    # The last training is kept for the best trial; those that are let through take one each.
    total = max(trainings - audit, 1.0) * length
    low, high = 1, max(1, (budget.trials or _MOST_TRIALS) - audit)
    if scheduler.expected_virtual_epochs(1, length, lengths) is None:
        return None
    while low < high:
        middle = (low + high + 1) // 2
        expected = scheduler.expected_virtual_epochs(middle, length, lengths)
        low, high = (middle, high) if expected is not None and expected <= total else (low, middle - 1)
    return low + audit
