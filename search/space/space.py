"""The space of hyperparameters under `trial:`: drawn from, resolved, enumerated and described."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from search.config.document import substitute
from search.errors import ConfigError, KeyPath, Problem, SearchError
from search.space.domains import (
    Broken,
    Choice,
    Domain,
    Fixed,
    Integer,
    Items,
    Node,
    Option,
    Real,
    Suggester,
    Table,
)
from search.space.parse import SpaceReader
from search.space.points import read_point
from search.text import dotted, shown

MAX_GRID = 10_000

Locate = Callable[[KeyPath], str]
"""Where in the source a path stands, such as `configs/seg.yaml:14`."""


def _config(_: KeyPath) -> str:
    return "config"


@dataclass(frozen=True)
class Resolved:
    """The configuration of one trial: every domain replaced by a value."""

    tree: dict[str, Any] = field(repr=False)
    """What the task gets, `${env:NAME}` replaced."""
    raw: dict[str, Any]
    """The same with `${env:NAME}` kept, for messages and files."""
    params: dict[str, Any]
    """Parameter name to value, as Optuna records them."""
    origin: dict[KeyPath, KeyPath] = field(repr=False)
    """Path in the resolved tree to path in the source."""

    def source(self, path: KeyPath) -> KeyPath:
        """Where the value at this path, or the nearest above it, was written."""
        while path not in self.origin:
            path = path[:-1]
        return self.origin[path]


@dataclass(frozen=True)
class Parameter:
    """One line of the plan."""

    name: str
    kind: str
    description: str
    """Such as `loguniform 0.0001 .. 0.1`."""
    condition: str = ""
    """Such as `optimizer = adamw`; empty where the parameter is always drawn."""

    def __str__(self) -> str:
        return f"{self.name}: {self.description}" + (f" (if {self.condition})" if self.condition else "")


@dataclass(frozen=True)
class Space:
    """A tree of fixed values and domains. Immutable; what is drawn comes from what is passed in."""

    root: Node
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values of the environment variables that the tree names."""
    locate: Locate = field(default=_config, repr=False, compare=False)
    source: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The tree as written, from which `parse_space` makes this space again."""

    def suggest(self, trial: Suggester) -> Resolved:
        """Draw the parameters of one trial, those of an option only where it was chosen."""
        return self._build(lambda domain: domain.suggest(trial))

    def resolve(self, params: Mapping[str, Any]) -> Resolved:
        """The configuration that these recorded parameters stand for.

        Raises:
            SearchError: a parameter is missing, or a choice has no such option.
        """

        def recorded(domain: Domain) -> Any:
            if domain.name not in params:
                raise SearchError(f"the recorded parameters lack {domain.name!r} ({domain})")
            value = params[domain.name]
            if isinstance(domain, Choice):
                if not domain.contains(value):
                    raise SearchError(f"recorded {domain.name} is {shown(value)}, which is not in {domain}")
                return value
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise SearchError(f"recorded {domain.name} is {shown(value)}; must be a number, {domain}")
            return domain.rounded(value)

        return self._build(recorded)

    def params_of(
        self, partial: Mapping[str, Any], *, base: KeyPath = (), locate: Locate | None = None
    ) -> dict[str, Any]:
        """Parameters for Optuna's `enqueue_trial` from a point written like a trial or with dotted names.

        `{optimizer: {name: adamw, lr: 1e-3}}`, `{optimizer.lr: 1e-3}` and `{optimizer.adamw.lr: 1e-3}` all
        do; what is left out is drawn. `base` is where the point stands in its document.

        Raises:
            ConfigError: unknown keys, values outside their domain, or other than a fixed one.
        """
        params, mistakes, _ = read_point(self.root, partial)
        where = locate or self.locate
        problems = [
            Problem(where((*base, *path)), dotted((*base, *path)), message) for path, message in mistakes
        ]
        if problems:
            raise ConfigError(problems)
        return params

    def grid(self) -> list[dict[str, Any]]:
        """The parameters of every combination; those of an option only together with that option.

        Raises:
            ConfigError: a range has no end of values, or there are more than MAX_GRID combinations.
        """
        endless = [
            domain for domain, _ in domains_of(self.root) if isinstance(domain, Real) and not domain.step
        ]
        if endless:
            message = "has no end of values, and a grid needs a finite number; use quniform or choice"
            raise ConfigError(self._problem(domain, f"{domain} {message}") for domain in endless)
        size = _grid_size(self.root)
        if size > MAX_GRID:
            largest = max((domain for domain, _ in domains_of(self.root)), key=_num_values)
            message = (
                f"the grid has {size} points, and {MAX_GRID} are allowed; use quniform or choice with fewer"
            )
            raise ConfigError([self._problem(largest, f"{message} values, here {_num_values(largest)}")])
        return list(_grid(self.root))

    def candidates(self) -> Iterator[Resolved]:
        """Few trials that together have every option of every choice and both bounds of every range.

        Each differs in one parameter, and in what depends on it, from the first; so their number grows with
        the number of options, not with that of combinations.
        """
        for params in _variants(self.root):
            yield self.resolve(params)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of every parameter, in the order of the source."""
        return tuple(domain.name for domain, _ in domains_of(self.root))

    def parameters(self) -> list[Parameter]:
        """Every parameter, in the order of the source."""
        return [
            Parameter(domain.name, domain.kind, str(domain), condition)
            for domain, condition in domains_of(self.root)
        ]

    def describe(self) -> str:
        """One line for each parameter."""
        return "\n".join(str(parameter) for parameter in self.parameters()) or "nothing is searched"

    def _build(self, choose: Callable[[Domain], Any]) -> Resolved:
        params: dict[str, Any] = {}
        origin: dict[KeyPath, KeyPath] = {}
        raw = _resolve(self.root, (), choose, params, origin)
        return Resolved(substitute(raw, self.variables), raw, params, origin)

    def _problem(self, domain: Domain, message: str) -> Problem:
        return Problem(self.locate(domain.path), dotted(("trial", domain.name)), message)


def read_space(
    tree: Mapping[str, Any],
    *,
    base: KeyPath = ("trial",),
    locate: Locate = _config,
    variables: Mapping[str, str] | None = None,
) -> tuple[Space, list[Problem], list[KeyPath]]:
    """The space, what is wrong in it, and the paths in the source where the mistakes are.

    A domain with a mistake becomes null, so that the rest can be checked.
    """
    problems: list[Problem] = []
    broken: list[KeyPath] = []

    def report(path: KeyPath, name: str, message: str) -> None:
        problems.append(
            Problem(locate(path), ".".join(part for part in (dotted(base), name) if part), message)
        )
        broken.append(path)

    root = SpaceReader(report).read(dict(tree), base, ())
    return Space(root, dict(variables or {}), locate, dict(tree)), problems, broken


def parse_space(
    tree: Mapping[str, Any],
    *,
    base: KeyPath = ("trial",),
    locate: Locate = _config,
    variables: Mapping[str, str] | None = None,
) -> Space:
    """The space that a `trial:` mapping describes.

    Args:
        tree: plain values, with `${env:NAME}` as written.
        base: where the mapping stands in its document.
        locate: where in the source a path stands, for messages.
        variables: values for `${env:NAME}`.

    Raises:
        ConfigError: with everything that is wrong.
    """
    space, problems, _ = read_space(tree, base=base, locate=locate, variables=variables)
    if problems:
        raise ConfigError(problems)
    return space


def _resolve(
    node: Node,
    at: KeyPath,
    choose: Callable[[Domain], Any],
    params: dict[str, Any],
    origin: dict[KeyPath, KeyPath],
) -> Any:
    """The value of a node, filling `params` and `origin` on the way."""
    origin[at] = node.path
    if isinstance(node, Table):
        return {key: _resolve(item, (*at, key), choose, params, origin) for key, item in node.items}
    if isinstance(node, Items):
        return [_resolve(item, (*at, i), choose, params, origin) for i, item in enumerate(node.nodes)]
    if isinstance(node, Fixed):
        return node.value
    if isinstance(node, Broken):
        return None
    value = params[node.name] = choose(node)
    if not isinstance(node, Choice):
        return value
    option = node.option(value)
    if option is None:
        raise AssertionError(f"{node.name} has no option {value!r}")
    return _resolve(option.node, at, choose, params, origin)


def _children(node: Node) -> list[Node]:
    if isinstance(node, Table):
        return [child for _, child in node.items]
    return list(node.nodes) if isinstance(node, Items) else []


def domains_of(node: Node, condition: str = "") -> Iterator[tuple[Domain, str]]:
    """All domains under a node, each with the choices that it depends on."""
    for child in _children(node):
        yield from domains_of(child, condition)
    if isinstance(node, Real | Integer | Choice):
        yield node, condition
    if isinstance(node, Choice):
        for option in node.options:
            yield from domains_of(option.node, _and(condition, node, option))


def _and(condition: str, choice: Choice, option: Option) -> str:
    return " and ".join(part for part in (condition, f"{choice.name} = {option}") if part)


def _variants(node: Node) -> list[dict[str, Any]]:
    """Parameters that enter every option and both bounds of every range; the first is the baseline."""
    if isinstance(node, Choice):
        return [
            {node.name: option.label, **params}
            for option in node.options
            for params in _variants(option.node)
        ]
    if isinstance(node, Real | Integer):
        return [{node.name: bound} for bound in node.bounds]
    groups = [_variants(child) for child in _children(node)]
    variants = [_merged(group[0] for group in groups)]
    for index, group in enumerate(groups):
        others = [other[0] for number, other in enumerate(groups) if number != index]
        variants += [_merged([*others, variant]) for variant in group[1:]]
    return variants


def _num_values(domain: Domain) -> int:
    return len(domain.options) if isinstance(domain, Choice) else domain.num_values() or 0


def _grid_size(node: Node) -> int:
    if isinstance(node, Choice):
        return sum(_grid_size(option.node) for option in node.options)
    if isinstance(node, Real | Integer):
        return _num_values(node)
    return math.prod(_grid_size(child) for child in _children(node))


def _grid(node: Node) -> Iterator[dict[str, Any]]:
    if isinstance(node, Choice):
        for option in node.options:
            yield from ({node.name: option.label, **params} for params in _grid(option.node))
    elif isinstance(node, Real | Integer):
        yield from ({node.name: value} for value in node.values() or [])
    else:
        for parts in itertools.product(*(list(_grid(child)) for child in _children(node))):
            yield _merged(parts)


def _merged(parts: Any) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}
