"""What values over the same seeds say of configurations: a paired test, and the chance of being the best."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtr

RESAMPLES = 10_000
_SEED = 0


def standard_deviation(values: Sequence[float]) -> float | None:
    """That of the sample, with n - 1; None for less than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def p_worse(losses: Sequence[float], best: Sequence[float]) -> float | None:
    """p-value of Student's paired one-sided t-test that `losses` are larger than `best`, seed by seed.

    None for less than two pairs, and for differences without any spread: equal differences of two or three
    values that are rounded, as an accuracy of few samples is, are a coincidence, and the test would take
    them for a certainty.
    """
    differences = np.subtract(losses, best)
    n = len(differences)
    if n < 2:
        return None
    error = float(np.std(differences, ddof=1)) / math.sqrt(n)
    mean = float(np.mean(differences))
    if error <= 1e-12 * max(abs(mean), float(np.max(np.abs([*losses, *best])))):
        return None
    return float(stdtr(n - 1, -mean / error))


def chances(losses: Sequence[Sequence[float]], reference: int) -> list[float]:
    """The chance of each configuration to have the smallest mean loss, by a bootstrap over seeds.

    Seeds are drawn with replacement, the same for all, so that the values stay paired; each configuration is
    compared by its mean difference from the reference over those of the drawn seeds that it has run. A draw
    in which one has no seed is drawn again. Equals share. The random numbers are fixed.

    Args:
        losses: of each configuration, those of the first seeds of the race, at least one; infinity counts as
            worse than any number.
        reference: one that has run all seeds.
    """
    num_seeds = len(losses[reference])
    differences, broken = np.zeros((2, len(losses), num_seeds))
    ran = np.zeros((len(losses), num_seeds), dtype=bool)
    base = np.asarray(losses[reference])
    for place, own in enumerate(losses):
        ran[place, : len(own)] = True
        broken[place, : len(own)] = ~np.isfinite(own)
        both = np.flatnonzero(np.isfinite(own) & np.isfinite(base[: len(own)]))
        differences[place, both] = np.asarray(own)[both] - base[both]
    counts = _draws(num_seeds, ran)
    drawn = counts @ ran.T
    # One broken run more outweighs any difference.
    largest = float(np.max(np.abs(differences)))
    outweighing = num_seeds * (1 + 2 * largest)
    scores = (counts @ differences.T + outweighing * (counts @ broken.T)) / drawn
    winners = scores - scores.min(axis=1, keepdims=True) <= 1e-9 * largest  # equal but for the rounding
    shares: np.ndarray = (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0)
    return [float(share) for share in shares]


def _draws(num_seeds: int, ran: np.ndarray) -> np.ndarray:
    """How often each seed was drawn: [RESAMPLES, num_seeds]; in each row something of every configuration."""
    rng = np.random.default_rng(_SEED)
    found = np.zeros((0, num_seeds), dtype=np.int64)
    while len(found) < RESAMPLES:
        more = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=RESAMPLES)
        found = np.concatenate([found, more[((more @ ran.T) > 0).all(axis=1)]])
    return found[:RESAMPLES]
