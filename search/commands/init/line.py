"""One line of a configuration that is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A key with its value as YAML, at some depth, and why."""

    text: str
    why: str = ""
    depth: int = 0
