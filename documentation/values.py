"""How the nodes of the JSON Schema are told: what a value may be, its default, the domains in its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from search.space.domains import DOMAIN_NAMES

Node = Mapping[str, Any]

_MANY = 10**15
"""A bound of that size stands for none."""


def target(node: Node) -> str:
    """The name of the definition that a reference names."""
    return str(node["$ref"]).rpartition("/")[2]


def options(node: Node) -> Iterator[Node]:
    """What a value may be, each by itself, without domains."""
    members = node.get("anyOf") or node.get("allOf")
    if members is None:
        if not (node.get("$ref") and _of_domain(target(node))):
            yield node
        return
    for member in members:
        yield from options(member)


def refs(node: Node) -> list[str]:
    """The definitions that a value refers to, in their order, without domains."""
    found: list[str] = []
    for option in options(node):
        if "$ref" in option:
            found.append(target(option))
        for inner in _inner(option):
            found += refs(inner)
    return list(dict.fromkeys(found))


def _inner(option: Node) -> list[Node]:
    """The items of a list, and the values of a mapping."""
    items = option.get("items")
    inside = [items, *(items if isinstance(items, list) else []), option.get("additionalProperties")]
    return [each for each in inside if isinstance(each, dict)]


def type_of(node: Node, link: Callable[[str], str]) -> str:
    """What a value may be, with its rules: `integer, 1 to 8, or none`."""
    told = list(filter(None, dict.fromkeys(_told(option, link) for option in options(node))))
    if len(told) < 3 and not any("," in each for each in told):
        return " or ".join(told) or "any"
    return ", ".join([*told[:-1], f"or {told[-1]}" if len(told) > 1 else told[-1]])


def _told(option: Node, link: Callable[[str], str]) -> str:
    if "$ref" in option:
        return link(target(option))
    if "const" in option:
        return f"`{option['const']}`"
    if "enum" in option:
        return ", ".join(f"`{value}`" for value in option["enum"])
    kind = option.get("type")
    if kind == "null":
        return "none"
    if kind == "array":
        return _list(option, link)
    if kind == "object":
        inner = _inner(option)
        return "mapping" + (f" to {type_of(inner[0], link)}" if inner else "")
    if kind == "string":
        return "text with a colon" if option.get("pattern") == ":" else "text"
    return ", ".join(filter(None, ["yes/no" if kind == "boolean" else kind or "", _bounds(option)]))


def _list(option: Node, link: Callable[[str], str]) -> str:
    items = option.get("items")
    if isinstance(items, list):
        return "[" + ", ".join(type_of(item, link) for item in items) + "]"
    number = option.get("minItems")
    length = f" of {number}" if number and number == option.get("maxItems") else " of"
    return f"list{length}: {type_of(items, link)}" if items else "list"


def _bounds(option: Node) -> str:
    low, high = option.get("minimum"), option.get("maximum")
    above, below = option.get("exclusiveMinimum"), option.get("exclusiveMaximum")
    if option.get("type") == "integer" and above is not None:
        low, above = above + 1, None
    high = None if high is not None and high >= _MANY else high
    if low is not None and high is not None:
        return f"{low:.10g} to {high:.10g}"
    bounds = {"at least": low, "above": above, "at most": high, "below": below}
    return " and ".join(f"{word} {bound:.10g}" for word, bound in bounds.items() if bound is not None)


def domain(node: Node) -> str:
    """Which domains may stand in the place of a value."""
    names = {target(each) for each in node.get("anyOf", ()) if "$ref" in each}
    kinds = {name.removeprefix("auto.") for name in names}
    if "uniform" in kinds:
        return "numbers"
    if "randint" in kinds:
        return "integers"
    return "choice" if any(name.startswith("choice.") for name in names) else "no"


def default(node: Node) -> str:
    """The default as one writes it; that of a section is in the section."""
    if "default" not in node or node["default"] is None:
        return "none" if "default" in node else ""
    value = node["default"]
    if isinstance(value, dict) and value:
        return f"`{value['name']}`" if "name" in value else _source(value)
    return f"`{json.dumps(value, ensure_ascii=False)}`".replace('"', "")


def _source(value: Mapping[str, Any]) -> str:
    return f"`{value['source']}`" if "source" in value else "see there"


def called(node: Node) -> str:
    """What a `name` or `source` is in this definition, for its title."""
    for option in options(node):
        if "const" in option:
            return str(option["const"])
        if option.get("pattern") == ":":
            return "by its path"
    return ""


def _of_domain(name: str) -> bool:
    return name.startswith(("choice.", "auto.")) or name in DOMAIN_NAMES
