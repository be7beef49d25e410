"""How far a search has come, and how long the rest may take."""

from __future__ import annotations

from search.run.coordinator import Coordinator


def share_done(search: Coordinator) -> float:
    """Rough share of the search that is done, from 0 to 1, by whichever limit is nearest to it."""
    shares = [_trained_share(search)]
    if search.budget.seconds is not None:
        shares.append(search.elapsed_seconds / search.budget.seconds)
    if search.budget.steps is not None:
        shares.append(search.steps / search.budget.steps)
    # A rule may take more than expected; the search is not over while a trial is being trained.
    return min(0.99 if search.running else 1.0, max(shares))


def seconds_left(search: Coordinator) -> float | None:
    """Rough time to the end at the pace so far; None while nothing can be said."""
    share = share_done(search)
    left = search.elapsed_seconds * (1 / share - 1) if share > 0.02 else None
    if search.budget.seconds is None:
        return left
    until_limit = max(0.0, search.budget.seconds - search.elapsed_seconds)
    return until_limit if left is None else min(left, until_limit)


def _trained_share(search: Coordinator) -> float:
    """Virtual epochs trained, of those that are expected; an ended trial counts as one of full length."""
    records, limits = search.study.records, search.budget
    lengths = next((r.lengths for r in records if r.lengths is not None), None)
    expected = search.scheduler.expected_virtual_epochs(limits.trials, limits.max_virtual_epochs, lengths)
    if expected is not None:
        return sum(r.depth for r in records) / max(1, expected)
    full = limits.max_virtual_epochs
    trained = sum(full if r.outcome and not r.resumable else r.depth for r in records)
    return trained / max(1, full * limits.trials)
