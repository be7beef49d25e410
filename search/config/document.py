"""A configuration as written: a YAML file or Python values, with overrides and the place of each value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from search.addresses import local_path
from search.config.base import Written, with_base
from search.config.secrets import received, without_secrets
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
from trainables.findings import a_type
from trainables.text_file import TextError, decoded

MAX_OVERRIDE = 200
"""Characters of an override that messages show."""
_SIGNS = frozenset("|>-?:,#&*!%@`")
"""Texts that mean something else, or nothing, where YAML has them alone."""


@dataclass(frozen=True)
class Document:
    """The values of a configuration and where each one stands."""

    name: str
    """The file as the user named it; `config` for values from Python."""
    file: Path | None
    tree: dict[str, Any]
    """Plain values as written, overrides applied."""
    places: dict[KeyPath, str] = field(repr=False)
    """`configs/seg.yaml:14` or `--set trial.x=1` for each path that has one of its own."""
    problems: list[Problem] = field(default_factory=list)
    """Problems that did not stop the reading."""
    overrides: tuple[str, ...] = ()
    """What was applied, as it was given."""

    def where(self, path: KeyPath) -> str:
        """The place of this path or of the nearest above it that has one."""
        above = (path[:length] for length in range(len(path), -1, -1))
        return next((self.places[known] for known in above if known in self.places), self.name)

    def located(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems with the file and line, or override, of each one's value."""
        return [p if p.at is None else replace(p, where=self.where(p.at)) for p in problems]


def read_document(
    source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), *, based: bool = True
) -> Document:
    """Read a YAML file over its `base`, or take Python values, and apply overrides such as
    `trial.batch_size=16`.

    Problems that do not stop the reading (a duplicate key, a malformed override) are in `Document.problems`.

    Args:
        based: whether `base` names another file; else it is a key as any other.

    Raises:
        ConfigError: no such file, broken YAML, or not a mapping.
        RefusedError: the file is on another storage, see `local_path`.
    """
    if isinstance(source, Mapping):
        name, file = "config", None
    else:
        name, file = str(source), local_path(source)
    written = Written(_plain(source, "config"), {}, []) if file is None else _read_file(file, name)
    if file is not None and based:
        written = with_base(written, file, name, _read_file)
    if not isinstance(written.tree, dict):
        found = "nothing" if written.tree is None else shown(written.tree)
        raise ConfigError([Problem(name, "", f"must be a mapping (key: value), received {found}")])
    document = Document(name, file, written.tree, written.places, written.problems, tuple(overrides))
    for text in overrides:
        try:
            _override(document, text)
        except ConfigError as error:
            document.problems.extend(error.problems)
    if overrides:
        _plain(document.tree, "--set")
    return document


def read_values(file: Path) -> dict[str, Any]:
    """The values of a YAML file that `write_yaml` wrote.

    Raises:
        ConfigError: it is damaged.
    """
    document = read_document(file, based=False)
    if document.problems:
        raise ConfigError(document.problems)
    return document.tree


def write_yaml(path: str | Path, tree: Mapping[str, Any]) -> None:
    """Write plain values, atomically, as readable YAML that reads back identically."""
    atomic_write(Path(path), yaml_text(tree, str(path)))


def yaml_text(tree: Mapping[str, Any], where: str = "config") -> str:
    """Plain values as YAML that `parse_yaml` reads back identically.

    Raises:
        ConfigError: at `where`: values that YAML does not have, or more of them than may be read again.
    """
    text = write_text(_plain(tree, where))
    if len(text.encode()) > MAX_BYTES:
        message = f"written out it is larger than {MAX_BYTES} bytes, which is the limit"
        raise ConfigError([Problem(where, "", message)])
    return text


def _override(document: Document, text: str) -> None:
    """Apply `a.b.0=value`.

    Raises:
        ConfigError: it is malformed, or leads into a value that has no such place.
    """
    name, equals, value_text = text.partition("=")
    keys = [key.strip() for key in name.split(".")]
    place = f"--set {cut(without_secrets(text, (keys[0],)), MAX_OVERRIDE)}"

    def problem(path: KeyPath, message: str) -> ConfigError:
        return ConfigError([Problem(place, dotted(path), message)])

    if not equals or not all(keys):
        raise problem((), "must be a dotted path, =, and a value, such as trial.batch_size=16")
    for key in keys:
        if wrong := problem_in_key(key):
            raise problem((), wrong)
    parsed = _parsed_value(value_text, place)
    document.problems.extend(parsed.problems)
    node: Any = document.tree
    path: KeyPath = ()
    for key in keys:
        if isinstance(node, list) and not (key.isdecimal() and int(key) < len(node)):
            rule = (
                f"must be an index from 0 to {len(node) - 1}, since {dotted(path)} is a list of {len(node)}"
            )
            raise problem((*path, key), f"received {key!r}; {rule}")
        if not isinstance(node, list | dict):
            raise problem(
                path, f"is {received(node, path)}, which has no keys; set {dotted(path)} as a whole"
            )
        part: Any = int(key) if isinstance(node, list) else key
        path = (*path, part)
        if len(path) == len(keys):
            node[part] = parsed.tree
        elif isinstance(node, dict) and node.get(key) is None:
            node[part] = {}
            document.places[path] = place
        node = node[part]
    for replaced in [known for known in document.places if known[: len(path)] == path]:
        del document.places[replaced]
    document.places[path] = place


def _parsed_value(text: str, place: str) -> Parsed:
    """The value of an override; a single sign of YAML's syntax, such as | for a delimiter, is itself."""
    sign = text.strip()
    return Parsed(sign) if sign in _SIGNS else parse_yaml(text, lambda line: place)


def _read_file(file: Path, name: str) -> Written:
    parsed = parse_yaml(_read_text(file, name), lambda line: f"{name}:{line}")
    places = {path: f"{name}:{line}" for path, line in parsed.lines.items()}
    return Written(parsed.tree, places, parsed.problems)


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
        return decoded(data)
    except TextError as error:
        raise ConfigError([Problem(f"{name}:{error.line}", "", str(error))]) from None


def _plain(source: Any, where: str) -> Any:
    """Python values as YAML has them: dicts with texts or digits as keys, list, text, number, bool, None."""
    problems: list[Problem] = []
    num_nodes = 0

    def convert(value: Any, path: KeyPath) -> Any:
        nonlocal num_nodes
        is_tree = isinstance(value, Mapping | list | tuple)
        num_nodes += 1 + (len(value) if isinstance(value, Mapping) else 0)
        num_nodes += len(value) // TEXT_OF_A_NODE if isinstance(value, str) else 0
        if num_nodes > MAX_NODES:
            raise ConfigError([Problem(where, "", f"more than {MAX_NODES} values, which is the limit")])
        if len(path) > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH}, which is the limit"
            raise ConfigError([Problem(where, dotted(path[:5]), message)])
        if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
            value = value.tolist()
        wrong = _problems_in(value)
        problems.extend(Problem(where, dotted(path), message) for message in wrong)
        if wrong:
            return None
        if isinstance(value, Mapping):
            return {str(key): convert(item, (*path, str(key))) for key, item in value.items()}
        if is_tree:
            return [convert(item, (*path, index)) for index, item in enumerate(value)]
        kind = next((kind for kind in (bool, int, float) if isinstance(value, kind)), str)
        return None if value is None else kind(value)

    tree = convert(source, ())
    if problems:
        raise ConfigError(problems)
    return tree


def _problems_in(value: Any) -> list[str]:
    """Why YAML has no such value, whatever stands inside of it."""
    if isinstance(value, Mapping):
        wrong = [problem for key in value if (problem := problem_in_key(key))]
        twice = [] if wrong else [key for key in value if isinstance(key, int) and str(key) in value]
        return wrong + [f"the key {key} stands twice, as a number and as text; remove one" for key in twice]
    if isinstance(value, str | Path):
        problem = problem_in_text(str(value))
    elif isinstance(value, int):
        too_long = abs(value) >= 10**MAX_DIGITS
        problem = f"a whole number of more than {MAX_DIGITS} digits, which is the limit" if too_long else None
    elif value is None or isinstance(value, float | list | tuple):
        problem = None
    else:
        problem = f"received {a_type(value)}; must be a mapping, list, text, number, bool or None"
    return [problem] if problem else []
