"""Functions of a study's records that are kept up to date, for schedulers and samplers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from search.study.trial import TrialRecord

Index = TypeVar("Index")


class Indexes:
    """Functions of a study's records that follow each change instead of being recomputed."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], Index]) -> Index:
        """The index under that key; `make` derives it from all records at the first call."""
        if key not in self._made:
            self._made[key] = make()
        index: Index = self._made[key]
        return index

    def update(self, record: TrialRecord) -> None:
        """The record is new or has changed."""
        for index in self._made.values():
            index.update(record)
