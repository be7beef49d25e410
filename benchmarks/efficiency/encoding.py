"""The space of hyperparameters as a matrix: a column for each domain, each from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.space.domains import Choice, Domain, Items, Node, Real, Table
from search.space.space import Space

INACTIVE = -1.0
"""Stands in the column of a domain whose option was not chosen."""


@dataclass(frozen=True)
class _Column:
    domain: Domain
    parents: tuple[tuple[int, int], ...]
    """Columns of the choices that this domain depends on, each with the option that it needs."""


class SpaceEncoding:
    """Parameters as rows of numbers and back.

    A range is scaled to 0 .. 1, logarithmically where it is drawn so; whole numbers lie in the middle of
    equal parts. A choice is the number of its option, from 0. A column whose option was not chosen holds
    INACTIVE.
    """

    def __init__(self, space: Space) -> None:
        self._columns: list[_Column] = []
        _collect(space.root, (), self._columns)
        sizes = [len(c.domain.options) if isinstance(c.domain, Choice) else 0 for c in self._columns]
        self.num_options = np.asarray(sizes, dtype=np.int64)
        """Options of each column's choice, 0 for a range: int64 [D]."""

    @property
    def num_columns(self) -> int:
        return len(self._columns)

    def groups(self) -> list[tuple[tuple[tuple[int, int], ...], np.ndarray]]:
        """Columns that are always active together, and the options that they need as (column, option).

        A group comes after those of the choices that it depends on.
        """
        places: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for place, column in enumerate(self._columns):
            places.setdefault(column.parents, []).append(place)
        return [(parents, np.asarray(columns)) for parents, columns in places.items()]

    def row(self, params: Mapping[str, Any]) -> np.ndarray:
        """Parameters as numbers: float64 [D]."""
        return self.rows([params])[0]

    def rows(self, trials: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """The parameters of several trials: float64 [N, D]."""
        rows = np.full((len(trials), self.num_columns), INACTIVE)
        for place, column in enumerate(self._columns):
            name, domain = column.domain.name, column.domain
            for row, params in zip(rows, trials, strict=True):
                if name in params:
                    row[place] = _scaled(domain, params[name])
        # Two options may have a parameter of the same name; what was not chosen is not there.
        return self.masked(rows)

    def params(self, row: np.ndarray) -> dict[str, Any]:
        """The parameters of a row [D], without those that are inactive."""
        return {
            column.domain.name: _unscaled(column.domain, float(value))
            for column, value in zip(self._columns, row, strict=True)
            if value != INACTIVE
        }

    def random(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Rows drawn as the space says: float64 [count, D]."""
        return self.from_uniform(rng.random((count, self.num_columns)))

    def from_uniform(self, points: np.ndarray) -> np.ndarray:
        """Rows from points in the unit cube: float64 [N, D]."""
        options = np.floor(points * self.num_options)
        return self.masked(np.where(self.num_options > 0, options, points))

    def neighbours(
        self, row: np.ndarray, rng: np.random.Generator, count: int, *, deviation: float, switch: float
    ) -> np.ndarray:
        """Rows near one: ranges move by a normal step, choices are drawn anew now and then.

        Args:
            row: float64 [D].
            deviation: of the steps, as a share of the range; what would leave the range is reflected.
            switch: probability that a choice is drawn anew.

        Returns:
            float64 [count, D].
        """
        fresh = self.random(rng, count)
        points = np.broadcast_to(row, fresh.shape)
        moved = points + deviation * rng.standard_normal(fresh.shape)
        moved = 1.0 - np.abs(1.0 - np.abs(moved))
        kept = np.where(rng.random(fresh.shape) < switch, fresh, points)
        near = np.where(self.num_options > 0, kept, np.clip(moved, 0.0, 1.0))
        # What becomes active by another option has nothing to be near to.
        unset = (points == INACTIVE) | (near == INACTIVE)
        drawn = self._unmasked(rng, count)
        return self.masked(np.where(unset, drawn, near))

    def masked(self, rows: np.ndarray) -> np.ndarray:
        """The rows with INACTIVE wherever the option that a column needs was not chosen."""
        rows = rows.copy()
        for place, column in enumerate(self._columns):
            for parent, option in column.parents:
                rows[rows[:, parent] != option, place] = INACTIVE
        return rows

    def _unmasked(self, rng: np.random.Generator, count: int) -> np.ndarray:
        points = rng.random((count, self.num_columns))
        return np.where(self.num_options > 0, np.floor(points * self.num_options), points)


def _collect(node: Node, parents: tuple[tuple[int, int], ...], found: list[_Column]) -> None:
    if isinstance(node, Choice):
        found.append(_Column(node, parents))
        place = len(found) - 1
        for number, option in enumerate(node.options):
            _collect(option.node, (*parents, (place, number)), found)
    elif isinstance(node, Table | Items):
        for child in _children(node):
            _collect(child, parents, found)
    elif isinstance(node, Domain):
        found.append(_Column(node, parents))


def _children(node: Table | Items) -> Iterator[Node]:
    if isinstance(node, Table):
        yield from (child for _, child in node.items)
    else:
        yield from node.nodes


def _scaled(domain: Domain, value: Any) -> float:
    if isinstance(domain, Choice):
        return float(domain.labels.index(value))
    low, high = _ends(domain)
    if high == low:
        return 0.5
    return (_transformed(domain, float(value)) - low) / (high - low)


def _unscaled(domain: Domain, value: float) -> Any:
    if isinstance(domain, Choice):
        return domain.labels[int(value)]
    low, high = _ends(domain)
    number = low + value * (high - low)
    if domain.kind.startswith("log"):
        number = math.exp(number)
    if isinstance(domain, Real):
        number = min(max(number, domain.low), domain.high)
        return domain.rounded(number)
    return min(max(round(number), domain.low), domain.high)


def _ends(domain: Domain) -> tuple[float, float]:
    """What 0 and 1 stand for; whole numbers and steps have half a step beyond their bounds."""
    assert not isinstance(domain, Choice)
    half = 0.5 * (domain.step or 0.0) if isinstance(domain, Real) else 0.5
    return _transformed(domain, domain.low - half), _transformed(domain, domain.high + half)


def _transformed(domain: Domain, value: float) -> float:
    return math.log(value) if domain.kind.startswith("log") else value
