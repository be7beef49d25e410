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
from search.text import cut, shown

MAX_BYTES = 1 << 18
MAX_NODES = 10_000
MAX_DEPTH = 50
MAX_KEY = 200
MAX_TAG = 1000
"""Characters of a word with an exclamation mark in it; the parser takes quadratic time for a tag."""
TEXT_OF_A_NODE = 100
"""A text counts as one value more for each so many characters, for an alias repeats it as a whole."""

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
MAX_DIGITS = 300
"""Of a whole number: no more than a float can hold, so that no arithmetic with it overflows."""
_INTEGER = re.compile(rf"[-+]?[0-9]{{1,{MAX_DIGITS}}}")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]{1,300}|0x[0-9a-fA-F]{1,249}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SURROGATE = re.compile("[\ud800-\udfff]")


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
    """`content` is a scalar, a list of nodes, or a dict of key to (line of the key, node)."""

    line: int
    content: Any
    num_nodes: int = 1


def parse_yaml(text: str) -> Parsed:
    """Read one document.

    Raises:
        UnreadableError: broken syntax, more than MAX_NODES values with aliases expanded, nesting deeper
            than MAX_DEPTH, a tag longer than MAX_TAG, a key that cannot be shown, text that cannot be
            written, an alias to nothing or to what it stands in, or a second document.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise UnreadableError(Fault(1, (), f"larger than {MAX_BYTES} bytes, which is the limit"))
    _refuse_long_tags(text)
    reader = _Reader(text)
    try:
        root = reader.read_document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(cut(part) for part in (error.problem, error.context) if part)
        raise UnreadableError(Fault(mark.line + 1 if mark else 1, (), f"not valid YAML: {message}")) from None
    except YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise UnreadableError(Fault(line, (), f"not valid YAML: {str(error).splitlines()[0]}")) from None
    except AssertionError as error:  # the parser's way to refuse a version
        raise UnreadableError(Fault(1, (), f"not valid YAML: {cut(str(error))}")) from None
    except (ValueError, OverflowError):  # from chr() in the scanner
        reason = "a \\U escape at or after this line is no character"
        raise UnreadableError(Fault(reader.line, (), f"not valid YAML: {reason}")) from None
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


def mistake_in_text(text: str) -> str | None:
    """Why it cannot be written to a file, if so."""
    return "half a surrogate pair is no character; write the whole" if _SURROGATE.search(text) else None


def mistake_in_key(key: str) -> str | None:
    """Why it cannot be a key, if so."""
    if len(key) <= MAX_KEY and key.isprintable():
        return None
    return f"a key must be printable and at most {MAX_KEY} characters long, received {shown(key)}"


def _refuse_long_tags(text: str) -> None:
    for word in text.split():
        if len(word) > MAX_TAG and "!" in word:
            line = text.count("\n", 0, text.index(word)) + 1
            message = f"a tag longer than {MAX_TAG} characters, which is the limit"
            raise UnreadableError(Fault(line, (), message))


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
        self.line = 1
        """Of the last event."""

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
        self.line = _line(event)
        if self._num_read > MAX_NODES:
            raise _too_many(event)
        if len(path) > MAX_DEPTH:
            raise _unreadable(event, path[:5], f"nested deeper than {MAX_DEPTH}, which is the limit")
        if isinstance(event, AliasEvent):
            return self._alias(event, path)
        if event.tag is not None:
            self._fault(event, path, f"tags are refused, received {cut(event.tag)}; remove it")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, ScalarEvent):
            node = self._scalar(event, path)
        elif isinstance(event, SequenceStartEvent):
            node = self._sequence(event, path)
        else:
            node = self._mapping(event, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        if node.num_nodes > MAX_NODES:
            raise _too_many(event)
        return node

    def _scalar(self, event: Any, path: KeyPath) -> _Node:
        mistake = mistake_in_text(event.value)
        if mistake is not None:
            raise _unreadable(event, path, mistake)
        value = plain_scalar(event.value) if event.style in (None, "") else event.value
        return _Node(_line(event), value, 1 + len(event.value) // TEXT_OF_A_NODE)

    def _alias(self, event: Any, path: KeyPath) -> _Node:
        node = self._anchors.get(event.anchor)
        if node is not None:
            return node
        reason = (
            "refers to what it stands in" if event.anchor in self._anchors else "refers to no anchor above it"
        )
        raise _unreadable(event, path, f"alias *{cut(event.anchor)} {reason}")

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
        key = str(getattr(event, "value", node.content))
        mistake = mistake_in_key(key)
        if mistake is not None:
            raise _unreadable(event, path, mistake)
        if node.content == "<<" and getattr(event, "style", None) in (None, ""):
            self._fault(event, path, "merge keys (<<) are not part of YAML 1.2; write the keys out")
        elif not isinstance(node.content, str):
            self._fault(event, path, f"a key must be text, received {key}; put it in quotes")
        return key

    def _fault(self, event: Any, path: KeyPath, message: str) -> None:
        self.faults.append(Fault(_line(event), path, message))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _too_many(event: Any) -> UnreadableError:
    message = f"more than {MAX_NODES} values with aliases expanded, which is the limit"
    return _unreadable(event, (), message)


def _unreadable(event: Any, path: KeyPath, message: str) -> UnreadableError:
    return UnreadableError(Fault(_line(event), path, message))
