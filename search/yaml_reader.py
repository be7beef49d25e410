"""One YAML 1.2 text as plain data with line numbers: nothing is executed, and its size is bounded.

Built on the parser's events, so that duplicate keys, tags and aliases are seen before any object exists.
Scalars follow the core schema of YAML 1.2: 1e-4 is a number, `yes` and 2026-01-01 are strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from search.errors import KeyPath

MAX_BYTES = 1 << 20
MAX_NODES = 10_000
MAX_DEPTH = 50

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]{1,4000}|0x[0-9a-fA-F]{1,4000}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True)
class Fault:
    """Something wrong in the text, at a line and at a path in the tree."""

    line: int
    path: KeyPath
    message: str


class UnreadableError(Exception):
    """The text cannot be read any further."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass(frozen=True)
class Parsed:
    """Plain data, the line of every key and list item, and what is wrong but did not stop the reading."""

    tree: Any
    lines: dict[KeyPath, int]
    faults: list[Fault]


@dataclass(frozen=True)
class _Node:
    """`content` is a scalar, a list of nodes, or a dict of (line of the key, node)."""

    line: int
    content: Any
    num_nodes: int = 1


def parse_yaml(text: str) -> Parsed:
    """Read one document.

    Raises:
        UnreadableError: broken syntax, more than MAX_NODES values with aliases expanded, nesting deeper
            than MAX_DEPTH, an alias to nothing or to what it stands in, or a second document.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise UnreadableError(Fault(1, (), f"larger than {MAX_BYTES} bytes, which is the limit"))
    reader = _Reader(text)
    try:
        root = reader.read_document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.problem, error.context) if part)
        raise UnreadableError(Fault(mark.line + 1 if mark else 1, (), f"not valid YAML: {message}")) from None
    except YAMLError as error:
        raise UnreadableError(Fault(1, (), f"not valid YAML: {str(error).splitlines()[0]}")) from None
    lines: dict[KeyPath, int] = {}
    return Parsed(_unfold(root, (), lines), lines, reader.faults)


def plain_scalar(text: str) -> Any:
    """The value of an unquoted scalar in the core schema of YAML 1.2."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "").lower())
    return text


def _unfold(node: _Node, path: KeyPath, lines: dict[KeyPath, int]) -> Any:
    """The node as plain data; aliases become copies."""
    lines.setdefault(path, node.line)
    if isinstance(node.content, list):
        return [_unfold(item, (*path, index), lines) for index, item in enumerate(node.content)]
    if not isinstance(node.content, dict):
        return node.content
    tree = {}
    for key, (line, item) in node.content.items():
        lines[(*path, key)] = line
        tree[key] = _unfold(item, (*path, key), lines)
    return tree


class _Reader:
    """Turns the parser's events into nodes."""

    def __init__(self, text: str) -> None:
        self.faults: list[Fault] = []
        self._events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse(text))
        self._anchors: dict[str, _Node | None] = {}
        self._num_read = 0

    def read_document(self) -> _Node:
        root: _Node | None = None
        for event in self._events:
            if isinstance(event, StreamEndEvent):
                break
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    raise _unreadable(event, (), "a second document starts here; only one is allowed")
                root = self._node(next(self._events), ())
        return root if root is not None else _Node(1, None)

    def _node(self, event: Any, path: KeyPath) -> _Node:
        self._num_read += 1
        if len(path) > MAX_DEPTH:
            raise _unreadable(event, path[:5], f"nested deeper than {MAX_DEPTH}, which is the limit")
        if isinstance(event, AliasEvent):
            return self._alias(event, path)
        if event.tag is not None:
            self._fault(event, path, f"tags are refused, received {event.tag}; remove it")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, ScalarEvent):
            node = _Node(
                _line(event), plain_scalar(event.value) if event.style in (None, "") else event.value
            )
        elif isinstance(event, SequenceStartEvent):
            node = self._sequence(event, path)
        else:
            node = self._mapping(event, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return self._bounded(node, event)

    def _alias(self, event: Any, path: KeyPath) -> _Node:
        node = self._anchors.get(event.anchor)
        if node is not None:
            return node
        reason = (
            "refers to what it stands in" if event.anchor in self._anchors else "refers to no anchor above it"
        )
        raise _unreadable(event, path, f"alias *{event.anchor} {reason}")

    def _sequence(self, start: Any, path: KeyPath) -> _Node:
        items: list[_Node] = []
        num_nodes = 1
        while not isinstance(event := next(self._events), SequenceEndEvent):
            item = self._node(event, (*path, len(items)))
            items.append(item)
            num_nodes += item.num_nodes
        return _Node(_line(start), items, num_nodes)

    def _mapping(self, start: Any, path: KeyPath) -> _Node:
        if not isinstance(start, MappingStartEvent):
            raise AssertionError(f"unexpected event {start}")
        items: dict[str, tuple[int, _Node]] = {}
        num_nodes = 1
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event, path)
            item = self._node(next(self._events), (*path, key))
            num_nodes += 1 + item.num_nodes
            if key in items:
                first = items[key][0]
                self._fault(event, (*path, key), f"the key stands twice, first on line {first}; remove one")
            else:
                items[key] = (_line(event), item)
        return _Node(_line(start), items, num_nodes)

    def _key(self, event: Any, path: KeyPath) -> str:
        node = self._node(event, (*path, "?"))
        if isinstance(node.content, list | dict):
            raise _unreadable(event, path, "a key must be text, received a list or mapping")
        if node.content == "<<":
            self._fault(event, path, "merge keys (<<) are not part of YAML 1.2; write the keys out")
        elif not isinstance(node.content, str):
            self._fault(event, path, f"a key must be text, received {event.value}; put it in quotes")
        return str(getattr(event, "value", node.content))

    def _bounded(self, node: _Node, event: Any) -> _Node:
        if max(node.num_nodes, self._num_read) > MAX_NODES:
            raise _unreadable(
                event, (), f"more than {MAX_NODES} values with aliases expanded, which is the limit"
            )
        return node

    def _fault(self, event: Any, path: KeyPath, message: str) -> None:
        self.faults.append(Fault(_line(event), path, message))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _unreadable(event: Any, path: KeyPath, message: str) -> UnreadableError:
    return UnreadableError(Fault(_line(event), path, message))
