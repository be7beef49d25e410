"""`${env:NAME}` in a trial's options: kept as written in every file, replaced only where a trial begins."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

REFERENCE = re.compile(r"\$\{env:([^}]*)\}")
"""Group 1 is the variable's name. Reading a configuration uses it too, so both see the same references."""


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


def _value(name: str, variables: Mapping[str, str]) -> str:
    if name not in variables:
        raise KeyError(
            f"the environment variable {name} is not set in this process; ${{env:{name}}} needs it"
        )
    return variables[name]
