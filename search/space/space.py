"""The space of hyperparameters under `trial:`: drawn from, resolved, enumerated and described."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from search.errors import ConfigError, KeyPath, Problem, SearchError
from search.space.domains import Choice, Domain, Fixed, Integer, Items, Node, Real, Suggester, Table
from search.space.points import read_point
from search.space.priors import log_density, prior_point, priors_of
from search.text import shown

MAX_GRID = 10_000


@dataclass(frozen=True)
class Resolved:
    """The configuration of one trial: every domain replaced by a value."""

    options: dict[str, Any]
    """The task's options, `${env:NAME}` in data paths as written, see `trainables.options.expand_paths`."""
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
class Space:
    """A tree of fixed values and domains. Immutable; what is drawn comes from what is passed in."""

    root: Node
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

    def params_of(self, partial: Mapping[str, Any], *, base: KeyPath = ()) -> dict[str, Any]:
        """Parameters for Optuna's `enqueue_trial` from a point written like a trial or with dotted names.

        `{optimizer: {name: adamw, lr: 1e-3}}`, `{optimizer.lr: 1e-3}` and `{optimizer.adamw.lr: 1e-3}` are
        equal; parameters left out are drawn. `base` is where the point stands in its document.

        Raises:
            ConfigError: unknown keys, values outside their domain, or other than a fixed one.
        """
        params, problems, _ = read_point(self.root, partial)
        if problems:
            raise ConfigError(Problem.of((*base, *path), message) for path, message in problems)
        return params

    def grid(self) -> list[dict[str, Any]]:
        """The parameters of every combination, the most probable by the priors first.

        Those of an option are there only together with that option. Without priors, as in equal cases, the
        order is that of the source.

        Raises:
            ConfigError: a range has no end of values, or there are more than MAX_GRID combinations.
        """
        domains = [domain for domain, _ in self.root.domains()]
        endless = [domain for domain in domains if isinstance(domain, Real) and not domain.step]
        if endless:
            message = "has no end of values, and a grid needs a finite number; use quniform or choice"
            raise ConfigError(_problem(domain, f"{domain} {message}") for domain in endless)
        size = _grid_size(self.root)
        if size > MAX_GRID:
            largest = max(domains, key=_num_values)
            message = (
                f"the grid has {size} points, and {MAX_GRID} are allowed; use quniform or choice with fewer"
            )
            raise ConfigError([_problem(largest, f"{message} values, here {_num_values(largest)}")])
        priors = priors_of(self.root)

        def improbability(point: Mapping[str, Any]) -> float:
            return -sum(log_density(domain, point[name]) for name, domain in priors.items() if name in point)

        return sorted(_grid(self.root), key=improbability)

    def candidates(self) -> Iterator[Resolved]:
        """Few trials that together have every option of every choice and both bounds of every range.

        Each differs from the first in one parameter and what depends on it, so their number grows with the
        number of options, not of combinations.
        """
        return map(self.resolve, _variants(self.root))

    def inner(self) -> Iterator[Resolved]:
        """The candidates with a number inside of each range: its bounds may be whole where others are not."""
        ranges = {domain.name: domain for domain, _ in self.root.domains() if isinstance(domain, Real)}
        inside = {name: domain.inside for name, domain in ranges.items()}
        for params in _variants(self.root):
            yield self.resolve({name: inside.get(name, value) for name, value in params.items()})

    @cached_property
    def prior_point(self) -> dict[str, Any]:
        """The mode of the priors: what is thought best, of the parameters that have one."""
        return prior_point(self.root)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of the source."""
        return tuple(domain.name for domain, _ in self.root.domains())

    def describe(self) -> list[str]:
        """`optimizer.adamw.lr: loguniform 0.0001 .. 0.1 (if optimizer = adamw)` for each parameter."""
        return [
            f"{domain.name}: {domain}"
            + (f", {domain.prior}" if domain.prior else "")
            + (f" (if {condition})" if condition else "")
            for domain, condition in self.root.domains()
        ] or ["nothing is searched"]

    def _build(self, choose: Callable[[Domain], Any]) -> Resolved:
        params: dict[str, Any] = {}
        origin: dict[KeyPath, KeyPath] = {}
        options = _resolve(self.root, (), choose, params, origin)
        return Resolved(options, params, origin)


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
    if not isinstance(node, Domain):
        return None  # a domain with a problem
    value = params[node.name] = choose(node)
    if not isinstance(node, Choice):
        return value
    option = node.option(value)
    assert option is not None
    return _resolve(option.node, at, choose, params, origin)


def _problem(domain: Domain, message: str) -> Problem:
    return Problem.of(domain.path, message, ("trial", domain.name))


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
    groups = [_variants(child) for child, _ in node.children()]
    variants = [_merged(group[0] for group in groups)]
    for index, group in enumerate(groups):
        others = [other[0] for number, other in enumerate(groups) if number != index]
        variants += [_merged([*others, variant]) for variant in group[1:]]
    return variants


def _num_values(domain: Domain) -> int:
    return len(domain.options) if isinstance(domain, Choice) else domain.num_values()


def _grid_size(node: Node) -> int:
    if isinstance(node, Choice):
        return sum(_grid_size(option.node) for option in node.options)
    if isinstance(node, Real | Integer):
        return _num_values(node)
    return math.prod(_grid_size(child) for child, _ in node.children())


def _grid(node: Node) -> Iterator[dict[str, Any]]:
    if isinstance(node, Choice):
        for option in node.options:
            yield from ({node.name: option.label, **params} for params in _grid(option.node))
    elif isinstance(node, Real | Integer):
        yield from ({node.name: value} for value in node.values())
    else:
        for parts in itertools.product(*(list(_grid(child)) for child, _ in node.children())):
            yield _merged(parts)


def _merged(parts: Any) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}
