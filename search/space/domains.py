"""The values a hyperparameter can take: ranges of numbers and choices, and the tree that they stand in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

from search.errors import KeyPath
from search.text import cut, shown

Kind = Literal["uniform", "loguniform", "quniform", "randint", "lograndint", "choice"]
DOMAIN_NAMES: tuple[Kind, ...] = ("uniform", "loguniform", "quniform", "randint", "lograndint", "choice")
Confidence = Literal["low", "medium", "high"]
CONFIDENCES: tuple[Confidence, ...] = ("low", "medium", "high")


@dataclass(frozen=True)
class Prior:
    """What somebody believes of a domain before the search."""

    value: Any
    """Of the range, or the label of an option: what is thought best."""
    confidence: Confidence = "medium"

    def __str__(self) -> str:
        return f"prior {shown(self.value)} ({self.confidence} confidence)"


class Suggester(Protocol):
    """What is needed of an Optuna trial."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class Node:
    """A place in the tree of a space: a domain, a fixed value, or what holds other nodes."""

    path: KeyPath
    """Where it stands in the source."""

    def children(self) -> Iterator[tuple[Node, str]]:
        """The nodes directly below this one, each with the condition under which it is part of a trial."""
        return iter(())

    def walk(self, condition: str = "") -> Iterator[tuple[Node, str]]:
        """This node and all below it in the order of the source, each with the choices it depends on."""
        yield self, condition
        for child, further in self.children():
            yield from child.walk(" and ".join(part for part in (condition, further) if part))

    def domains(self) -> Iterator[tuple[Domain, str]]:
        """The domains of `walk`."""
        return ((node, condition) for node, condition in self.walk() if isinstance(node, Domain))


@dataclass(frozen=True)
class Real(Node):
    """uniform, loguniform or quniform: numbers from low to high, both included."""

    name: str
    path: KeyPath
    kind: Kind
    low: float
    high: float
    """For quniform, the last multiple of the step from low that is not above the given bound."""
    step: float | None = None
    integral: bool = False
    """Low and step of quniform are written as whole numbers, and so are its values."""
    prior: Prior | None = None

    def suggest(self, trial: Suggester) -> float:
        value = trial.suggest_float(
            self.name, self.low, self.high, step=self.step, log=self.kind == "loguniform"
        )
        return self.rounded(value)

    def rounded(self, value: float) -> float:
        """Within the bounds, which exp(log(high)) may exceed; 0.3 of quniform, not 0.30000000000000004."""
        if self.step is None:
            return min(max(float(value), self.low), self.high)
        return self.at(round((value - self.low) / self.step))

    def at(self, index: int) -> float:
        """Value number `index` of quniform: exact in the decimals that are written, and rounded once."""
        value = Fraction(repr(self.low)) + index * Fraction(repr(self.step))
        return int(value) if self.integral else float(value)

    @property
    def bounds(self) -> list[float]:
        return [self.rounded(self.low), self.rounded(self.high)]

    @property
    def inside(self) -> float:
        """A number between the bounds, for quniform the second."""
        return self.low + 0.381966 * (self.high - self.low) if self.step is None else self.at(1)

    def values(self) -> list[float]:
        """All values of quniform."""
        return [self.at(index) for index in range(self.num_values())]

    def num_values(self) -> int:
        """Number of values of quniform."""
        assert self.step is not None
        return round((self.high - self.low) / self.step) + 1

    def contains(self, value: Any) -> bool:
        """Whether this is a value of the range, for quniform also as Optuna computes and records it."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.step is None:
            return self.low <= value <= self.high
        # Optuna's low + index * step is off by the rounding of its largest part, also where the sum is small.
        tolerance = max(1e-8 * self.step, 2 * math.ulp(max(abs(self.low), abs(self.high))))
        inside = self.low <= value <= max(self.high, self.rounded(self.high))
        return inside and abs(self.rounded(value) - value) <= tolerance

    def __str__(self) -> str:
        low, high = self.bounds
        step = "" if self.step is None else f" step {int(self.step) if self.integral else self.step}"
        return f"{self.kind} {low} .. {high}{step}"


@dataclass(frozen=True)
class Integer(Node):
    """randint or lograndint: whole numbers from low to high, both included."""

    name: str
    path: KeyPath
    kind: Kind
    low: int
    high: int
    prior: Prior | None = None

    def suggest(self, trial: Suggester) -> int:
        return trial.suggest_int(self.name, self.low, self.high, log=self.kind == "lograndint")

    def rounded(self, value: float) -> int:
        return int(value)

    @property
    def bounds(self) -> list[int]:
        return [self.low, self.high]

    def values(self) -> list[int]:
        return list(range(self.low, self.high + 1))

    def num_values(self) -> int:
        return self.high - self.low + 1

    def contains(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.kind} {self.low} .. {self.high}"


@dataclass(frozen=True)
class Option:
    """One of a choice: Optuna records its label, the trial gets its node."""

    label: Any
    node: Node

    def __str__(self) -> str:
        return cut(self.label) if isinstance(self.label, str) else shown(self.label)


@dataclass(frozen=True)
class Choice(Node):
    """One of several options; an option may hold domains, which are drawn only when it is chosen."""

    name: str
    path: KeyPath
    options: tuple[Option, ...]
    kind: Kind = "choice"
    prior: Prior | None = None

    @property
    def labels(self) -> list[Any]:
        return [option.label for option in self.options]

    def children(self) -> Iterator[tuple[Node, str]]:
        return ((option.node, f"{self.name} = {option}") for option in self.options)

    def suggest(self, trial: Suggester) -> Any:
        return trial.suggest_categorical(self.name, self.labels)

    def option(self, label: Any) -> Option | None:
        """The option with this label. As in Optuna, equal is equal: 1, 1.0 and true are one label."""
        return next((option for option in self.options if option.label == label), None)

    def contains(self, value: Any) -> bool:
        return self.option(value) is not None

    def __str__(self) -> str:
        # An option that is itself a domain is described as such.
        texts = [f"{o} ({o.node})" if isinstance(o.node, Domain) else str(o) for o in self.options]
        return f"choice {', '.join(texts)}"


@dataclass(frozen=True)
class Fixed(Node):
    """A scalar that is no domain."""

    path: KeyPath
    value: Any


@dataclass(frozen=True)
class Table(Node):
    """A mapping that is no domain."""

    path: KeyPath
    items: tuple[tuple[str, Node], ...]

    def children(self) -> Iterator[tuple[Node, str]]:
        return ((node, "") for _, node in self.items)

    def get(self, key: str) -> Node | None:
        return next((node for name, node in self.items if name == key), None)


@dataclass(frozen=True)
class Items(Node):
    """A list."""

    path: KeyPath
    nodes: tuple[Node, ...]

    def children(self) -> Iterator[tuple[Node, str]]:
        return ((node, "") for node in self.nodes)


@dataclass(frozen=True)
class Broken(Node):
    """A domain with problems in it, so that the rest can still be checked."""

    path: KeyPath


Domain = Real | Integer | Choice
