"""Which keys a pydantic model knows at a place inside it."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel


def known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Names of the fields at the `loc` of a pydantic error; of every member of a union that may be meant."""
    return list(dict.fromkeys(name for found in _models_at(model, loc) for name in found.model_fields))


def known_tags(model: type[BaseModel], loc: Sequence[str | int], discriminator: str) -> list[str]:
    """Values that tell the members of the union at `loc` apart."""
    tags: dict[str, None] = {}
    for found in _models_at(model, loc):
        if discriminator in found.model_fields:
            tags.update(dict.fromkeys(_literals(found.model_fields[discriminator].annotation)))
    return list(tags)


def _models_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[type[BaseModel]]:
    annotations: list[Any] = [model]
    for part in loc:
        members = [member for annotation in annotations for member in _members(annotation)]
        below = [annotation for member in members for annotation in _below(member, part)]
        # What leads nowhere is the name of a union's member.
        annotations = below or [member for member in members if _is_named(member, part)] or members
    members = [member for annotation in annotations for member in _members(annotation)]
    return [member for member in members if _is_model(member)]


def _members(annotation: Any) -> Iterator[Any]:
    """The annotation without Annotated, and each member of a union."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _below(annotation: Any, part: str | int) -> list[Any]:
    """Annotations of what stands at a key or index of this type."""
    if _is_model(annotation):
        fields = annotation.model_fields
        return [field.annotation for name, field in fields.items() if part in (name, field.alias)]
    arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    if get_origin(annotation) is Literal or not arguments:
        return []
    if isinstance(part, int):
        return arguments
    return arguments[1:]


def _is_named(annotation: Any, tag: str | int) -> bool:
    if not _is_model(annotation):
        return False
    tags = [literal for field in annotation.model_fields.values() for literal in _literals(field.annotation)]
    return annotation.__name__ == tag or tag in tags


def _literals(annotation: Any) -> list[str]:
    return [
        str(value)
        for member in _members(annotation)
        if get_origin(member) is Literal
        for value in get_args(member)
    ]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
