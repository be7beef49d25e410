"""A configuration as written: a YAML file or Python values, with overrides and the place of each value."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from search.config.yaml import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_NODES,
    TEXT_OF_A_NODE,
    Parsed,
    parse_yaml,
    problem_in_key,
    problem_in_text,
    write_text,
)
from search.errors import ConfigError, KeyPath, Problem
from search.text import cut, dotted, shown
from trainables.files import atomic_write

MAX_OVERRIDE = 200
"""Characters of an override that messages show."""


@dataclass(frozen=True)
class Document:
    """The values of a configuration and where each one stands."""

    name: str
    """The file as the user named it; `config` for values from Python."""
    file: Path | None
    tree: dict[str, Any]
    """Plain values as written, overrides applied."""
    lines: Mapping[KeyPath, int] = field(repr=False)
    overrides: Mapping[KeyPath, str] = field(repr=False)
    """Path to the text after `--set`."""
    problems: tuple[Problem, ...] = ()
    """What is wrong but did not stop the reading."""

    def where(self, path: KeyPath) -> str:
        """`configs/seg.yaml:14`, `--set trial.x=1` or `config`, for this path or the nearest above it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.overrides:
                return f"--set {cut(self.overrides[path[:length]], MAX_OVERRIDE)}"
            if path[:length] in self.lines:
                return f"{self.name}:{self.lines[path[:length]]}"
        return self.name

    def located(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems with the file and line, or override, of each one's value."""
        return [p if p.at is None else replace(p, where=self.where(p.at)) for p in problems]


def read_document(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Document:
    """Read a YAML file, or take Python values, and apply overrides such as `trial.batch_size=16`.

    What does not stop the reading (a key that stands twice, a malformed override) is in `problems` of what is
    returned.

    Raises:
        ConfigError: there is nothing to go on with: no such file, broken YAML, not a mapping.
    """
    if isinstance(source, Mapping):
        name, file, parsed = "config", None, Parsed(_plain(source, "config"))
    else:
        name, file = str(source), Path(source)
        parsed = parse_yaml(_read_text(file, name), f"{name}:{{}}".format)
    if not isinstance(parsed.tree, dict):
        found = "nothing" if parsed.tree is None else shown(parsed.tree)
        raise ConfigError([Problem(name, "", f"must be a mapping (key: value), received {found}")])
    edit = _Overrides(parsed.tree, parsed.lines)
    for text in overrides:
        edit.apply(text)
    if overrides:
        _plain(edit.tree, "--set")
    problems = (*parsed.problems, *edit.problems)
    return Document(name, file, edit.tree, edit.lines, edit.places, problems)


def read_values(file: Path) -> dict[str, Any]:
    """The values of a YAML file that `write_yaml` wrote.

    Raises:
        ConfigError: it is damaged.
    """
    document = read_document(file)
    if document.problems:
        raise ConfigError(document.problems)
    return document.tree


def write_yaml(path: str | Path, tree: Mapping[str, Any]) -> None:
    """Write plain values as readable YAML that reads back identically; the file is complete or not there."""
    atomic_write(Path(path), yaml_text(tree, str(path)))


def yaml_text(tree: Mapping[str, Any], where: str = "config") -> str:
    """Plain values as YAML that `plain_yaml` reads back identically.

    Raises:
        ConfigError: at `where`: values that YAML does not have, or more of them than may be read again.
    """
    text = write_text(_plain(tree, where))
    if len(text.encode()) > MAX_BYTES:
        message = f"written out it is larger than {MAX_BYTES} bytes, which is the limit"
        raise ConfigError([Problem(where, "", message)])
    return text


def plain_yaml(text: str) -> Any:
    """The values of a YAML text that `yaml_text` wrote.

    Raises:
        ConfigError: it is broken.
    """
    return parse_yaml(text).tree


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
        problem = next(filter(None, map(problem_in_key, keys)), None)
        if problem is not None or len(keys) > MAX_DEPTH:
            self._problem(text, "", problem or f"nested deeper than {MAX_DEPTH}, which is the limit")
            return
        try:
            parsed = parse_yaml(value)
        except ConfigError as error:
            self._problem(text, dotted(tuple(keys)), error.problems[0].message)
            return
        for problem_inside in parsed.problems:
            self._problem(text, dotted(tuple(keys)), problem_inside.message)
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


def _plain(source: Any, where: str) -> Any:
    """Python values as YAML has them: dict with text keys, list, text, number, bool, None."""
    problems: list[Problem] = []
    budget = [MAX_NODES]

    def convert(value: Any, path: KeyPath) -> Any:
        reasons = list(_problems_in(value))
        problems.extend(Problem(where, dotted(path), reason) for reason in reasons)
        if reasons:
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


def _problems_in(value: Any) -> Iterator[str]:
    """Why YAML has no such value, whatever stands inside of it."""
    if isinstance(value, Mapping):
        for key in value:
            reason = (
                problem_in_key(key) if isinstance(key, str) else f"a key must be text, received {shown(key)}"
            )
            yield from [reason] if reason else []
    elif isinstance(value, str | Path):
        reason = problem_in_text(str(value))
        yield from [reason] if reason else []
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
