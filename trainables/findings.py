"""Problems of data, and the error that reports one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning"]
"""An error makes training impossible; a warning is for a person to look at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One way in which data can be wrong."""

    name: str
    """A few words, such as `empty file`."""
    severity: Severity
    remedy: str
    """The remedy."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem found."""

    kind: Kind
    where: str
    """The file, or the sample."""
    message: str
    """The value found and the rule; may be empty if the kind says it all."""


class SampleError(ValueError):
    """A sample that cannot be used; `finding` is the same for a list of all problems."""

    finding: Finding | None = None


class ChangedFileError(ValueError):
    """A file that was written while a search reads it: whatever is trained on it is of other data."""

    SIGN = "was written while the search ran"

    def __init__(self, file: object) -> None:
        super().__init__(
            f"{file}: {self.SIGN}, so trials would see different data; the same command again says what has "
            "changed"
        )


def sample_error(kind: Kind, where: object, message: str, way_out: str = "") -> SampleError:
    """The error `<where>: <message>; <way_out>`.

    Args:
        where: a file, or what names the sample.
        way_out: added to the message of the error; a finding has the remedy of its kind instead.
    """
    error = SampleError(f"{where}: {message}" + (f"; {way_out}" if way_out else ""))
    error.finding = Finding(kind, str(where), message)
    return error


def short_name(where: str, root: Path | None) -> str:
    """A file's path below the folder of the data."""
    return where if root is None else where.removeprefix(f"{root}/")


_VOWELS = (*"AEIOaeio", "Un", "un", "nd")


def a_type(value: object) -> str:
    """The type of a value with its article: `a Tensor`, `an int`."""
    name = type(value).__name__
    return f"{'an' if name.startswith(_VOWELS) else 'a'} {name}"


SHOWN = 10
"""Names or problems that one message lists."""


def some(names: Iterable[str], shown: int = SHOWN, separator: str = ", ") -> str:
    """The first `shown` names, and the number of the rest."""
    listed = list(names)
    more = f"{separator}and {len(listed) - shown} more" if len(listed) > shown else ""
    return separator.join(listed[:shown]) + more
