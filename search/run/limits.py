"""Where a search ends, and how long a virtual epoch may take."""

from __future__ import annotations

from search.config.schema import Budget

_SLOWEST_TIMES, _SHORTEST_TIMEOUT, _FIRST_TIMEOUT = 10.0, 300.0, 3600.0


def limit_reached(budget: Budget, *, seconds: float, steps: int) -> str | None:
    """Which limit ends a search that has taken so many seconds and optimizer steps; None while none does."""
    if budget.seconds is not None and seconds >= budget.seconds:
        return "time limit"
    return "step limit" if budget.steps is not None and steps >= budget.steps else None


def timeout_after(given: float | None, slowest: float | None) -> float:
    """Seconds that a virtual epoch may take: as given, or ten times what the slowest one took so far."""
    if given is not None:
        return given
    return _FIRST_TIMEOUT if slowest is None else max(_SHORTEST_TIMEOUT, _SLOWEST_TIMES * slowest)
