"""Several objectives: which trials no other one beats in all of them, and an order of the others."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from search.config.schema import Objective
from search.study.trial import BROKEN_OFF, TrialRecord, as_loss
from trainables.options import MEASURED

Losses = tuple[float, ...]
"""The objectives of a trial in their order, each as a number to minimize."""


def objectives_at(
    record: TrialRecord, objectives: Sequence[Objective], virtual_epochs: int | None = None
) -> dict[str, float]:
    """The objectives of a trial with a value, of its first so many virtual epochs (default: all).

    Those of the virtual epoch that is best by the first objective: its checkpoint is the one that is kept,
    so all of them are of one model.
    """
    values = record.values[:virtual_epochs]
    best = values.index(max(values) if objectives[0].mode == "max" else min(values))
    found = {objectives[0].metric: values[best]}
    for objective in objectives[1:]:
        # What an older run did not measure or report counts as the worst.
        worst = math.inf if objective.mode == "min" else -math.inf
        known = record.measured if objective.metric in MEASURED else record.others[best]
        found[objective.metric] = known.get(objective.metric, worst)
    return found


def losses_of(
    record: TrialRecord, objectives: Sequence[Objective], virtual_epochs: int | None = None
) -> Losses:
    """`objectives_at` as numbers to minimize."""
    found = objectives_at(record, objectives, virtual_epochs)
    return tuple(as_loss(found[objective.metric], objective.mode) for objective in objectives)


def front_of(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> list[TrialRecord]:
    """The trials that no other beats in one objective without being worse in another (Pareto's front).

    Those that diverged or failed are left out, and those of other data. The best by the first objective comes
    first.
    """
    counted = [r for r in records if r.values and r.outcome not in BROKEN_OFF and not r.of_other_data]
    losses = [losses_of(record, objectives) for record in counted]
    unbeaten = non_dominated(losses)
    of_front = sorted(
        (loss, r.number, r) for loss, r, is_in in zip(losses, counted, unbeaten, strict=True) if is_in
    )
    return [record for *_, record in of_front]


def best_first(losses: Sequence[Losses]) -> list[int]:
    """The positions of these from the best to the worst, as NSGA-II compares them.

    By non-dominated rank, then by crowding distance, the most lonely first (Deb et al., IEEE Transactions on
    Evolutionary Computation 6(2), 2002), then by position.
    """
    ranks = non_dominated_ranks(losses)
    by_rank: dict[int, list[int]] = {}
    for position, rank in enumerate(ranks):
        by_rank.setdefault(rank, []).append(position)
    found: list[int] = []
    for rank in sorted(by_rank):
        members = by_rank[rank]
        distances = crowding_distances([losses[position] for position in members])
        found += [p for _, p in sorted((-d, p) for d, p in zip(distances, members, strict=True))]
    return found


def non_dominated(losses: Sequence[Losses]) -> list[bool]:
    """Whether no other beats each: those of rank 0, without the ranks of the others."""
    if losses and len(losses[0]) == 2:
        return [rank == 0 for rank in _ranks_of_two(losses)]
    found = [False] * len(losses)
    front = np.empty((0, len(losses[0]) if losses else 0))
    # None that comes later in this order beats one before it, and what is beaten is so by one of the front.
    for position in sorted(range(len(losses)), key=lambda position: losses[position]):
        own = np.array(losses[position], dtype=float)
        if not ((front <= own).all(1) & (front < own).any(1)).any():
            found[position], front = True, np.vstack([front, own])
    return found


def non_dominated_ranks(losses: Sequence[Losses]) -> list[int]:
    """The front of each: 0 if no other beats it, 1 if only those of front 0 do, …"""
    if not losses:
        return []
    return _ranks_of_two(losses) if len(losses[0]) == 2 else _ranks_by_peeling(losses)


def crowding_distances(losses: Sequence[Losses]) -> list[float]:
    """For each of one front the distance of its two neighbours, summed over the objectives.

    Each objective is divided by its range over the front; the ends of one are infinitely lonely.
    """
    distances = [0.0] * len(losses)
    for objective in range(len(losses[0]) if losses else 0):
        order = sorted(range(len(losses)), key=lambda position: (losses[position][objective], position))
        values = [losses[position][objective] for position in order]
        span = values[-1] - values[0]
        distances[order[0]] = distances[order[-1]] = math.inf
        if not 0 < span < math.inf:
            continue
        for before, position, after in zip(values, order[1:-1], values[2:], strict=False):
            distances[position] += (after - before) / span
    return distances


def _ranks_of_two(losses: Sequence[Losses]) -> list[int]:
    """In n log n: by the first objective, each joins the first front whose best second objective is worse."""
    ranks = [0] * len(losses)
    best_second: list[float] = []
    before: tuple[Losses, int] | None = None
    for position in sorted(range(len(losses)), key=lambda position: losses[position]):
        loss = losses[position]
        if before is not None and loss == before[0]:
            rank = before[1]
        else:
            rank = bisect_right(best_second, loss[1])
            best_second[rank : rank + 1] = [loss[1]]
        ranks[position], before = rank, (loss, rank)
    return ranks


def _ranks_by_peeling(losses: Sequence[Losses]) -> list[int]:
    values, ranks = np.array(losses, dtype=float), np.full(len(losses), -1)
    left, rank = np.arange(len(losses)), 0
    while len(left):
        here = values[left]
        dominated = np.array(
            [bool(((here <= own).all(1) & (here < own).any(1)).any()) for own in here], dtype=bool
        )
        ranks[left[~dominated]] = rank
        left, rank = left[dominated], rank + 1
    return [int(rank) for rank in ranks]
