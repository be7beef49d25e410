"""Plain values as YAML that reads back identically, for people: what fits on a line stands on one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from search.config.yaml_reader import plain_scalar

MAX_WIDTH = 110
"""Columns of a list or mapping on one line; a longer one has a line for each item. Texts are never cut."""

_SAFE = re.compile(r"[^\W\d][\w./+-]*(:[\w./+-]+)*")
_YAML_1_1 = {"y", "n", "yes", "no", "on", "off"}
"""Numbers and truth values to readers of YAML 1.1 only."""
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def yaml_lines(tree: Mapping[str, Any]) -> str:
    """One document: innermost lists and mappings on one line, the others a line for each item.

    Args:
        tree: mappings with text keys, lists, texts without lone surrogates, numbers, booleans and None.
    """
    return "".join(f"{line}\n" for line in (_block(tree, "") if tree else ["{}"]))


def _block(node: Any, indent: str) -> Iterator[str]:
    """Lines of a list or mapping that is not empty."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            head = f"{indent}{_text(key)}:"
            line = _on_one_line(value, len(head) + 1)
            yield head if line is None else f"{head} {line}"
            yield from _block(value, f"{indent}  ") if line is None else ()
        return
    for item in node:
        line = _on_one_line(item, len(indent) + 2)
        first, *rest = [f"{indent}  {line}"] if line is not None else _block(item, f"{indent}  ")
        yield f"{indent}- {first.removeprefix(indent)[2:]}"
        yield from rest


def _on_one_line(value: Any, column: int) -> str | None:
    """A scalar, or a list or mapping that holds only scalars and empty ones and is not too long."""
    if not isinstance(value, Mapping | list):
        return _scalar(value)
    items = value.values() if isinstance(value, Mapping) else value
    if any(item for item in items if isinstance(item, Mapping | list)):
        return None
    line = _flow(value)
    return line if not value or column + len(line) <= MAX_WIDTH else None


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return _float(value)
    return _text(value) if isinstance(value, str) else str(value)


def _float(value: float) -> str:
    """With a point, so that readers of YAML 1.1 also see a number in 1.0e-05."""
    text = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _text(text: str) -> str:
    """Without quotes where nothing could be mistaken."""
    is_word = _SAFE.fullmatch(text) and text.isprintable() and text.lower() not in _YAML_1_1
    if is_word and plain_scalar(text) == text:
        return text
    return '"' + "".join(_escaped(text)) + '"'


def _escaped(text: str) -> Iterable[str]:
    for sign in text:
        if sign in _ESCAPES:
            yield _ESCAPES[sign]
        elif sign.isprintable():
            yield sign
        else:
            yield f"\\u{ord(sign):04x}" if ord(sign) < 1 << 16 else f"\\U{ord(sign):08x}"
