"""Priors of a person on domains: a density each, drawn from and compared on a scale from 0 to 1.

A range is scaled to 0 .. 1, logarithmically where it is drawn so; whole numbers and steps are equal parts of
it, with half a step beyond both bounds. The widths are those of PriorBand (Mallik et al., arXiv:2306.12370).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import Any

from search.space.domains import Choice, Confidence, Domain, Integer, Node, Prior, Real

DEVIATIONS: Mapping[Confidence, float] = {"low": 0.5, "medium": 0.25, "high": 0.125}
"""Standard deviation of the Gaussian around a prior, as a share of the range."""
WEIGHTS: Mapping[Confidence, float] = {"low": 2.0, "medium": 4.0, "high": 6.0}
"""How much more probable the option of a prior is than each of the others."""


def priors_of(root: Node) -> dict[str, Domain]:
    """The domains that have a prior, by name."""
    return {domain.name: domain for domain, _ in root.domains() if domain.prior is not None}


def prior_point(root: Node) -> dict[str, Any]:
    """The mode of all priors together, as parameters; others are left out.

    So are those of options that a prior does not choose: no trial of the mode has them, and as a point to
    evaluate it would be another one than the same written by hand.
    """
    return {domain.name: domain.prior.value for domain in _in_mode(root) if domain.prior is not None}


def _in_mode(node: Node) -> Iterator[Domain]:
    """The domains of a trial that has the value of every prior."""
    if isinstance(node, Domain):
        yield node
    if isinstance(node, Choice) and node.prior is not None:
        below = (option.node for option in node.options if option.label == node.prior.value)
    else:
        below = (child for child, _ in node.children())
    for child in below:
        yield from _in_mode(child)


def draw_prior(domain: Domain, place: float) -> Any:
    """The value of a domain with a prior at this place, 0 to 1, of its cumulative distribution."""
    prior = domain.prior
    assert prior is not None
    if isinstance(domain, Choice):
        left = place * (WEIGHTS[prior.confidence] + len(domain.options) - 1)
        for label in domain.labels:
            left -= _weight(label, prior)
            if left < 0:
                return label
        return domain.labels[-1]
    normal, (below, inside) = _gaussian(domain, prior)
    scaled = min(1.0, max(0.0, normal.inv_cdf(below + place * inside)))
    low, high = _ends(domain)
    return _value(domain, low + scaled * (high - low))


def log_density(domain: Domain, value: Any) -> float:
    """Logarithm of a prior's probability of one of finitely many values, or density on the scale 0 to 1."""
    prior = domain.prior
    assert prior is not None
    if isinstance(domain, Choice):
        return math.log(_weight(value, prior) / (WEIGHTS[prior.confidence] + len(domain.options) - 1))
    normal, (_, inside) = _gaussian(domain, prior)
    half = _half_step(domain)
    if half == 0.0:
        return math.log(normal.pdf(_scaled(domain, value)) / inside)
    mass = normal.cdf(_scaled(domain, value + half)) - normal.cdf(_scaled(domain, value - half))
    return math.log(mass / inside) if mass > 0.0 else -math.inf


def _weight(label: Any, prior: Prior) -> float:
    return WEIGHTS[prior.confidence] if label == prior.value else 1.0


def _gaussian(domain: Real | Integer, prior: Prior) -> tuple[NormalDist, tuple[float, float]]:
    """The Gaussian around a prior, and its mass below the range and inside of it."""
    normal = NormalDist(_scaled(domain, prior.value), DEVIATIONS[prior.confidence])
    return normal, (normal.cdf(0.0), normal.cdf(1.0) - normal.cdf(0.0))


def _scaled(domain: Real | Integer, value: float) -> float:
    low, high = _ends(domain)
    return (_transformed(domain, value) - low) / (high - low)


def _ends(domain: Real | Integer) -> tuple[float, float]:
    """What 0 and 1 stand for."""
    half = _half_step(domain)
    return _transformed(domain, domain.low - half), _transformed(domain, domain.high + half)


def _half_step(domain: Real | Integer) -> float:
    return 0.5 if isinstance(domain, Integer) else 0.5 * (domain.step or 0.0)


def _transformed(domain: Real | Integer, value: float) -> float:
    return math.log(value) if domain.kind.startswith("log") else value


def _value(domain: Real | Integer, transformed: float) -> float:
    number = math.exp(transformed) if domain.kind.startswith("log") else transformed
    if isinstance(domain, Integer):
        return min(max(round(number), domain.low), domain.high)
    if domain.step is None:
        return domain.rounded(number)
    return domain.at(min(max(round((number - domain.low) / domain.step), 0), domain.num_values() - 1))
