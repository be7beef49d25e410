"""New values for a trial that goes on from another one: PBT's explore step, parameter by parameter."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import Any

from search.space.domains import Choice, Domain, Integer
from search.space.space import Space


def explored(
    space: Space,
    params: Mapping[str, Any],
    changing: Collection[str],
    *,
    resample: float,
    perturb: Sequence[float],
    rng: Random,
) -> dict[str, Any]:
    """The parameters with each of those that may change drawn anew or perturbed, within its domain.

    As in section 3 of Jaderberg et al. (arXiv:1711.09846), and in Ray Tune: a number is multiplied by one of
    the factors, and a choice moves to one of its neighbours.

    Args:
        space: with the domains.
        params: of the trial that is gone on from.
        changing: names of the parameters that may change.
        resample: probability with which each is drawn from its domain instead.
        perturb: the factors, each as probable as the others.
        rng: drawn from in the order of the space.
    """
    new = dict(params)
    for domain, _ in space.root.domains():
        if domain.name in changing and domain.name in params:
            again = rng.random() < resample
            value = params[domain.name]
            new[domain.name] = _drawn(domain, rng) if again else _moved(domain, value, rng, perturb)
    return new


def _drawn(domain: Domain, rng: Random) -> Any:
    """A value of the domain, each as probable as in a random search."""
    if isinstance(domain, Choice):
        return rng.choice(domain.labels)
    if isinstance(domain, Integer):
        if domain.kind == "lograndint":
            return min(
                domain.high, int(math.exp(rng.uniform(math.log(domain.low), math.log(domain.high + 1))))
            )
        return rng.randint(domain.low, domain.high)
    if domain.step is not None:
        return domain.at(rng.randrange(domain.num_values()))
    if domain.kind == "loguniform":
        return domain.rounded(math.exp(rng.uniform(math.log(domain.low), math.log(domain.high))))
    return domain.rounded(rng.uniform(domain.low, domain.high))


def _moved(domain: Domain, value: Any, rng: Random, perturb: Sequence[float]) -> Any:
    if isinstance(domain, Choice):
        index = domain.labels.index(value) + rng.choice((-1, 1))
        return domain.labels[min(max(index, 0), len(domain.labels) - 1)]
    factor = rng.choice(list(perturb))
    low, high = domain.bounds
    moved = min(max(value * factor, low), high)
    if isinstance(domain, Integer):
        return _by_one_at_least(value, round(moved), low, high, factor)
    if domain.step is None:
        return domain.rounded(moved)
    before, last = round((value - domain.low) / domain.step), domain.num_values() - 1
    return domain.at(_by_one_at_least(before, round((moved - domain.low) / domain.step), 0, last, factor))


def _by_one_at_least(before: int, after: int, low: float, high: float, factor: float) -> int:
    """Rounding must not keep a small whole number where it is for ever."""
    if after == before:
        after += (factor > 1) - (factor < 1)
    return int(min(max(after, low), high))
