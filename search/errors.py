"""The errors that users see: one line of cause, or one line per problem."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the top of a configuration to a value."""


class SearchError(Exception):
    """Base of all errors that users see; its text is one line.

    As it stands it is a failure: files, data, the machine or another process are in the way, and once that
    is mended the same command goes on.
    """

    exit_code: int = 1


class RefusedError(SearchError):
    """The command or the configuration asks for what cannot be: the way out is to ask for something else."""

    exit_code = 2


class CutShortError(SearchError):
    """What runs the trials is dead: the search can be resumed, but its process cannot go on."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Problem:
    """One problem in a configuration."""

    where: str
    """`configs/seg.yaml:14`, `--set trial.x=1`, or `config` for values that come from Python."""
    path: str
    """Dotted, such as `trial.optimizer.lr`; empty for the whole document."""
    message: str
    """The value received, the rule, and the way out."""
    at: KeyPath | None = field(default=None, compare=False, repr=False)
    """Path in the document, from which `Document.located` finds `where`; None where that is known already."""

    @classmethod
    def of(cls, at: KeyPath, message: str, name: KeyPath | None = None) -> Problem:
        """A problem at a path of the document, its line yet unknown; `name` is shown (default: `at`)."""
        return cls("config", ".".join(map(str, at if name is None else name)), message, at)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.message) if part)


class ConfigError(RefusedError):
    """All problems of a configuration, in the order of its lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: list[Problem] = sorted(dict.fromkeys(problems), key=_line)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def _line(problem: Problem) -> tuple[bool, int]:
    """Lines of the file in order, then what has no line."""
    found = re.search(r":(\d+)$", problem.where)
    from_file = found is not None and not problem.where.startswith("--set ")
    return (not from_file, int(found.group(1)) if found and from_file else 0)
