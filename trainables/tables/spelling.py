"""Texts that are one for people and two for a program."""

from __future__ import annotations

from collections.abc import Iterable

from trainables.tables.numbers import PLAIN

_EXACT = 15
"""Digits up to which different numbers are different as float64."""


def folded(text: str, *, letters: bool = False) -> object:
    """Equal for `Cat` and `cat`, for 1 and 1.0; for single letters of another case only with `letters`."""
    number = PLAIN.number(text) if len(text) <= _EXACT else None
    if number is not None:
        return number
    return text if len(text) == 1 and not letters else " ".join(text.lower().split())


def in_two_ways(texts: Iterable[str]) -> tuple[str, str] | None:
    """The first two texts that are one for people."""
    first: dict[object, str] = {}
    for text in texts:
        other = first.setdefault(folded(text), text)
        if other != text:
            return other, text
    return None
