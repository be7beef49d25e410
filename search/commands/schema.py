"""JSON Schema of configurations, from which editors complete keys, show their docstrings and mark mistakes.

It is that of pydantic for the sections and for the options of the built-in tasks, but below `trial:` each
value may be a domain in its place. Draft 7, which editors know best.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from search.config.schema import Sections
from search.config.tasks import BUILT_IN, load_task
from search.errors import RefusedError
from search.space.domains import CONFIDENCES, DOMAIN_NAMES
from trainables.files import atomic_write

TITLE = "A configuration of tune-search"
NAME = "tune-search.schema.json"
"""The file beside a configuration that `init` writes."""
BUNDLED = Path(__file__).parents[1] / "config.schema.json"
"""The schema of this version; a test compares it with what `schema` prints."""
Node = dict[str, Any]

_NUMBERS = {
    "uniform": ("number", 2, "[low, high]"),
    "loguniform": ("number", 2, "[low, high], drawn in logarithms"),
    "quniform": ("number", 3, "[low, high, step]"),
    "randint": ("integer", 2, "[low, high] of whole numbers, both included"),
    "lograndint": ("integer", 2, "[low, high] of whole numbers, drawn in logarithms"),
}
assert {*_NUMBERS, "choice"} == set(DOMAIN_NAMES)
_OF_PRIOR = "The value that you think is best: the first trial has it, and some later ones are near it."
_CONFIDENCE: Node = {
    "confidence": {"enum": list(CONFIDENCES), "description": "How sure of the prior (default: medium)."}
}


def schema() -> Node:
    """The schema of all sections and built-in tasks: JSON Schema, draft 7."""
    options = {task: load_task(task).Options for task in BUILT_IN}
    models: list[Any] = [Sections, *options.values()]
    refs, together = models_json_schema([(model, "validation") for model in models])
    defs: dict[str, Node] = {name: _plain(node) for name, node in together["$defs"].items()}
    trials = {task: _ref(refs[(model, "validation")]) for task, model in options.items()}
    for name in _reachable(set(trials.values()), defs):
        defs[name] = _with_domains(defs[name])
    for name in trials.values():
        _batch_size(defs[name]["properties"])
        defs[f"{name}.partial"] = _partial(defs[name])
    defs |= {kind: _domain(kind) for kind in _NUMBERS} | {
        f"auto.{kind}": _domain(kind, auto=True) for kind in _NUMBERS
    }
    sections = defs.pop(_ref(refs[(Sections, "validation")]))
    return _named_choices(_document(sections, defs, trials))


def text() -> str:
    """The schema as JSON, each of its definitions in a line."""
    whole = schema()
    defs = ",\n".join(f"{json.dumps(name)}:{_dumped(node)}" for name, node in whole.pop("$defs").items())
    return f'{_dumped(whole)[:-1]},\n"$defs":{{\n{defs}\n}}}}\n'


def _dumped(node: Any) -> str:
    return json.dumps(node, separators=(",", ":"), ensure_ascii=False)


def _document(sections: Node, defs: Mapping[str, Node], trials: Mapping[str, str]) -> Node:
    """The whole: which options `trial:` has follows from `task:`; with `base:`, the rest may be there."""
    properties = sections["properties"]
    properties["trial"] = {
        "type": "object",
        "description": "The settings of one trial; each value may be a domain.",
    }
    base = {"type": "string", "description": "Another configuration, over which this one is merged."}
    properties["task"]["anyOf"] = [{"enum": list(BUILT_IN)}, {"type": "string", "pattern": ":"}]
    properties["task"].pop("type")
    required = [name for name in sections["required"] if name not in ("name", "objective")]
    objective = properties["objective"]
    properties["objective"] = {"anyOf": [*objective.pop("allOf"), {"type": "null"}], **objective}
    one_of: list[Node] = [
        {"required": [key], "properties": {key: {"not": {"type": "null"}}, other: {"type": "null"}}}
        for key, other in (("objective", "objectives"), ("objectives", "objective"))
    ]
    of_tasks = [
        {
            "if": {"required": ["task"], "properties": {"task": {"const": task}}},
            "then": {
                "if": {"required": ["base"]},
                "then": {"properties": {"trial": _to(f"{name}.partial")}},
                "else": {"properties": {"trial": _to(name)}},
            },
        }
        for task, name in trials.items()
    ]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": TITLE,
        "type": "object",
        "properties": {"base": base, **properties},
        "additionalProperties": False,
        "if": {"not": {"required": ["base"]}},
        "then": {"required": required, "oneOf": one_of},
        "allOf": of_tasks,
        "$defs": dict(defs),
    }


def _plain(node: Any) -> Any:
    """Without titles, which editors would show in the place of docstrings; a union's members may overlap."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {
        key: _properties(value) if key in ("properties", "$defs") else _plain(value)
        for key, value in node.items()
        if key not in ("title", "discriminator") or not isinstance(value, str | dict)
    }
    if "oneOf" in found:
        found["anyOf"] = found.pop("oneOf")
    if "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
    if "$ref" in found and len(found) > 1:  # what stands beside a reference is passed over
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found


def _properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in properties.items()}


def _with_domains(model: Node) -> Node:
    """An object of the trial whose values may be domains."""
    if "properties" not in model:
        return model
    properties = {name: _or_domain(value) for name, value in model["properties"].items()}
    return {**model, "properties": properties}


def _or_domain(value: Node) -> Node:
    """A value, or a domain in its place; its description stays outside, where editors look for it."""
    about: Node = {key: value[key] for key in ("description", "default") if key in value}
    inner = _inside({key: item for key, item in value.items() if key not in about})
    wanted = {"type": "string"} if isinstance(inner.get("const"), str) else inner
    choice = {
        "type": "object",
        "properties": {
            "choice": {"type": "array", "minItems": 1, "items": wanted},
            "prior": {"description": "The option that you think is best, of mappings the name."},
            **_CONFIDENCE,
        },
        "required": ["choice"],
        "dependencies": {"confidence": ["prior"]},
        "additionalProperties": False,
    }
    numbers = [_to(kind) for kind in _kinds_for(inner)]
    return {"anyOf": [*inner.get("anyOf", [inner]), *numbers, choice], **about}


def _inside(value: Node) -> Node:
    """The items of lists, and the values of mappings, may be domains too."""
    found = dict(value)
    if isinstance(found.get("items"), dict):
        found["items"] = _or_domain(found["items"])
    if isinstance(found.get("items"), list):
        found["items"] = [_or_domain(item) for item in found["items"]]
    if isinstance(found.get("additionalProperties"), dict):
        found["additionalProperties"] = _or_domain(found["additionalProperties"])
    if "anyOf" in found:
        found["anyOf"] = [_inside(item) for item in found["anyOf"]]
    return found


def _named_choices(document: Node) -> Node:
    """The document with a definition for each kind of choice: most occur many times."""
    names: dict[str, str] = {}

    def named(node: Any) -> Any:
        if isinstance(node, list):
            return [named(item) for item in node]
        if not isinstance(node, dict):
            return node
        found = {key: named(value) for key, value in node.items()}
        if found.get("required") == ["choice"] and "properties" in found:
            return _to(names.setdefault(_dumped(found), f"choice.{len(names)}"))
        return found

    whole: Node = named(document)
    whole["$defs"] |= {name: json.loads(text) for text, name in names.items()}
    return whole


def _kinds_for(value: Node) -> list[str]:
    """The domains of numbers that give values of this kind."""
    types = {value.get("type"), *(each.get("type") for each in value.get("anyOf", ()))}
    if "number" in types:
        return list(_NUMBERS)
    return ["quniform", "randint", "lograndint"] if "integer" in types else []


def _domain(kind: str, *, auto: bool = False) -> Node:
    of, length, told = _NUMBERS[kind]
    items: Node = {"anyOf": [{"type": of}, {"const": "auto"}]} if auto else {"type": of}
    numbers = {"type": "array", "items": items, "minItems": length, "maxItems": length, "description": told}
    return {
        "type": "object",
        "properties": {kind: numbers, "prior": {"type": of, "description": _OF_PRIOR}, **_CONFIDENCE},
        "required": [kind],
        "dependencies": {"confidence": ["prior"]},
        "additionalProperties": False,
    }


def _batch_size(properties: dict[str, Node]) -> None:
    """`batch_size` may be auto too, alone or as the end of a range."""
    known = properties["batch_size"]
    ranges = [_to(f"auto.{kind}") for kind in ("quniform", "randint", "lograndint")]
    options = [each for each in known["anyOf"] if "$ref" not in each]
    properties["batch_size"] = {**known, "anyOf": [*options, {"const": "auto"}, *ranges]}


def _partial(model: Node) -> Node:
    """The trial of a configuration with a base, where a name may be that of the base."""
    properties = dict(model["properties"])
    unnamed = {
        "type": "object",
        "not": {"anyOf": [{"required": [key]} for key in ("name", "source", "choice")]},
    }
    for name, value in properties.items():
        if any("$ref" in each or "allOf" in each for each in value["anyOf"]):
            properties[name] = {**value, "anyOf": [*value["anyOf"], unnamed]}
    return {**model, "properties": properties}


def _reachable(names: set[str], defs: Mapping[str, Node]) -> set[str]:
    """These definitions and all that they refer to."""
    found, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _refs(defs[name])
    return found


def _refs(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [_ref(node)] if isinstance(node.get("$ref"), str) else []
        return own + [name for value in node.values() for name in _refs(value)]
    return [name for item in node for name in _refs(item)] if isinstance(node, list) else []


def _ref(node: Mapping[str, Any]) -> str:
    return str(node["$ref"]).rpartition("/")[2]


def _to(name: str) -> Node:
    return {"$ref": f"#/$defs/{name}"}


def write(out: str | Path) -> Path:
    """Write the schema to a file; only another schema of this program is replaced.

    Raises:
        SearchError: something else is there.
    """
    file = Path(out)
    if file.exists() and not is_schema(file):
        raise RefusedError(f"{file} exists and is no schema of tune-search; give another FILE after --out")
    if not file.absolute().parent.is_dir():
        raise RefusedError(f"there is no folder {file.parent}; make it, or give another FILE after --out")
    atomic_write(file, text())
    return file


def is_schema(file: Path) -> bool:
    """Whether a file is a schema that this program wrote, of any version."""
    try:
        with file.open(encoding="utf-8") as start:
            return f'"title":"{TITLE}"' in start.read(400)
    except (OSError, UnicodeError):
        return False
