"""`batch_size: auto` in a configuration: where it stands, and the number that takes its place."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from search.config.document import Document
from search.errors import ConfigError, KeyPath, Problem
from search.space.parse import PRIOR, domain_name, is_domain
from search.text import value_at

AUTO = "auto"


@dataclass(frozen=True)
class AutoBatch:
    """A configuration that asks for the largest batch that fits."""

    document: Document = field(repr=False)
    paths: tuple[KeyPath, ...]
    """Where `auto` stands."""

    def with_size(self, size: int) -> Document:
        """The document with a number in these places.

        Raises:
            ConfigError: a range begins where the number ends it, or above.
        """
        message = (
            f"the largest batch that fits is {size}, and the range begins at {{}}; let it begin lower, or "
        )
        too_high = [
            Problem.of(path[:-2], message.format(low) + "give a trial more memory")
            for path in self.paths
            if (low := self._low(path)) is not None and size <= low
        ]
        if too_high:
            raise ConfigError(self.document.located(too_high))
        tree = copy.deepcopy(self.document.tree)
        for path in self.paths:
            value_at(tree, path[:-1])[path[-1]] = size
        return replace(self.document, tree=tree)

    def stand_in(self) -> Document:
        """The document with numbers that are right wherever `auto` may stand, to check all else with."""
        return self.with_size(max((self._least(path) for path in self.paths), default=0) + 1)

    def as_written(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems of a stand-in, with `auto` for the number that was put in its place."""
        standing = value_at(self.stand_in().tree, self.paths[0])
        ranges = {path[:-2] for path in self.paths if self._low(path) is not None}
        ranges |= {(*path, PRIOR) for path in ranges}
        return [
            replace(p, message=re.sub(rf"(, |\.\. ){standing}\b", rf"\g<1>{AUTO}", p.message))
            if p.at in ranges
            else p
            for p in problems
        ]

    def _least(self, path: KeyPath) -> int:
        """What a bound must not be below: the lower bound, and the prior between them."""
        prior = value_at(self.document.tree, (*path[:-2], PRIOR))
        low = self._low(path)
        return max(low, prior) if low is not None and isinstance(prior, int) else low or 0

    def _low(self, path: KeyPath) -> int | None:
        """The lower bound of the range that `auto` bounds; None where it is no bound."""
        parent = value_at(self.document.tree, path[:-1])
        in_range = isinstance(parent, list) and path[-2] != "choice" and path[-1] == 1
        return parent[0] if in_range and isinstance(parent[0], int) else None


def auto_batch(document: Document) -> AutoBatch | None:
    """Where a document asks for the largest batch that fits; None where it does not."""
    places: list[KeyPath] = [("trial", "batch_size")]
    stages = document.tree.get("stages")
    if isinstance(stages, list):
        places += [("stages", number, "trial", "batch_size") for number in range(len(stages))]
    paths = [path for place in places for path in _autos(value_at(document.tree, place), place)]
    return AutoBatch(document, tuple(paths)) if paths else None


def _autos(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if value == AUTO:
        yield path
    elif is_domain(value):
        kind = domain_name(value)
        arguments = value[kind]
        if value.get(PRIOR) == AUTO and isinstance(arguments, list) and AUTO in arguments:
            yield (*path, PRIOR)
        for index, item in enumerate(arguments if isinstance(arguments, list) else []):
            # As a lower bound it would be an error, which is reported as such.
            if kind == "choice" or index == 1:
                yield from _autos(item, (*path, kind, index))
