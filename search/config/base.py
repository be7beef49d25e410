"""`base: common.yaml`: the files over which a configuration is merged, each named by the one before."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from search.addresses import local_path
from search.config.merging import merge
from search.errors import ConfigError, KeyPath, Problem, RefusedError
from search.text import nearest, shown

KEY = "base"
_NOT_INHERITED = ("name",)
"""The run of another file is another run."""


class Written(NamedTuple):
    """The values of a file, the place of each, and problems that did not stop the reading."""

    tree: Any
    places: dict[KeyPath, str]
    problems: list[Problem]


Read = Callable[[Path, str], Written]
"""Reads a file that messages call by a name."""


def with_base(written: Written, file: Path, name: str, read: Read) -> Written:
    """The values merged over those of the base, and of its base, if a file names one.

    Raises:
        ConfigError: the base is no file, or is based on the file itself.
    """
    chain = [(file, name)]
    found = [written]
    while isinstance(found[-1].tree, dict) and KEY in found[-1].tree:
        base, base_name = _base_of(found[-1], *chain[-1])
        if any(base.samefile(other) for other, _ in chain):
            circle = " -> ".join([*(each for _, each in chain), base_name])
            raise _problem(found[-1], f"{circle}: a file cannot be its own base; remove one of these lines")
        chain.append((base, base_name))
        found.append(read(base, base_name))
        if not isinstance(found[-1].tree, dict):
            message = f"must be a mapping (key: value), received {shown(found[-1].tree)}"
            raise ConfigError([Problem(base_name, "", message)])
    whole = found.pop()
    while found:
        whole = _over(whole, found.pop())
    return whole


def _over(base: Written, over: Written) -> Written:
    replaced: dict[KeyPath, KeyPath] = {}
    inherited = {key: value for key, value in base.tree.items() if key not in _NOT_INHERITED}
    own = {key: value for key, value in over.tree.items() if key != KEY}
    tree = merge(inherited, own, (), (), replaced)

    def stays(path: KeyPath) -> bool:
        return not any(path[:length] in replaced for length in range(len(path) + 1))

    places = {path: where for path, where in base.places.items() if stays(path)} | over.places
    return Written(tree, places, [*base.problems, *over.problems])


def _base_of(written: Written, file: Path, name: str) -> tuple[Path, str]:
    """The file that `base` names, relative to the file that has the key."""
    given = written.tree[KEY]
    if not isinstance(given, str) or not given.strip():
        rule = "must be one file, relative to this one"
        several = "; a base may have a base of its own" if isinstance(given, list) else ""
        raise _problem(written, f"received {shown(given)}; {rule}, such as common.yaml{several}")
    try:
        path = local_path(given).expanduser()
    except RefusedError as error:
        raise _problem(written, f"received {shown(given)}; {error}") from None
    base, base_name = file.parent / path, os.path.normpath(Path(name).parent / path)
    # Unlike those of pathlib, these take names that are too long for a file.
    if not os.path.isfile(base):
        folder = base.parent
        known = (path.name for path in folder.iterdir() if path.is_file()) if os.path.isdir(folder) else ()
        close = nearest(base.name, known)
        hint = f"; did you mean {Path(given).with_name(close)}?" if close else ""
        what = "is a folder; must be a file" if os.path.isdir(base) else f"there is no file {base_name}{hint}"
        raise _problem(written, what)
    return base, base_name


def _problem(written: Written, message: str) -> ConfigError:
    return ConfigError([Problem(written.places.get((KEY,), "config"), KEY, message)])
