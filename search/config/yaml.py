"""YAML 1.2 as plain data with line numbers, and back; nothing is executed and the size is bounded.

Scalars follow the core schema of YAML 1.2: 1e-4 is a number, `yes` and 2026-01-01 are texts.
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from search.errors import ConfigError, KeyPath, Problem
from search.text import cut, dotted, shown

MAX_BYTES = 1 << 18
MAX_NODES = 10_000
MAX_DEPTH = 50
MAX_KEY = 200
MAX_DIGITS = 300
"""Digits of a whole number: no more than a float can hold, so that no arithmetic with it overflows."""
TEXT_OF_A_NODE = 100
"""A text counts as one value more per this many characters, since an alias repeats it as a whole."""

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(rf"[-+]?[0-9]{{1,{MAX_DIGITS}}}")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]{1,300}|0x[0-9a-fA-F]{1,249}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONG_TAG = re.compile(r"![^\s,\[\]{}]{200}")
"""The scanner takes quadratic time for a tag."""
_BARE = re.compile(r"(?!(y|n|yes|no|on|off)$)[\w./$(][^\n]*", re.IGNORECASE)
"""Texts that may be written without quotes; the others are truth values in YAML 1.1, or begin with a sign."""


@dataclass
class Parsed:
    """Plain data, the line of every key and list item, and problems that did not stop the parser."""

    tree: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def parse_yaml(text: str, where: Callable[[int], str] = "config:{}".format) -> Parsed:
    """Parse one document.

    Args:
        text: the document.
        where: names a line in messages.

    Raises:
        ConfigError: broken syntax, more than MAX_BYTES or MAX_NODES values with aliases expanded, nesting
            deeper than MAX_DEPTH, text that cannot be written, an undefined alias, or a second document.
    """
    return _Parser(text, where).parse()


def write_text(tree: Mapping[str, Any]) -> str:
    """One document: innermost lists and mappings on one line, the others a line for each item.

    Args:
        tree: mappings with text keys, lists, texts without lone surrogates, numbers, booleans and None.
    """
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = None
    yaml.width = 110
    yaml.map_indent, yaml.sequence_indent, yaml.sequence_dash_offset = 2, 4, 2
    yaml.sort_base_mapping_type_on_output = False
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def plain_scalar(text: str) -> Any:
    """The value of an unquoted scalar."""
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


def problem_in_text(text: str) -> str | None:
    """Why a text cannot be written to a file, if so."""
    return "half a surrogate pair is no character; write the whole" if _SURROGATE.search(text) else None


def problem_in_key(key: Any) -> str | None:
    """Why a value cannot be a key, if so; a whole number can, and is then its digits."""
    if isinstance(key, int) and not isinstance(key, bool) and abs(key) < 10**MAX_DIGITS:
        return None
    if not isinstance(key, str):
        return f"a key must be text or a whole number, received {shown(key)}"
    if len(key) <= MAX_KEY and key.isprintable():
        return None
    return f"a key must be printable and at most {MAX_KEY} characters long, received {shown(key)}"


class _Parser:
    """Builds plain data from ruamel's events; an alias becomes a copy."""

    def __init__(self, text: str, where: Callable[[int], str]) -> None:
        self._text, self._where = text, where
        self._events: Iterator[Event] = iter(YAML(typ="safe", pure=True).parse(text))
        self._parsed = Parsed(None)
        self._line = 1
        """Line of the last event."""
        self._num_nodes = 0
        self._anchors: dict[str, tuple[Any, int]] = {}
        """The value of each anchor, once complete, and the number of nodes in it."""

    def parse(self) -> Parsed:
        if len(self._text.encode(errors="replace")) > MAX_BYTES:
            raise self._error((), f"larger than {MAX_BYTES} bytes, which is the limit")
        if found := _LONG_TAG.search(self._text):
            self._line += self._text.count("\n", 0, found.start())
            raise self._error((), "tags are refused, and this one is long; remove it")
        try:
            starts = (event for event in self._events if isinstance(event, DocumentStartEvent))
            for number, start in enumerate(starts):
                if number:
                    self._line = _line(start)
                    raise self._error((), "not valid YAML: a second document begins here")
                self._parsed.tree = self._value(())
        # The last three come from the scanner, for a wrong version and for escapes of no character.
        except (YAMLError, AssertionError, ValueError, OverflowError) as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            position = getattr(error, "position", None)  # of a control character
            if mark or position is not None:
                self._line = self._text.count("\n", 0, mark.index if mark else position) + 1
            parts = [getattr(error, name, None) for name in ("problem", "context")]
            message = ", ".join(cut(part) for part in parts if part) or cut(str(error).splitlines()[0], 110)
            raise self._error((), f"not valid YAML: {message}") from None
        return self._parsed

    def _value(self, path: KeyPath) -> Any:
        """The value that begins with the next event."""
        return self._value_of(next(self._events), path)

    def _value_of(self, event: Any, path: KeyPath) -> Any:
        self._line = _line(event)
        self._parsed.lines.setdefault(path, self._line)
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                raise self._error(path, f"alias *{cut(event.anchor)} refers to nothing complete before it")
            value, num_nodes = self._anchors[event.anchor]
            self._count(num_nodes)
            return copy.deepcopy(value)
        before = self._num_nodes
        self._count(1)
        self._refuse_tag(event, path)
        if len(path) > MAX_DEPTH:
            raise self._error(path[:5], f"nested deeper than {MAX_DEPTH}, which is the limit")
        if isinstance(event, ScalarEvent):
            text = self._text_of(event, path)
            value = plain_scalar(text) if _is_plain(event) else text
        elif isinstance(event, SequenceStartEvent):
            value = []
            while not isinstance(item := next(self._events), SequenceEndEvent):
                value.append(self._value_of(item, (*path, len(value))))
        else:
            value = self._mapping(path)
        if event.anchor:
            self._anchors[event.anchor] = value, self._num_nodes - before
        return value

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key, line = self._key(event, path), self._line
            if key in tree:
                first = self._parsed.lines[(*path, key)]
                self._report((*path, key), f"the key stands twice, first on line {first}; remove one")
                self._value((*path, key))
            else:
                self._parsed.lines[(*path, key)] = line
                tree[key] = self._value((*path, key))
        return tree

    def _key(self, event: Event, path: KeyPath) -> str:
        self._line = _line(event)
        if not isinstance(event, ScalarEvent):
            raise self._error(path, "a key must be text, received an alias, list or mapping")
        self._count(1)
        self._refuse_tag(event, path)
        key = self._text_of(event, path)
        if problem := problem_in_key(key):
            raise self._error(path, problem)
        if key == "<<" and _is_plain(event):
            self._report(path, "merge keys (<<) are not part of YAML 1.2; write the keys out")
        elif _is_plain(event):
            value = plain_scalar(key)
            if isinstance(value, int) and not isinstance(value, bool):
                return str(value)
            if not isinstance(value, str):
                self._report(path, f"a key must be text or a whole number, received {key}; put it in quotes")
        return key

    def _text_of(self, event: ScalarEvent, path: KeyPath) -> str:
        if problem := problem_in_text(event.value):
            raise self._error(path, problem)
        self._count(len(event.value) // TEXT_OF_A_NODE)
        return str(event.value)

    def _refuse_tag(self, event: Any, path: KeyPath) -> None:
        if event.tag is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            self._report(path, f"tags are refused, received {cut(tag)}; remove it")

    def _count(self, num_nodes: int) -> None:
        self._num_nodes += num_nodes
        if self._num_nodes > MAX_NODES:
            message = f"more than {MAX_NODES} values with aliases expanded, which is the limit"
            raise self._error((), message)

    def _report(self, path: KeyPath, message: str) -> None:
        self._parsed.problems.append(Problem(self._where(self._line), dotted(path), message))

    def _error(self, path: KeyPath, message: str) -> ConfigError:
        return ConfigError([Problem(self._where(self._line), dotted(path), message)])


class _Representer(SafeRepresenter):
    """Writes numbers as readers of YAML 1.1 also see them, and texts so that our reader sees texts."""

    def represent(self, data: Any) -> None:
        node = self.represent_data(data)
        node.flow_style = not data  # the whole is never on one line
        self.serializer.serialize(node)

    def represent_float(self, data: float) -> ScalarNode:
        text = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(data), repr(data))
        text = text.replace("e", ".0e") if "e" in text and "." not in text else text
        return self.represent_scalar("tag:yaml.org,2002:float", text)

    def represent_str(self, data: str) -> ScalarNode:
        is_bare = plain_scalar(data) is data and data.isprintable() and _BARE.fullmatch(data)
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if is_bare else '"')


_Representer.add_representer(float, _Representer.represent_float)
_Representer.add_representer(str, _Representer.represent_str)


def _is_plain(event: ScalarEvent) -> bool:
    return event.style in (None, "")


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1
