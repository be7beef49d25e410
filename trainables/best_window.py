"""Which virtual epoch of a trial is its best: the last of its best window, as single reports are noisy."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from trainables.options import Mode


def best_virtual_epoch(values: Sequence[float], mode: Mode, window: int) -> int:
    """The virtual epoch (from 1) whose weights are a trial's best ones; 0 before the first.

    It is the last of the `window` successive virtual epochs with the best mean, the first of equals. What
    is best of many noisy reports is best by luck too, and a mean has less of that: weights in the middle of
    a window may be better than those at its end, but nobody knows them. Up to then, while a trial has fewer
    reports than a window, it is that of the best report.

    Args:
        values: the objective of virtual epochs 1, 2, ….
        mode: whether it is maximized or minimized.
        window: length of the windows; with 1, the best report decides.
    """
    means = window_means(values, window)
    return (
        means.index(max(means) if mode == "max" else min(means)) + len(values) - len(means) + 1
        if means
        else 0
    )


def best_mean(values: Sequence[float], mode: Mode, window: int) -> float:
    """The best mean over a window; the best value where there are too few for one, and at least one."""
    means = window_means(values, window)
    return max(means) if mode == "max" else min(means)


def window_means(values: Sequence[float], window: int) -> Sequence[float]:
    """The mean over each window, or where there are too few values for one, the values themselves."""
    if window == 1 or len(values) < window:
        return values
    return [fmean(values[end - window : end]) for end in range(window, len(values) + 1)]
