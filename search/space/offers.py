"""What another trial, or a recipe, says of the domains of a space: a value each, or why it has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from search.space.domains import Choice, Domain, Fixed, Integer, Items, Node, Real, Table
from search.space.points import option_of
from search.text import cut, shown

SEARCHED = "(searched)"
"""In the place of a `name` that is a domain, so that it is not known yet."""


class Offer(NamedTuple):
    """For one domain."""

    domain: Domain
    value: Any
    """Of the range, or the label of an option; meaningless where there is a reason against it."""
    against: str = ""
    """Why there is no value; empty where there is one."""
    is_known: bool = True
    """Whether the trial has anything at this place, inside of the domain or not."""


class _Lacking(NamedTuple):
    """In the place of a value that the trial does not have."""

    why: str


_NOTHING = _Lacking("it has no such value")
_UNKNOWN = _Lacking("it may be of another, as the name is searched too")


def offers(
    root: Node,
    options: Mapping[str, Any],
    default_names: Mapping[str, str] | None = None,
    own_names: Mapping[str, str] | None = None,
) -> Iterator[Offer]:
    """An offer for each domain, in the order of the source.

    A mapping with another `name` says nothing of what is below it: a learning rate of sgd is none of adamw.

    Args:
        options: the resolved `trial:` of the other trial, or a part of one.
        default_names: of the mappings at these keys at the top, what `name` is where it is not written.
        own_names: the same in the space, if it is another there, as an earlier stage has written it.
    """
    if not isinstance(root, Table):
        return
    names = default_names or {}
    own = names if own_names is None else own_names
    for key, child in root.items:
        given = options.get(key, _NOTHING)
        if key in names and isinstance(given, Mapping):
            given = {"name": names[key], **given}
        yield from _offers(child, given, own.get(key))


def _offers(node: Node, given: Any, default_name: str | None = None) -> Iterator[Offer]:
    if isinstance(given, _Lacking):
        yield from (Offer(domain, None, given.why, is_known=False) for domain, _ in node.domains())
    elif isinstance(node, Choice):
        yield from _of_choice(node, given)
    elif isinstance(node, Real | Integer):
        inside = node.contains(given)
        yield Offer(node, node.rounded(given)) if inside else _outside(node, given)
    elif isinstance(node, Table):
        yield from _of_table(node, given, default_name)
    elif isinstance(node, Items):
        same = isinstance(given, list) and len(given) == len(node.nodes)
        for index, child in enumerate(node.nodes):
            yield from _offers(child, given[index] if same else _other(given))


def _of_choice(node: Choice, given: Any) -> Iterator[Offer]:
    label, found = option_of(node, given)
    yield Offer(node, label) if found else _outside(node, given)
    for option in node.options:
        chosen = found and option.label == label
        yield from _offers(option.node, given if chosen else _other(given))


def _of_table(node: Table, given: Any, default_name: str | None) -> Iterator[Offer]:
    name = node.get("name")
    own = name.value if isinstance(name, Fixed) else default_name if name is None else SEARCHED
    if own == SEARCHED:
        for key, child in node.items:
            lacking = given.get(key, _NOTHING) if isinstance(given, Mapping) and key == "name" else _UNKNOWN
            yield from _offers(child, lacking)
        return
    same = isinstance(given, Mapping) and (own is None or given.get("name", own) == own)
    for key, child in node.items:
        yield from _offers(child, given.get(key, _NOTHING) if same else _other(given))


def _outside(domain: Domain, given: Any) -> Offer:
    return Offer(domain, None, f"{shown(given)} is not in {cut(str(domain))}")


def _other(given: Any) -> _Lacking:
    named = given.get("name", given) if isinstance(given, Mapping) else given
    return _Lacking(f"it has {named if isinstance(named, str) else shown(named)} there")
