"""Texts that are one for people and two for a program."""

from __future__ import annotations

import re
from collections.abc import Iterable

from trainables.text_file import plain_form, visible

_NUMBER = re.compile(r"([+-]?)0*(\d+?)(?:\.0*|(\.\d*?)0*)?")
"""Its sign, and its digits without zeros that mean nothing."""
_BOOLEANS = {"true": "1", "false": "0"}


def folded(text: str, *, letters: bool = False) -> object:
    """Equal for `Cat` and `cat`, for 1, 1.0 and True; for `a` and `A` only with `letters`."""
    text = _BOOLEANS.get(text.lower(), text)
    if number := _NUMBER.fullmatch(text):
        return ("-" if number[1] == "-" else ""), number[2], number[3] or ""
    return text if len(text) == 1 and not letters else " ".join(plain_form(text).split())


def quoted(text: str) -> str:
    """A text as it is told apart from one that looks the same: accents of their own are escaped."""
    return f"'{visible(text, forms=True)}'"


def in_two_ways(texts: Iterable[str]) -> tuple[str, str] | None:
    """The first two texts that are one for people."""
    first: dict[object, str] = {}
    for text in texts:
        other = first.setdefault(folded(text), text)
        if other != text:
            return other, text
    return None
