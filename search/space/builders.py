"""Domains for searches that are written in Python, as the mappings that YAML has in their place.

>>> loguniform(1e-4, 1e-1)
{'loguniform': [0.0001, 0.1]}
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from search.space.domains import Kind
from search.space.parse import read_space

DomainMapping = dict[str, list[Any]]


def uniform(low: float, high: float) -> DomainMapping:
    """Numbers from low to high."""
    return _checked("uniform", [low, high])


def loguniform(low: float, high: float) -> DomainMapping:
    """Numbers from low to high, whose logarithms are uniform."""
    return _checked("loguniform", [low, high])


def quniform(low: float, high: float, step: float) -> DomainMapping:
    """low, low + step, … up to high."""
    return _checked("quniform", [low, high, step])


def randint(low: int, high: int) -> DomainMapping:
    """Whole numbers from low to high, both included."""
    return _checked("randint", [low, high])


def lograndint(low: int, high: int) -> DomainMapping:
    """Whole numbers from low to high, both included, whose logarithms are uniform."""
    return _checked("lograndint", [low, high])


def choice(options: Iterable[Any]) -> DomainMapping:
    """One of these: numbers, texts, or mappings and lists, which may hold domains of their own."""
    if isinstance(options, str):
        raise ValueError(f"choice received the text {options!r}; must be a list of options")
    return {"choice": list(options)}  # checked with the whole: an option may be any of Python's values


def _checked(kind: Kind, arguments: list[Any]) -> DomainMapping:
    """The domain, or its problem where it is written.

    Raises:
        ValueError: it is none.
    """
    domain: DomainMapping = {kind: [value.item() if hasattr(value, "item") else value for value in arguments]}
    _, problems = read_space({"x": domain}, base=())
    if problems:
        raise ValueError(f"{kind}({', '.join(map(repr, arguments))}): {problems[0].message}")
    return domain
