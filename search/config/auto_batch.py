"""`batch_size: auto` in a configuration: where it stands, and the number that takes its place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from search.config.document import Document, value_at
from search.errors import ConfigError, KeyPath
from search.space.parse import is_domain

AUTO = "auto"


@dataclass(frozen=True)
class AutoBatch:
    """A configuration that asks for the largest batch that fits."""

    document: Document = field(repr=False)
    paths: tuple[KeyPath, ...]
    """Where `auto` stands."""

    def with_size(self, size: int) -> Document:
        """The document with a number in these places."""
        raw, tree = copy.deepcopy(self.document.raw), copy.deepcopy(self.document.tree)
        for path in self.paths:
            for values in (raw, tree):
                value_at(values, path[:-1])[path[-1]] = size
        return replace(self.document, raw=raw, tree=tree)

    def stand_in(self) -> Document:
        """The document with numbers that are right wherever `auto` may stand, to check all else with."""
        lows = [low for path in self.paths if isinstance(low := self._low(path), int)]
        return self.with_size(max(lows, default=0) + 1)

    def too_small(self, size: int) -> ConfigError | None:
        """The mistake in a range that begins where the largest batch ends."""
        problems = [
            self.document.problem(
                path[:-2],
                f"the largest batch that fits is {size}, and the range begins at {self._low(path)}; "
                "let it begin lower, or give a trial more memory",
            )
            for path in self.paths
            if isinstance(low := self._low(path), int) and size <= low
        ]
        return ConfigError(problems) if problems else None

    def _low(self, path: KeyPath) -> Any:
        """The lower bound of the range that `auto` bounds; None where it is no bound."""
        parent = value_at(self.document.raw, path[:-1])
        in_range = isinstance(parent, list) and path[-2] != "choice" and path[-1] == 1
        return parent[0] if in_range else None


def auto_batch(document: Document) -> AutoBatch | None:
    """Where a document asks for the largest batch that fits; None where it does not."""
    places: list[KeyPath] = [("trial", "batch_size")]
    stages = document.raw.get("stages")
    if isinstance(stages, list):
        places += [("stages", number, "trial", "batch_size") for number in range(len(stages))]
    paths = [path for place in places for path in _autos(document.raw_value(place), place)]
    return AutoBatch(document, tuple(paths)) if paths else None


def _autos(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if value == AUTO:
        yield path
    elif is_domain(value):
        ((kind, arguments),) = value.items()
        for index, item in enumerate(arguments if isinstance(arguments, list) else []):
            # As a lower bound it would be a mistake, which is told as such.
            if kind == "choice" or index == 1:
                yield from _autos(item, (*path, kind, index))
