"""Numbers as people write them: which texts are numbers, and what is said of texts that nearly are."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond this are infinite in the model's own type."""

_NEARLY_ALL = 0.9
"""Share of the texts of a column that must be numbers in another notation for it to be proposed."""
_WITH_UNIT = re.compile(r"([^\w\s.,+-]{0,3}) ?[+-]?\d[\d.,' ]*?( ?[^\W\d_]{1,5}| ?[^\w\s]{1,3})?")
_NEGATIVE = re.compile(r"\([\d.,' ]*\d\)|[\d.,' ]*\d-")
"""Negative numbers as in accounts: (1.5) and 1.5-."""
_HEXADECIMAL = re.compile(r"0[xX][\da-fA-F]+")
_DATE = re.compile(r"\d{1,4}([-./])\d{1,2}\1\d{1,4}(?:[T ]\d{1,2}:\d\d.*)?|\d{1,2}:\d\d(?::\d\d.*)?")
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-", "\u2019": "'"})
"""No-break, narrow and thin spaces, the minus sign and the apostrophe of typesetting."""


@dataclass(frozen=True)
class Notation:
    """How numbers are written: 1234.5 by default, 1.234,5 with a decimal comma and points at thousands."""

    decimal: str = "."
    thousands: str = ""

    def number(self, text: str) -> float | None:
        """The number that a text is; None where it is none, or one that is not finite."""
        if not text.isascii():
            text = text.translate(_SPACES)
        if self.thousands and self.thousands in text:
            whole, mark, rest = text.partition(self.decimal)
            if not self._grouped.fullmatch(whole) or self.thousands in rest:
                return None
            text = whole.replace(self.thousands, "") + mark + rest
        if self.decimal != ".":
            if "." in text:
                return None
            text = text.replace(self.decimal, ".")
        # Python reads 1_000 as a number, which no other program does.
        if "_" in text:
            return None
        try:
            number = float(text)
        except ValueError:
            return None
        return number if abs(number) <= LARGEST else None

    @property
    def _grouped(self) -> re.Pattern[str]:
        return re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{re.escape(self.thousands)}\d{{3}})+")

    @property
    def lines(self) -> str:
        """The options that read it."""
        decimal = [f'data.decimal: "{self.decimal}"'] if self.decimal != PLAIN.decimal else []
        thousands = [f'data.thousands: "{self.thousands}"'] if self.thousands else []
        return " and ".join(decimal + thousands)


PLAIN = Notation()

_OTHERS = (
    Notation(","),
    *(Notation(decimal, thousands) for thousands in ",. '" for decimal in ".," if decimal != thousands),
)


def hint(texts: Collection[str], notation: Notation = PLAIN, delimiter: str = "") -> str:
    """What reads texts of which nearly all are numbers for people, but not in this notation; else empty.

    Args:
        delimiter: between the cells of the file; with a comma there, few write decimals with one too.
    """
    different = set(texts)
    others = {text for text in different if notation.number(text) is None}
    if not others:
        return ""
    plain = different - others
    example = _example(others)

    def explained(reads: Callable[[str], object]) -> bool:
        """Whether nearly all texts can be read together with this, and most of those that are in question."""
        unread = sum(not reads(text) for text in others)
        return unread <= (1 - _NEARLY_ALL) * len(different) and 2 * unread < len(others)

    def in_some(text: str) -> bool:
        return any(other.number(text) is not None for other in _OTHERS)

    def in_notation(other: Notation) -> bool:
        unread = [text for text in different if other.number(text) is None]
        if any(text in plain or in_some(text) for text in unread):
            return False
        return explained(lambda text: other.number(text) is not None)

    proposed = [other for other in _OTHERS if other != notation and in_notation(other)]
    # With points at thousands, what has none is read too: the simplest that reads all is meant.
    simple = [other for other in proposed if other.decimal == "." or not other.thousands] or proposed[:1]
    simple = [other for other in simple if other.decimal != delimiter] or simple
    if simple:
        lines = " or ".join(other.lines for other in simple)
        return f"it holds numbers such as {example}: {lines} reads them"
    if explained(in_some):
        examples = f"{example} and {_example(plain)}" if plain else example
        return f"it holds numbers in two notations, such as {examples}: write them in one"
    if explained(_NEGATIVE.fullmatch):
        return f"it holds negative numbers such as {example}: write them as -1.5"
    if explained(_HEXADECIMAL.fullmatch):
        return f"it holds hexadecimal numbers such as {example}: write them as decimal ones"
    matches = [match for text in others if (match := _WITH_UNIT.fullmatch(text.translate(_SPACES)))]
    units = {(match[1], (match[2] or "").strip()) for match in matches}
    if (
        explained(lambda text: _WITH_UNIT.fullmatch(text.translate(_SPACES)))
        and len(units) == 1
        and any(*units)
    ):
        return f"it holds numbers with a unit, such as {example}: write them without it"
    return ""


def _example(texts: Collection[str]) -> str:
    """The one with most digits, quoted."""
    return repr(max(texts, key=lambda text: (sum(map(str.isdigit, text)), text)))


def are_dates(texts: Collection[str]) -> bool:
    """Whether nearly all are dates or times of day."""
    return sum(_DATE.fullmatch(text) is not None for text in texts) >= _NEARLY_ALL * len(texts)
