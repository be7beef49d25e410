"""What is derived from the records of a study and follows each change, instead of being made anew."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from search.study.study import TrialRecord


class Index(Protocol):
    """A function of the records."""

    def update(self, record: TrialRecord) -> None:
        """The record is new or has changed."""


AnyIndex = TypeVar("AnyIndex", bound=Index)


class Indexes:
    """The indexes of one study."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Index] = {}

    def get(self, key: Hashable, make: Callable[[], AnyIndex]) -> AnyIndex:
        """The index under that key; `make` derives it from all records when it is first asked for."""
        if key not in self._made:
            self._made[key] = make()
        return cast(AnyIndex, self._made[key])

    def update(self, record: TrialRecord) -> None:
        """The record is new or has changed."""
        for index in self._made.values():
            index.update(record)
