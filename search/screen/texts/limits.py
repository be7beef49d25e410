"""The trials over a limit, on the last screen."""

from __future__ import annotations

from collections.abc import Mapping

_MOST = 3
"""Number of trials over a limit that are listed."""


def over_limit_lines(over_limit: Mapping[str, str]) -> list[str]:
    """By how much each was over it, by its number."""
    shown = list(over_limit.items())[:_MOST]
    lines = ["over the limit, not trained:", *(f"  {number}  {reason}" for number, reason in shown)]
    more = len(over_limit) - _MOST
    return [*lines, f"  and {more} more, see summary.json"] if more > 0 else lines
