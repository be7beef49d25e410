"""YAML 1.2 as plain data with line numbers, and back: nothing is executed, and its size is bounded.

Scalars follow the core schema of YAML 1.2: 1e-4 is a number, `yes` and 2026-01-01 are texts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
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
"""A text counts as one value more for each so many characters, for an alias repeats it as a whole."""

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


@dataclass(frozen=True)
class Parsed:
    """Plain data, the line of every key and list item, and what is wrong but did not stop the reading."""

    tree: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def parse_yaml(text: str, where: Callable[[int], str] = "config:{}".format) -> Parsed:
    """Read one document.

    Args:
        text: at most MAX_BYTES bytes in UTF-8.
        where: names a line in messages.

    Raises:
        ConfigError: broken syntax, more than MAX_NODES values with aliases expanded, nesting deeper than
            MAX_DEPTH, text that cannot be written, an alias to what it stands in, or a second document.
    """
    reader = _Reader(where)
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise reader.error(1, (), f"larger than {MAX_BYTES} bytes, which is the limit")
    if found := _LONG_TAG.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise reader.error(line, (), "tags are refused, and this one is long; remove it")
    root = _compose(text, reader)
    tree = None if root is None else reader.plain(root, ())
    return Parsed(tree, reader.lines, reader.problems)


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


def problem_in_text(text: str) -> str | None:
    """Why a text cannot be written to a file, if so."""
    return "half a surrogate pair is no character; write the whole" if _SURROGATE.search(text) else None


def problem_in_key(key: str) -> str | None:
    """Why a text cannot be a key, if so."""
    if len(key) <= MAX_KEY and key.isprintable():
        return None
    return f"a key must be printable and at most {MAX_KEY} characters long, received {shown(key)}"


def _compose(text: str, reader: _Reader) -> Node | None:
    """The tree of nodes, with every error of the library as a ConfigError at its line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    composer: _Composer = yaml.composer
    composer.reader, composer.warn_double_anchors = reader, False
    try:
        return yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, message = (
            mark.line + 1 if mark else 1,
            ", ".join(cut(part) for part in (error.problem, error.context) if part),
        )
    except YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        message = str(error).splitlines()[0]
    except AssertionError as error:  # the parser's way to refuse a version
        line, message = 1, cut(str(error))
    except (ValueError, OverflowError):  # from chr() in the scanner
        line, message = composer.line, "a \\U escape at or after this line is no character"
    raise reader.error(line, (), f"not valid YAML: {message}")


class _Reader:
    """Turns nodes into plain data; aliases become copies."""

    def __init__(self, where: Callable[[int], str]) -> None:
        self._where = where
        self.tags: dict[int, str] = {}
        """The tag of each node that was written with one, by the node's id."""
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self._num_nodes = 0
        self._open: set[int] = set()

    def error(self, line: int, path: KeyPath, message: str) -> ConfigError:
        """The end of the reading."""
        return ConfigError([Problem(self._where(line), dotted(path), message)])

    def plain(self, node: Node, path: KeyPath) -> Any:
        """The value of a node at this path."""
        line = _line(node)
        self.lines.setdefault(path, line)
        self._count(node, line)
        if len(path) > MAX_DEPTH:
            raise self.error(line, path[:5], f"nested deeper than {MAX_DEPTH}, which is the limit")
        if id(node) in self._open:
            raise self.error(line, path, f"alias *{cut(node.anchor)} refers to what it stands in")
        if id(node) in self.tags:
            message = f"tags are refused, received {cut(self.tags[id(node)])}; remove it"
            self._add(line, path, message)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        assert isinstance(node, SequenceNode | MappingNode)
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.plain(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.remove(id(node))

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        problem = problem_in_text(node.value)
        if problem is not None:
            raise self.error(_line(node), path, problem)
        return plain_scalar(node.value) if _is_plain(node) else node.value

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for key_node, item in node.value:
            key, line = self._key(key_node, path), _line(key_node)
            if key in tree:
                first = self.lines[(*path, key)]
                self._add(line, (*path, key), f"the key stands twice, first on line {first}; remove one")
                continue
            self.lines[(*path, key)] = line
            tree[key] = self.plain(item, (*path, key))
        return tree

    def _key(self, node: Node, path: KeyPath) -> str:
        line = _line(node)
        self._count(node, line)
        if not isinstance(node, ScalarNode):
            raise self.error(line, path, "a key must be text, received a list or mapping")
        key = str(node.value)
        problem = problem_in_text(key) or problem_in_key(key)
        if problem is not None:
            raise self.error(line, path, problem)
        if key == "<<" and _is_plain(node):
            self._add(line, path, "merge keys (<<) are not part of YAML 1.2; write the keys out")
        elif id(node) in self.tags:
            self._add(line, path, f"tags are refused, received {cut(self.tags[id(node)])}; remove it")
        elif _is_plain(node) and not isinstance(plain_scalar(key), str):
            self._add(line, path, f"a key must be text, received {key}; put it in quotes")
        return key

    def _count(self, node: Node, line: int) -> None:
        self._num_nodes += 1 + (len(node.value) // TEXT_OF_A_NODE if isinstance(node, ScalarNode) else 0)
        if self._num_nodes > MAX_NODES:
            message = f"more than {MAX_NODES} values with aliases expanded, which is the limit"
            raise self.error(line, (), message)

    def _add(self, line: int, path: KeyPath, message: str) -> None:
        self.problems.append(Problem(self._where(line), dotted(path), message))


class _Composer(Composer):
    """Composes nodes within the limits, and notes which of them are written with a tag."""

    reader: _Reader
    line = 1
    """The line of the last event."""
    num_composed = 0
    num_open = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        self.line = event.start_mark.line + 1
        self.num_composed += 1
        self.num_open += 1
        if self.num_composed > MAX_NODES:
            message = f"more than {MAX_NODES} values, which is the limit"
            raise self.reader.error(self.line, (), message)
        if self.num_open > MAX_DEPTH + 1:
            message = f"nested deeper than {MAX_DEPTH}, which is the limit"
            raise self.reader.error(self.line, (), message)
        node = super().compose_node(parent, index)
        self.num_open -= 1
        if not isinstance(event, AliasEvent) and event.tag is not None:
            self.reader.tags[id(node)] = str(event.tag).replace("tag:yaml.org,2002:", "!!")
        return node


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


def _is_plain(node: ScalarNode) -> bool:
    return node.style in (None, "")


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
