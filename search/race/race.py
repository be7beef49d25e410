"""A race of configurations over seeds: what is run next and who has left, from the runs so far alone.

Rounds of one seed each, the same seed for all. After each round from the second on, who is worse than the
leader by a paired test leaves, as in F-Race (Birattari et al., GECCO 2002; López-Ibáñez et al., irace, 2016).
F-Race tests ranks with Friedman's test first; with the few configurations and seeds here, pairs are compared
by Student's t-test at once, which irace offers too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from search.race.statistics import p_worse

FIRST_TEST = 2
"""Rounds before the first test."""
Runs = Mapping[tuple[int, int], float]
"""The loss of each run that has ended, by candidate and seed; infinity for one without a verdict of its own:
it failed or diverged."""


@dataclass(frozen=True)
class Exit:
    """How a candidate has left the race."""

    after: int
    """Rounds."""
    p: float | None
    """Of the paired test against the leader; None where more of its runs were broken off."""


@dataclass(frozen=True)
class Race:
    """The state of a race."""

    pending: tuple[tuple[int, int], ...]
    """Candidate and seed of each run that may begin or go on now, in order; empty at the end of the race."""
    losses: tuple[tuple[float, ...], ...]
    """Of each candidate, in the order of the seeds."""
    exits: Mapping[int, Exit]
    leader: int
    """The best so far of those that have not left."""
    rounds: int
    """Rounds that are complete."""

    @property
    def is_over(self) -> bool:
        return not self.pending


def race_of(num_candidates: int, seeds: Sequence[int], runs: Runs, *, error: float) -> Race:
    """The race after these runs, a pure function of them: a restart goes on with the same.

    The last who is left runs all seeds: the race is to say what its seeds are worth, too.

    Args:
        num_candidates: the best one of the search first, which leads among equals.
        seeds: in the order of the rounds.
        runs: those of other candidates or seeds are not looked at.
        error: chance that one as good as the leader leaves after a round, all candidates together
            (Bonferroni's correction); not corrected for the number of rounds, as in F-Race.
    """
    here = list(range(num_candidates))
    losses: list[list[float]] = [[] for _ in here]
    exits: dict[int, Exit] = {}
    leader = 0
    for number, seed in enumerate(seeds, 1):
        pending = _missing(here, [seed], runs)
        if pending:
            # No test comes before the end of the second round, so that both can be run at once.
            both = seeds[:FIRST_TEST] if number < FIRST_TEST else [seed]
            return Race(_missing(here, both, runs), _frozen(losses), exits, leader, number - 1)
        for candidate in here:
            losses[candidate].append(runs[candidate, seed])
        leader = min(here, key=lambda candidate: (*_score(losses[candidate]), candidate))
        if number >= FIRST_TEST:
            left = {
                c: left for c in here if (left := _exit(losses[c], losses[leader], error, num_candidates))
            }
            exits |= left
            here = [candidate for candidate in here if candidate not in left]
    return Race((), _frozen(losses), exits, leader, len(seeds))


def _missing(here: Sequence[int], seeds: Sequence[int], runs: Runs) -> tuple[tuple[int, int], ...]:
    return tuple((candidate, seed) for seed in seeds for candidate in here if (candidate, seed) not in runs)


def _frozen(losses: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(own) for own in losses)


def _score(losses: Sequence[float]) -> tuple[int, float]:
    """Runs that were broken off, which count as the worst, and the mean of the others."""
    whole = [loss for loss in losses if math.isfinite(loss)]
    return len(losses) - len(whole), fmean(whole) if whole else math.inf


def _exit(own: Sequence[float], best: Sequence[float], error: float, num_candidates: int) -> Exit | None:
    """How a candidate leaves after the last of these losses; None if it stays."""
    if own is best:
        return None
    if _score(own)[0] > _score(best)[0]:
        return Exit(len(own), None)
    pairs = [pair for pair in zip(own, best, strict=True) if all(map(math.isfinite, pair))]
    p = p_worse([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    return Exit(len(own), p) if p is not None and p < error / (num_candidates - 1) else None
