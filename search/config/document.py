"""A configuration as written: a YAML file or Python values, with overrides and the place of each value.

`${env:NAME}` inside a text is replaced from the environment. The raw tree keeps it, and messages and written
files use the raw tree only, so that a secret stays where it was.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from search.config.yaml_reader import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_NODES,
    TEXT_OF_A_NODE,
    Parsed,
    UnreadableError,
    mistake_in_key,
    mistake_in_text,
    parse_yaml,
)
from search.config.yaml_writer import yaml_lines
from search.errors import ConfigError, KeyPath, Problem
from search.text import cut, dotted, shown
from trainables.files import atomic_write
from trainables.process.environment import REFERENCE, remember

MAX_OVERRIDE = 200
"""Characters of an override that messages show."""


@dataclass(frozen=True)
class Document:
    """The values of a configuration and where each one stands."""

    name: str
    """The file as the user named it; `config` for values from Python."""
    file: Path | None
    raw: dict[str, Any]
    """As written, overrides applied, `${env:NAME}` kept: for messages and for writing."""
    tree: dict[str, Any] = field(repr=False)
    """The same with `${env:NAME}` replaced: for use."""
    variables: Mapping[str, str] = field(repr=False)
    """The environment variables that were named and found."""
    lines: Mapping[KeyPath, int] = field(repr=False)
    overrides: Mapping[KeyPath, str] = field(repr=False)
    """Path to the text after `--set`."""
    problems: tuple[Problem, ...] = ()
    """What is wrong but did not stop the reading."""
    told: frozenset[KeyPath] = frozenset()
    """Paths that `problems` has explained; what else is wrong there follows from it."""

    def where(self, path: KeyPath) -> str:
        """`configs/seg.yaml:14`, `--set trial.x=1` or `config`, for this path or the nearest above it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.overrides:
                return f"--set {cut(self.overrides[path[:length]], MAX_OVERRIDE)}"
            if path[:length] in self.lines:
                return f"{self.name}:{self.lines[path[:length]]}"
        return self.name

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem with the value at this path."""
        return Problem(self.where(path), dotted(path), message)

    def raw_value(self, path: KeyPath, default: Any = None) -> Any:
        """The value at this path as written, or `default` where there is none."""
        return value_at(self.raw, path, default)

    def check(self) -> Document:
        """This document, if nothing was wrong with it.

        Raises:
            ConfigError: with all that was wrong.
        """
        if self.problems:
            raise ConfigError(self.problems)
        return self


def read_document(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Document:
    """Read a YAML file, or take Python values, and apply overrides such as `trial.batch_size=16`.

    What does not stop the reading (a key that stands twice, a variable that is not set, a malformed override)
    is in `problems` of what is returned.

    Raises:
        ConfigError: there is nothing to go on with: no such file, broken YAML, not a mapping.
    """
    if isinstance(source, Mapping):
        name, file, parsed = "config", None, Parsed(_plain(source, "config"), {}, [])
    else:
        name, file = str(source), Path(source)
        parsed = _parse(_read_text(file, name), name)
    if not isinstance(parsed.tree, dict):
        found = "nothing" if parsed.tree is None else shown(parsed.tree)
        raise ConfigError([Problem(name, "", f"must be a mapping (key: value), received {found}")])
    edit = _Overrides(parsed.tree, dict(parsed.lines))
    for text in overrides:
        edit.apply(text)
    if overrides:
        _plain(edit.tree, "--set")
    problems = [Problem(f"{name}:{fault.line}", dotted(fault.path), fault.message) for fault in parsed.faults]
    variables, told = _variables(edit.tree)
    remember(variables)
    document = Document(
        name=name,
        file=file,
        raw=edit.tree,
        tree=substitute(edit.tree, variables),
        variables=variables,
        lines=edit.lines,
        overrides=edit.places,
    )
    missing = [document.problem(path, message) for path, message in told.items()]
    return replace(document, problems=(*problems, *edit.problems, *missing), told=frozenset(told))


def substitute(tree: Any, variables: Mapping[str, str]) -> Any:
    """A copy of the tree with `${env:NAME}` replaced where NAME is among the variables."""
    if isinstance(tree, dict):
        return {key: substitute(value, variables) for key, value in tree.items()}
    if isinstance(tree, list):
        return [substitute(value, variables) for value in tree]
    if isinstance(tree, str):
        return REFERENCE.sub(lambda found: variables.get(found[1], found[0]), tree)
    return tree


def value_at(tree: Any, path: KeyPath, default: Any = None) -> Any:
    """The value at this path in nested mappings and lists, or `default`."""
    for part in path:
        if isinstance(tree, list):
            known = isinstance(part, int) and 0 <= part < len(tree)
        else:
            known = isinstance(tree, dict) and part in tree
        if not known:
            return default
        tree = tree[part]
    return tree


def write_yaml(path: str | Path, tree: Mapping[str, Any]) -> None:
    """Write plain values as readable YAML that reads back identically; the file is complete or not there."""
    atomic_write(Path(path), yaml_text(tree, str(path)))


def yaml_text(tree: Mapping[str, Any], where: str = "config") -> str:
    """Plain values as YAML that `plain_yaml` reads back identically.

    Raises:
        ConfigError: at `where`: values that YAML does not have, or more of them than may be read again.
    """
    text = yaml_lines(_plain(tree, where))
    if len(text.encode()) > MAX_BYTES:
        message = f"written out it is larger than {MAX_BYTES} bytes, which is the limit"
        raise ConfigError([Problem(where, "", message)])
    return text


def plain_yaml(text: str) -> Any:
    """The values of a YAML text that `yaml_text` wrote.

    Raises:
        ConfigError: it is broken.
    """
    return _parse(text, "config").tree


class _Overrides:
    """Applies `a.b.0=value` to a tree, and remembers where each value came from."""

    def __init__(self, tree: dict[str, Any], lines: dict[KeyPath, int]) -> None:
        self.tree = copy.deepcopy(tree)
        self.lines = lines
        self.places: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []

    def apply(self, text: str) -> None:
        name, equals, value = text.partition("=")
        keys = [key.strip() for key in name.split(".")]
        if not equals or not all(keys):
            self._problem(text, "", "must be a dotted path, =, and a value, such as trial.batch_size=16")
            return
        mistake = next(filter(None, map(mistake_in_key, keys)), None)
        if mistake is not None or len(keys) > MAX_DEPTH:
            self._problem(text, "", mistake or f"nested deeper than {MAX_DEPTH}, which is the limit")
            return
        path = dotted(tuple(keys))
        try:
            parsed = parse_yaml(value)
        except UnreadableError as error:
            self._problem(text, path, error.fault.message)
            return
        for fault in parsed.faults:
            self._problem(text, path, fault.message)
        self._set(text, keys, parsed.tree)

    def _set(self, text: str, keys: list[str], value: Any) -> None:
        node: Any = self.tree
        path: KeyPath = ()
        for key in keys:
            if isinstance(node, list) and not (key.isdecimal() and int(key) < len(node)):
                message = (
                    f"received {key!r} as the place in a list of {len(node)}; must be 0 to {len(node) - 1}"
                )
                self._problem(text, dotted((*path, key)), message)
                return
            if not isinstance(node, list | dict):
                message = f"is {shown(node)}, which has no keys; set {dotted(path)} as a whole"
                self._problem(text, dotted(path), message)
                return
            part: Any = int(key) if isinstance(node, list) else key
            path = (*path, part)
            if len(path) == len(keys):
                node[part] = value
            elif isinstance(node, dict) and node.get(key) is None:
                node[part] = {}
                self.places[path] = text
            node = node[part]
        self._place(path, text)

    def _place(self, path: KeyPath, text: str) -> None:
        """What stood at or below the path is gone."""
        for known in (self.lines, self.places):
            for below in [other for other in known if other[: len(path)] == path]:
                del known[below]
        self.places[path] = text

    def _problem(self, text: str, path: str, message: str) -> None:
        self.problems.append(Problem(f"--set {cut(text, MAX_OVERRIDE)}", path, message))


def _read_text(file: Path, name: str) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise ConfigError([Problem(name, "", f"cannot be read: {reason}")]) from None
    if len(data) > MAX_BYTES:
        raise ConfigError([Problem(name, "", f"larger than {MAX_BYTES} bytes, which is the limit")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(f"{name}:{line}", "", "not UTF-8 text; save the file as UTF-8")]) from None


def _parse(text: str, name: str) -> Parsed:
    try:
        return parse_yaml(text)
    except UnreadableError as error:
        fault = error.fault
        raise ConfigError([Problem(f"{name}:{fault.line}", dotted(fault.path), fault.message)]) from None


def _plain(source: Any, where: str) -> Any:
    """Python values as YAML has them: dict with text keys, list, text, number, bool, None."""
    problems: list[Problem] = []
    budget = [MAX_NODES]

    def convert(value: Any, path: KeyPath) -> Any:
        mistakes = list(_mistakes_in(value))
        problems.extend(Problem(where, dotted(path), mistake) for mistake in mistakes)
        if mistakes:
            return None
        budget[0] -= _num_nodes(value)
        if budget[0] < 0:
            raise ConfigError([Problem(where, "", f"more than {MAX_NODES} values, which is the limit")])
        if len(path) > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH}, which is the limit"
            raise ConfigError([Problem(where, dotted(path[:5]), message)])
        if isinstance(value, Mapping):
            return {key: convert(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [convert(item, (*path, index)) for index, item in enumerate(value)]
        kind = next((kind for kind in (bool, int, float) if isinstance(value, kind)), str)
        return None if value is None else kind(value)

    tree = convert(source, ())
    if problems:
        raise ConfigError(problems)
    return tree


def _mistakes_in(value: Any) -> Iterator[str]:
    """Why YAML has no such value, whatever stands inside of it."""
    if isinstance(value, Mapping):
        for key in value:
            mistake = (
                mistake_in_key(key) if isinstance(key, str) else f"a key must be text, received {shown(key)}"
            )
            yield from [mistake] if mistake else []
    elif isinstance(value, str | Path):
        mistake = mistake_in_text(str(value))
        yield from [mistake] if mistake else []
    elif isinstance(value, int):
        if abs(value) >= 10**MAX_DIGITS:
            yield f"a whole number of more than {MAX_DIGITS} digits, which is the limit"
    elif value is not None and not isinstance(value, float | list | tuple):
        yield f"received a {type(value).__name__}; must be a mapping, list, text, number, bool or None"


def _num_nodes(value: Any) -> int:
    """Values and keys, without those inside, as the reader of a text counts them."""
    if isinstance(value, Mapping | list | tuple):
        return 1 + (len(value) if isinstance(value, Mapping) else 0)
    return 1 + len(str(value)) // TEXT_OF_A_NODE


def _variables(tree: Any) -> tuple[dict[str, str], dict[KeyPath, str]]:
    """The environment variables that the tree names and that are set; a message for each that is not."""
    found: dict[str, str] = {}
    missing: dict[KeyPath, str] = {}

    def visit(node: Any, path: KeyPath) -> None:
        if isinstance(node, dict | list):
            for key, item in node.items() if isinstance(node, dict) else enumerate(node):
                visit(item, (*path, key))
        for name in REFERENCE.findall(node) if isinstance(node, str) else ():
            if name in os.environ:
                found[name] = os.environ[name]
            else:
                missing[path] = f"the environment variable {cut(name) or '(empty name)'} is not set"

    visit(tree, ())
    return found, missing
