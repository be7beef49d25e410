"""Where a search ends, and how long a virtual epoch may take."""

from __future__ import annotations

from dataclasses import dataclass

_SLOWEST_TIMES, _SHORTEST_TIMEOUT, _FIRST_TIMEOUT = 10.0, 300.0, 3600.0


@dataclass(frozen=True)
class Limits:
    """Where a search ends; None is no limit."""

    trials: int
    virtual_epochs: int
    """of one trial"""
    seconds: float | None = None
    steps: int | None = None
    """optimizer steps of all trials together"""
    plateau_trials: int | None = None
    """trials in which the best objective must have become better"""
    plateau_min_delta: float = 0.0
    """by more than this"""
    max_failures: int = 2
    """attempts beyond the first that a failing trial gets"""
    max_failed_trials: int = 5
    """trials failed with the same cause, with none that comes further, after which the search gives up"""
    timeout: float | None = None
    """seconds of one virtual epoch; None is ten times the slowest one so far"""

    def timeout_after(self, slowest: float | None) -> float:
        """Seconds that a virtual epoch may take, where `slowest` is what the slowest one took so far."""
        if self.timeout is not None:
            return self.timeout
        return _FIRST_TIMEOUT if slowest is None else max(_SHORTEST_TIMEOUT, _SLOWEST_TIMES * slowest)
