"""A known good point, written by hand, as parameters of a space."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from search.errors import KeyPath
from search.space.domains import Choice, Fixed, Integer, Items, Node, Option, Real, Table
from search.text import shown, suggestion


class Point(NamedTuple):
    """Parameters by name, and what is wrong with them."""

    params: dict[str, Any]
    problems: list[tuple[KeyPath, str]]
    """Path in what was given, and message."""
    ambiguous: bool = False
    """The only problem is that several options fit."""


def read_point(root: Node, partial: Mapping[str, Any]) -> Point:
    """Match a partial trial, nested or with dotted names, with the tree of a space."""
    by_name = {domain.name: domain for domain, _ in root.domains()}
    # A key may have a dot in itself.
    exact = {key for key, _ in root.items if "." in key} if isinstance(root, Table) else set()
    direct = {
        name: value
        for name, value in partial.items()
        if "." in name and name in by_name and name not in exact
    }
    nested = _nested({name: value for name, value in partial.items() if name not in direct}, exact)
    matches = [_match(by_name[name], value, (name,)) for name, value in direct.items()]
    return _joined([_match(root, nested, ()), *matches])


def option_of(choice: Choice, value: Any) -> tuple[Any, bool]:
    """The label of the option that this value is, as far as it goes, and whether there is one."""
    params = _match_choice(choice, value, ()).params
    return params.get(choice.name), choice.name in params


def _nested(partial: Mapping[str, Any], exact: Collection[str]) -> dict[str, Any]:
    """`{optimizer: adamw, optimizer.lr: 1}` as `{optimizer: {name: adamw, lr: 1}}`; `exact` keys stay."""
    tree: dict[str, Any] = {}
    for name, value in partial.items():
        node = tree
        *parents, last = [name] if name in exact else name.split(".")
        for key in parents:
            below = node.get(key, {})
            node[key] = dict(below) if isinstance(below, Mapping) else {"name": below}
            node = node[key]
        known = node.get(last)
        if isinstance(known, dict):
            node[last] = {**known, **(value if isinstance(value, Mapping) else {"name": value})}
        else:
            node[last] = value
    return tree


def _match(node: Node, value: Any, at: KeyPath) -> Point:
    if isinstance(node, Table):
        return _match_table(node, value, at)
    if isinstance(node, Items):
        return _match_items(node, value, at)
    if isinstance(node, Choice):
        return _match_choice(node, value, at)
    if isinstance(node, Real | Integer):
        if node.contains(value):
            return Point({node.name: node.rounded(value)}, [])
        return _problem(at, f"received {shown(value)}, which is outside of {node}")
    if isinstance(node, Fixed) and node.value != value:
        return _problem(at, f"received {shown(value)}, but the value is fixed at {shown(node.value)}")
    return Point({}, [])


def _match_table(node: Table, value: Any, at: KeyPath) -> Point:
    if not isinstance(value, Mapping):
        return _problem(at, f"received {shown(value)}; must be a mapping (key: value)")
    matches = []
    for key, item in value.items():
        child = node.get(key)
        if child is None:
            known = suggestion(key, [name for name, _ in node.items])
            matches.append(_problem((*at, key), f"unknown key {key!r} in what is searched; {known}"))
        else:
            matches.append(_match(child, item, (*at, key)))
    return _joined(matches)


def _match_items(node: Items, value: Any, at: KeyPath) -> Point:
    size = len(node.nodes)
    if isinstance(value, Mapping):  # from dotted names
        unknown = [key for key in value if not (key.isdecimal() and int(key) < size)]
        if unknown:
            return _problem(
                at, f"received {unknown[0]!r} as the place in a list of {size}; must be 0 to {size - 1}"
            )
        return _joined([_match(node.nodes[int(key)], item, (*at, key)) for key, item in value.items()])
    if not isinstance(value, list | tuple) or len(value) != size:
        return _problem(at, f"received {shown(value)}; must be a list of {size}")
    return _joined([_match(node.nodes[index], item, (*at, index)) for index, item in enumerate(value)])


def _match_choice(choice: Choice, value: Any, at: KeyPath) -> Point:
    """By the options' values, then by label: an option's value may be the label of another one."""
    matches = [(option, _enter(choice, option, value, at)) for option in choice.options]
    # An ambiguous option fits too, so that another is not taken in its place.
    fitting = [(option, match) for option, match in matches if not match.problems or match.ambiguous]
    if len(fitting) == 1:
        return fitting[0][1]
    if fitting:
        labels = ", ".join(str(option) for option, _ in fitting)
        message = f"received {shown(value)}, which fits several options ({labels}); add the name of one"
        return Point({}, [(at, message)], ambiguous=True)
    # A list or mapping equals no label.
    named = choice.option(value.get("name", value) if isinstance(value, Mapping) else value)
    if named is not None and not isinstance(value, Mapping):
        return Point({choice.name: named.label}, [])
    for option, match in matches:
        if option is named or len(matches) == 1:
            return match
    return _problem(at, f"received {shown(value)}, which is outside of {choice}")


def _enter(choice: Choice, option: Option, value: Any, at: KeyPath) -> Point:
    """The value as this option, whose name may be left out, or be given where it has only a label."""
    node = option.node
    if isinstance(node, Table) and isinstance(value, Mapping) and value.get("name") == option.label:
        value = {key: item for key, item in value.items() if key != "name" or node.get(key) is not None}
    match = _match(node, value, at)
    return Point({choice.name: option.label, **match.params}, match.problems, match.ambiguous)


def _joined(points: list[Point]) -> Point:
    params = {name: value for point in points for name, value in point.params.items()}
    problems = [problem for point in points for problem in point.problems]
    ambiguous = bool(problems) and all(point.ambiguous or not point.problems for point in points)
    return Point(params, problems, ambiguous)


def _problem(at: KeyPath, message: str) -> Point:
    return Point({}, [(at, message)])
