"""`${env:NAME}` in a trial's options: kept as written in every file, replaced only where a trial begins."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

REFERENCE = re.compile(r"\$\{env:([^}]*)\}")
"""Group 1 is the variable's name. Reading a configuration uses it too, so both see the same references."""

_LEAST_CHARACTERS, _LEAST_DIGITS = 4, 8
"""Shorter values, and shorter whole numbers, are no secrets: they stand by chance in much that is printed."""

_replaced: dict[str, str] = {}
"""Every variable that was replaced in this process, with its value."""


def expand(tree: Any, variables: Mapping[str, str] = os.environ) -> Any:
    """The tree with every `${env:NAME}` inside its strings replaced.

    Raises:
        KeyError: a variable is not set; its text names it.
    """
    if isinstance(tree, str):
        return REFERENCE.sub(lambda match: _value(match.group(1), variables), tree)
    if isinstance(tree, Mapping):
        return {key: expand(value, variables) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [expand(value, variables) for value in tree]
    return tree


def remember(variables: Mapping[str, str]) -> None:
    """These values must not be shown from now on, see `conceal`."""
    _replaced.update(variables)


def conceal(text: str, variables: Mapping[str, str] | None = None) -> str:
    """The text with each value of these variables (all replaced in this process) as `${env:NAME}` again."""
    hidden = _replaced if variables is None else variables
    names = {form: name for name, value in hidden.items() if _may_be_secret(value) for form in _forms(value)}
    if not names:
        return text
    # The longest first, for one value may be a part of another.
    values = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.sub(values, lambda found: f"${{env:{names[found[0]]}}}", text)


class Concealing:
    """A text stream that conceals what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(conceal(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def conceal_output() -> None:
    """Have all that this process prints from now on concealed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, Concealing):
            setattr(sys, name, Concealing(stream))


def _may_be_secret(value: str) -> bool:
    return len(value) >= (_LEAST_DIGITS if value.isdigit() else _LEAST_CHARACTERS)


def _forms(value: str) -> set[str]:
    """The value as such, and as it stands inside a literal of Python or JSON."""
    return {value, repr(value)[1:-1], json.dumps(value)[1:-1]}


def _value(name: str, variables: Mapping[str, str]) -> str:
    if name not in variables:
        raise KeyError(
            f"the environment variable {name} is not set in this process; ${{env:{name}}} needs it"
        )
    remember({name: variables[name]})
    return variables[name]
