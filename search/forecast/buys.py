"""What a budget buys, by many simulated searches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from search.budget.words import budget_text, full_trainings
from search.config.config import Config
from search.config.sections.budget import COMPUTE, Budget
from search.forecast.costs import Costs
from search.forecast.simulated_run import Simulated, simulate
from search.run.before.forecasted import Bought, Range
from search.schedulers.build import build_scheduler

_LARGEST = 2000
"""Virtual epochs of a search above which a smaller one is simulated, whose numbers are scaled up."""
_FEWEST, _MOST = 5, 40
OTHER_BUDGETS = (0.5, 2.0, 4.0)


def buys(
    config: Config, costs: Costs, concurrency: int, *, factor: float = 1.0, seconds: float = 6.0
) -> Bought:
    """What the budget of a configuration buys, or one that is `factor` times as large.

    Args:
        config: of the search.
        costs: what its trials take.
        concurrency: trials at a time.
        factor: of each limit.
        seconds: after which no further search is simulated, once there are five.
    """
    budget = scaled(config.budget, factor)
    whole = config.model_copy(update={"budget": budget})
    part = min(1.0, _LARGEST / _upper_bound(whole, costs, concurrency))
    smaller = scaled(budget, part)
    part = _share(budget, smaller)
    asked = config.model_copy(update={"budget": smaller})
    found: list[Simulated] = []
    began = time.perf_counter()
    while len(found) < _FEWEST or (len(found) < _MOST and time.perf_counter() - began < seconds):
        found.append(simulate(asked, costs, concurrency, len(found)))
    length, start = config.budget.max_virtual_epochs, costs.process_start
    # What is kept does not grow with the search, but for trials that wait to be promoted.
    peak_part = part if build_scheduler(config).pauses else 1.0

    def of(number: Callable[[Simulated], float]) -> Range:
        return range_of([number(each) for each in found])

    def rest(each: Simulated) -> float:
        return costs.fixed_bytes + each.other_bytes / part

    return Bought(
        budget=budget_text(budget, costs.trials[0].lengths),
        factor=factor,
        seconds=of(lambda each: (each.seconds - start) / part + start),
        trials=of(lambda each: round(each.trials / part)),
        full_trainings=of(lambda each: each.virtual_epochs / part / length),
        fully_trained=of(lambda each: each.fully_trained / part),
        disk_bytes=of(lambda each: each.kept_bytes + rest(each)),
        peak_bytes=of(lambda each: each.peak_bytes / peak_part + rest(each)),
        searches=len(found),
    )


def scaled(budget: Budget, factor: float) -> Budget:
    """The budget with each of its limits multiplied; counts are rounded, and none falls below 1."""
    limits = {key: value * factor for key in COMPUTE if (value := getattr(budget, key)) is not None}
    for key in ("steps", "samples"):
        if key in limits:
            limits[key] = max(1, round(limits[key]))
    if "full_trainings" in limits:
        limits["full_trainings"] = max(1.0, limits["full_trainings"])
    if budget.trials is not None:
        limits["trials"] = max(1, round(budget.trials * factor))
    return budget.model_copy(update=limits)


def _share(whole: Budget, part: Budget) -> float:
    """What share of a budget another one is, whose counts are rounded."""
    keys = [key for key in ("trials", *COMPUTE) if getattr(whole, key) is not None]
    return max(getattr(part, key) / getattr(whole, key) for key in keys)


def _upper_bound(config: Config, costs: Costs, concurrency: int) -> float:
    """Virtual epochs that the search has at most, more or less."""
    budget, length = config.budget, config.budget.max_virtual_epochs
    quickest = min(min(cost.seconds) for cost in costs.trials)
    lengths = costs.trials[0].lengths
    trainings = full_trainings(budget, lengths, quickest, concurrency, config.resources.gpus_per_trial)
    # One over the limit takes nothing of these, and is simulated all the same.
    found = [trainings * length / (1 - costs.share_over_limit)]
    if budget.trials is not None:
        expected = build_scheduler(config).expected_virtual_epochs(budget.trials, length, lengths)
        found.append(budget.trials * length if expected is None else 2 * expected)
    return max(1.0, min(found))


def range_of(numbers: Sequence[float]) -> Range:
    """The 10th, 50th and 90th percentile."""
    ordered = sorted(numbers)

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (place - below) * (ordered[above] - ordered[below])

    return Range(at(0.1), at(0.5), at(0.9))
