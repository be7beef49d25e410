"""pydantic's errors as plain sentences: the value received as it was written, the rule, the nearest key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError

from search.config.secrets import received
from search.errors import KeyPath
from search.text import nearest, suggestion, value_at
from trainables.imported_options import ImportedOptions
from trainables.storage.address import SecretError

_WORDING = (
    (r"^Input should be ", ""),
    (r"^String should have ", "text of "),
    (r"^String should match ", "text that matches "),
    (r"^\w+ should have (at (least|most) \d+) items? after validation.*", r"\1 long"),
    (r"^a valid integer.*", "a whole number"),
    (r"^a valid number.*", "a number"),
    (r"^a valid boolean.*", "true or false"),
    (r"^a valid string.*", "text"),
    (r"^a valid (list|tuple|set).*", "a list"),
    (r"^a valid dictionary.*", "a mapping (key: value)"),
    (r"^greater than or equal to", "at least"),
    (r"^less than or equal to", "at most"),
    (r"^None$", "null"),
)
"""pydantic's message as what follows `must be`, in the words of YAML."""
_IN_RAY_TUNE = {
    "perturbation_interval": "interval",
    "quantile_fraction": "quantile",
    "resample_probability": "resample",
    "perturbation_factors": "perturb",
    "hyperparam_mutations": "hyperparameters",
}
"""Options of Ray Tune's PopulationBasedTraining by what they are called here."""
_ABSENT = object()


class _Found(NamedTuple):
    """One of pydantic's errors, at a path in the tree; `member` is the member of a union that it is about."""

    error: Mapping[str, Any]
    path: KeyPath
    union: KeyPath | None
    member: str | int

    @property
    def type(self) -> str:
        return str(self.error["type"])


def explain(
    error: ValidationError, model: type[BaseModel], tree: Any, words: Mapping[KeyPath, str] | None = None
) -> list[tuple[KeyPath, str]]:
    """Path and message of everything that pydantic found.

    Args:
        error: from validating the tree.
        model: what it was validated as.
        tree: plain values as written, which messages show.
        words: by path, a word that is allowed besides what the model allows.
    """
    words = words or {}
    found = [_place(detail, tree) for detail in error.errors(include_url=False)]
    unions: dict[KeyPath, list[_Found]] = {}
    for item in found:
        if item.union is not None:
            unions.setdefault(item.union, []).append(item)
    messages = [_message(item, model, tree) for item in found if item.union is None]
    return messages + [
        message for group in unions.values() for message in _of_union(group, model, tree, words)
    ]


def _place(error: Mapping[str, Any], tree: Any) -> _Found:
    """Walk the tree along the error's location; what is in no tree is the name of a union's member."""
    path: KeyPath = ()
    union: KeyPath | None = None
    member: str | int = ""
    for index, part in enumerate(error["loc"]):
        is_missing = error["type"] == "missing" and index == len(error["loc"]) - 1
        if is_missing or value_at(tree, (*path, part), _ABSENT) is not _ABSENT:
            path = (*path, part)
        elif union is None:
            union, member = path, part
    return _Found(error, path, union, member)


def _of_union(
    group: list[_Found], model: type[BaseModel], tree: Any, words: Mapping[KeyPath, str]
) -> list[tuple[KeyPath, str]]:
    """The errors of the member that was most likely meant, or what all members ask for in one sentence."""
    members: dict[str | int, list[_Found]] = {}
    for item in group:
        members.setdefault(item.member, []).append(item)
    at_a_word = [item for item in group if item.path != item.union and item.type == "literal_error"]
    at_the_whole = [item for item in group if item.path == item.union]
    refused = {item.member for item in (*at_a_word, *at_the_whole)}
    meant = [items for member, items in members.items() if member not in refused]
    if len(members) == 1 or meant:
        return [_message(item, model, tree) for item in min(meant or members.values(), key=len)]
    same = at_a_word or at_the_whole
    rules = list(dict.fromkeys(_rule(item.error) for item in same))
    word = words.get(same[0].path)
    if word is not None:
        rules = [", ".join(rules), repr(word)]
    value = value_at(tree, same[0].path)
    hint = _did_you_mean(value, [item.error for item in same], word)
    return [(same[0].path, f"received {received(value, same[0].path)}; must be {' or '.join(rules)}{hint}")]


def _message(found: _Found, model: type[BaseModel], tree: Any) -> tuple[KeyPath, str]:
    error, path = found.error, found.path
    value, context = value_at(tree, path), error.get("ctx", {})
    if found.type == "missing":
        return path, "is required and missing"
    if found.type == "extra_forbidden":
        known = [name for at in _models_at(model, error["loc"][:-1]) for name in at.model_fields]
        meant = _IN_RAY_TUNE.get(str(path[-1]))
        hint = f"did you mean {meant!r}?" if meant in known else suggestion(str(path[-1]), known)
        return path, f"unknown key {path[-1]!r}; {hint}"
    if found.type in ("union_tag_invalid", "union_tag_not_found"):
        return _tag_message(found, model, tree)
    if found.type in ("value_error", "assertion_error"):
        text = str(context.get("error", error["msg"]))
        is_told = not isinstance(value, dict | list) and not isinstance(context.get("error"), SecretError)
        return path, text if not is_told else f"received {received(value, path)}; {text}"
    return path, f"received {received(value, path)}; must be {_rule(error)}{_did_you_mean(value, [error])}"


def _tag_message(found: _Found, model: type[BaseModel], tree: Any) -> tuple[KeyPath, str]:
    """About the key that says which member of a union is meant."""
    models = _models_at(model, found.error["loc"])
    # A function tells those apart that may also be paths, and the error has its name.
    importable = next((at.key for at in models if issubclass(at, ImportedOptions)), None)
    key = importable or str(found.error["ctx"]["discriminator"]).strip("'")
    tags = list(dict.fromkeys(tag for at in models for tag in _tags(at, key)))
    rule = f"one of {', '.join(repr(tag) for tag in tags)}" if tags else "a known name"
    rule += ", or a path, package.module:Name" if importable else ""
    if found.type == "union_tag_not_found":
        return (*found.path, key), f"is required and missing; must be {rule}"
    value = value_at(tree, (*found.path, key))
    close = nearest(str(value), tags)
    hint = f"; did you mean {close!r}?" if close else ""
    return (*found.path, key), f"received {received(value, found.path)}; must be {rule}{hint}"


def _rule(error: Mapping[str, Any]) -> str:
    """What follows `must be`."""
    rule = str(error["msg"])
    for pattern, words in _WORDING:
        rule = re.sub(pattern, words, rule)
    return rule if rule != error["msg"] else f"valid: {rule}"


def _did_you_mean(value: Any, errors: Sequence[Mapping[str, Any]], also: str | None = None) -> str:
    """For a text that is none of the words allowed."""
    words = [
        word
        for error in errors
        if error["type"] in ("literal_error", "enum")
        for word in error["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
    ]
    words += [] if also is None else [also]
    close = nearest(value, words) if isinstance(value, str) and words else None
    return f"; did you mean {close!r}?" if close else ""


def _models_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models that may stand at the `loc` of a pydantic error: of a union all that may be meant."""
    found = [model]
    for part in loc:
        below = [m for at in found if part in at.model_fields for m in models_in(at.model_fields[part])]
        # What is no field is an index, or the name or tag of a union's member.
        found = below or [at for at in found if part == at.__name__ or part in _tags(at)] or found
    return found


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in an annotation: in lists, mappings and unions too."""
    annotation = getattr(annotation, "annotation", annotation)  # a field's
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def _tags(model: type[BaseModel], key: str | None = None) -> list[str]:
    """Words that a model's field allows; those of all fields without a key."""
    fields = [field for name, field in model.model_fields.items() if key in (None, name)]
    literals = [field.annotation for field in fields if get_origin(field.annotation) is Literal]
    return [str(word) for literal in literals for word in get_args(literal)]
