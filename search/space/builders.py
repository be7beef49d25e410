"""Domains for searches that are written in Python, as the mappings that YAML has in their place.

>>> loguniform(1e-4, 1e-1)
{'loguniform': [0.0001, 0.1]}
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from search.space.domains import Confidence, Kind
from search.space.parse import read_space

DomainMapping = dict[str, Any]
_NO_PRIOR: Any = object()


def uniform(
    low: float, high: float, *, prior: float = _NO_PRIOR, confidence: Confidence | None = None
) -> DomainMapping:
    """Numbers from low to high. `prior` is the one that you think is best, `confidence` how sure you are."""
    return _checked("uniform", [low, high], prior, confidence)


def loguniform(
    low: float, high: float, *, prior: float = _NO_PRIOR, confidence: Confidence | None = None
) -> DomainMapping:
    """Numbers from low to high, whose logarithms are uniform; `prior` as for `uniform`."""
    return _checked("loguniform", [low, high], prior, confidence)


def quniform(
    low: float, high: float, step: float, *, prior: float = _NO_PRIOR, confidence: Confidence | None = None
) -> DomainMapping:
    """low, low + step, … up to high; `prior` as for `uniform`."""
    return _checked("quniform", [low, high, step], prior, confidence)


def randint(
    low: int, high: int, *, prior: int = _NO_PRIOR, confidence: Confidence | None = None
) -> DomainMapping:
    """Whole numbers from low to high, both included; `prior` as for `uniform`."""
    return _checked("randint", [low, high], prior, confidence)


def lograndint(
    low: int, high: int, *, prior: int = _NO_PRIOR, confidence: Confidence | None = None
) -> DomainMapping:
    """Whole numbers from low to high, both included, whose logarithms are uniform; `prior` as for others."""
    return _checked("lograndint", [low, high], prior, confidence)


def choice(
    options: Iterable[Any], *, prior: Any = _NO_PRIOR, confidence: Confidence | None = None
) -> DomainMapping:
    """One of these: numbers, texts, or mappings and lists, which may hold domains of their own.

    `prior` is the option that you think is best, of mappings the name.
    """
    if isinstance(options, str):
        raise ValueError(f"choice received the text {options!r}; must be a list of options")
    # Checked with the whole: an option may be any of Python's values.
    return {"choice": list(options)} | _beside(prior, confidence)


def _beside(prior: Any, confidence: Confidence | None) -> DomainMapping:
    given = {} if prior is _NO_PRIOR else {"prior": _plain(prior)}
    return given if confidence is None else {**given, "confidence": confidence}


def _plain(value: Any) -> Any:
    """A number of Python for one of NumPy."""
    return value.item() if hasattr(value, "item") else value


def _checked(kind: Kind, arguments: list[Any], prior: Any, confidence: Confidence | None) -> DomainMapping:
    """The domain, or its problem where it is written.

    Raises:
        ValueError: it is none, or the prior is none of it.
    """
    beside = _beside(prior, confidence)
    domain: DomainMapping = {kind: [_plain(value) for value in arguments]} | beside
    _, problems = read_space({"x": domain}, base=())
    if problems:
        written = [*map(repr, arguments), *(f"{key}={value!r}" for key, value in beside.items())]
        where = problems[0].path.removeprefix("x").removeprefix(".")
        raise ValueError(
            f"{kind}({', '.join(written)}): {f'{where}: ' if where else ''}{problems[0].message}"
        )
    return domain
