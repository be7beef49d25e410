"""pydantic's errors as plain sentences: the value received as it was written, the rule, the nearest key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from search.config.document import value_at
from search.config.model_fields import known_keys, known_tags
from search.errors import KeyPath
from search.text import nearest, shown, suggestion
from trainables.process.environment import conceal

_RULES = {
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "none_required": "null",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "at least {min_length} long",
    "too_long": "at most {max_length} long",
}
_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a mapping (key: value)",
    "mapping": "a mapping (key: value)",
    "model": "a mapping (key: value)",
    "dataclass": "a mapping (key: value)",
}
_TYPE_ERRORS = ("type", "parsing", "from_float", "parsing_size", "attributes_type")
_ABSENT = object()


@dataclass(frozen=True)
class _Found:
    """One of pydantic's errors, at a path in the tree; `member` is the member of a union that it is about."""

    error: Mapping[str, Any]
    path: KeyPath
    union: KeyPath | None = None
    member: str | int = ""

    @property
    def type(self) -> str:
        return str(self.error["type"])


def explain(
    error: ValidationError, model: type[BaseModel], raw: Any, variables: Mapping[str, str]
) -> list[tuple[KeyPath, str]]:
    """Path and message of everything that pydantic found.

    Args:
        model: what the tree was validated as.
        raw: the tree as written, so that no value of an environment variable is shown.
        variables: those values, which are concealed in the texts of a model's own validators.
    """
    found = [_place(detail, raw) for detail in error.errors(include_url=False)]
    unions: dict[KeyPath, list[_Found]] = {}
    for item in found:
        if item.union is not None:
            unions.setdefault(item.union, []).append(item)
    messages = [_message(item, model, raw, variables) for item in found if item.union is None]
    for group in unions.values():
        messages += _union_messages(group, model, raw, variables)
    return messages


def _place(error: Mapping[str, Any], raw: Any) -> _Found:
    """Walk the tree along the error's location; what is in no tree is the name of a union's member."""
    path: KeyPath = ()
    union: KeyPath | None = None
    member: str | int = ""
    location = error["loc"]
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if value_at(raw, (*path, part), _ABSENT) is not _ABSENT or (last and error["type"] == "missing"):
            path = (*path, part)
        elif union is None:
            union, member = path, part
    return _Found(error, path, union, member)


def _union_messages(
    group: list[_Found], model: type[BaseModel], raw: Any, variables: Mapping[str, str]
) -> list[tuple[KeyPath, str]]:
    """The errors of the member that was most likely meant, or what all members ask for in one sentence."""
    members: dict[str | int, list[_Found]] = {}
    for item in group:
        members.setdefault(item.member, []).append(item)
    meant = [
        items
        for items in members.values()
        if all(item.path != item.union and item.type != "literal_error" for item in items)
    ]
    if len(members) == 1 or meant:
        return [_message(item, model, raw, variables) for item in min(meant or members.values(), key=len)]
    tagged = [item for item in group if item.path != item.union and item.type == "literal_error"]
    same = tagged or [item for item in group if item.path == item.union]
    rules = list(dict.fromkeys(_rule(item.error, variables) for item in same))
    value = value_at(raw, same[0].path)
    hint = _did_you_mean(value, [item.error for item in same])
    return [(same[0].path, f"received {shown(value)}; must be {' or '.join(rules)}{hint}")]


def _message(
    found: _Found, model: type[BaseModel], raw: Any, variables: Mapping[str, str]
) -> tuple[KeyPath, str]:
    error, path = found.error, found.path
    value = value_at(raw, path)
    context = error.get("ctx", {})
    if found.type == "missing":
        return path, "is required and missing"
    if found.type == "extra_forbidden":
        return (
            path,
            f"unknown key {path[-1]!r}; {suggestion(str(path[-1]), known_keys(model, error['loc'][:-1]))}",
        )
    if found.type in ("union_tag_invalid", "union_tag_not_found"):
        return _tag_message(found, model, raw)
    if found.type in ("value_error", "assertion_error"):
        text = conceal(str(context.get("error", error["msg"])), variables)
        return path, text if isinstance(value, dict | list) else f"received {shown(value)}; {text}"
    return path, f"received {shown(value)}; must be {_rule(error, variables)}{_did_you_mean(value, [error])}"


def _tag_message(found: _Found, model: type[BaseModel], raw: Any) -> tuple[KeyPath, str]:
    """About the key that says which member of a union is meant."""
    key = str(found.error["ctx"]["discriminator"]).strip("'")
    tags = known_tags(model, found.error["loc"], key)
    rule = f"one of {', '.join(repr(tag) for tag in tags)}" if tags else "a known name"
    if found.type == "union_tag_not_found":
        return (*found.path, key), f"is required and missing; must be {rule}"
    value = value_at(raw, (*found.path, key))
    close = nearest(str(value), tags)
    hint = f"; did you mean {close!r}?" if close else ""
    return (*found.path, key), f"received {shown(value)}; must be {rule}{hint}"


def _rule(error: Mapping[str, Any], variables: Mapping[str, str]) -> str:
    """What follows `must be`."""
    name = str(error["type"])
    if name in _RULES:
        return _RULES[name].format(**error.get("ctx", {}))
    kind, _, what = name.partition("_")
    if kind in _TYPES and what in _TYPE_ERRORS:
        return _TYPES[kind]
    text = conceal(str(error["msg"]), variables)
    return (
        text.removeprefix("Input should be ") if text.startswith("Input should be ") else f"otherwise: {text}"
    )


def _did_you_mean(value: Any, errors: Sequence[Mapping[str, Any]]) -> str:
    """For a text that is none of the words allowed."""
    words = [
        word
        for error in errors
        if error["type"] in ("literal_error", "enum")
        for word in error["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
    ]
    close = nearest(value, words) if isinstance(value, str) and words else None
    return f"; did you mean {close!r}?" if close else ""
