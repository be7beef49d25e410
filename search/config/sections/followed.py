"""The value of a trial that its resources follow, and which entry of `resources.where` is about it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from search.text import compact

AT_LEAST = "at least "
"""Begins an entry that is about a number and all above it."""
_NOTHING = object()


def entry_for(options: Mapping[str, Any], name: str, entries: Collection[str]) -> str | None:
    """Which of these entries a trial has: its very option, else the highest `at least` that it reaches.

    Args:
        options: the resolved section `trial:`.
        name: of the parameter that is followed.
        entries: as written.
    """
    value: Any = next(values_of(options, name), _NOTHING)
    if value is _NOTHING:
        return None
    exact = next((entry for entry in entries if is_option(entry, value)), None)
    if exact is not None or not _is_number(value):
        return exact
    reached = [entry for entry in entries if (least := least_of(entry)) is not None and value >= least]
    return max(reached, key=lambda entry: least_of(entry) or -math.inf, default=None)


def values_of(options: Any, name: str) -> Iterator[Any]:
    """The value that a parameter of this name has among a trial's options; nothing where it has none.

    Of a mapping with a name it is that, as for a choice among optimizers. A parameter of an option has its
    name in it, as optimizer.adamw.lr has, and is then found where the option is chosen.
    """
    if not name:
        found = options.get("name", _NOTHING) if isinstance(options, Mapping) else options
        if found is not _NOTHING:
            yield found
    elif isinstance(options, Mapping):
        for key, value in options.items():
            if name == str(key) or name.startswith(f"{key}."):
                yield from values_of(value, name[len(str(key)) + 1 :])
        own = options.get("name")
        if isinstance(own, str) and name.startswith(f"{own}."):
            yield from values_of(options, name[len(own) + 1 :])
    elif isinstance(options, list):
        index, _, rest = name.partition(".")
        if index.isdecimal() and int(index) < len(options):
            yield from values_of(options[int(index)], rest)


def is_option(entry: str, value: Any) -> bool:
    """Whether an entry is this very value, as a number or as it is written."""
    if _is_number(value):
        return _number(entry) == value
    return entry == option_text(value)


def option_text(value: Any) -> str:
    """A value as an entry has it."""
    return value if isinstance(value, str) else compact(value)


def least_of(entry: str) -> float | None:
    """64 of `at least 64`; None of all else."""
    return _number(entry.removeprefix(AT_LEAST)) if entry.startswith(AT_LEAST) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
