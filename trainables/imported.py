"""A name with a colon is imported: `package.module:Name`, with the keys beside it as its arguments."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables.findings import a_type

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_MAX_KNOWN = 12
_MAX_FILES = 500


def is_path(name: Any) -> bool:
    """Whether this is the path of something to import, and no name of a built-in."""
    return isinstance(name, str) and ":" in name


def check_path(path: str) -> str:
    """The path as it is.

    Raises:
        ValueError: it cannot be one.
    """
    module, _, name = path.partition(":")
    if module.endswith(".py"):  # a file's name
        module = module.removesuffix(".py").removeprefix("./").replace("/", ".")
        raise ValueError(f"must be package.module:Name; write {module}:{name}")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise ValueError("must be package.module:Name")
    return path


def import_path(path: str) -> Callable[..., Any]:
    """The class or function at this path.

    Raises:
        ValueError: there is none, its module cannot be imported, or it cannot be called.
    """
    module, _, name = path.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        if not hasattr(found, part):
            public = [key for key, value in vars(found).items() if key[0] != "_" and callable(value)]
            owner = f"the module {module}" if inspect.ismodule(found) else path.removesuffix(f".{part}")
            raise ValueError(f"{owner} has no {part!r}{_nearest(part, public)}")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{path} is {a_type(found)}; must be a class or a function")
    return found


def import_module(name: str) -> Any:
    """The module of this name, from the installed packages or the current folder.

    Raises:
        ValueError: there is none, or it raises while it is imported.
    """
    from trainables.process.imports import import_own  # which imports torch

    try:
        return import_own(name, (os.getcwd(),))
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ValueError(no_module(error.name)) from error
        raise ValueError(_cannot_import(name, error)) from error
    except Exception as error:  # whatever the module raises
        raise ValueError(_cannot_import(name, error)) from error


def no_module(name: str) -> str:
    """What is said of a module that does not exist, with one of a near name in the current folder or a folder
    of it, as beside a configuration."""
    here = Path.cwd()
    files = sorted((*here.glob("*.py"), *here.glob("*/*.py")), key=lambda file: len(file.parts))[:_MAX_FILES]
    modules: dict[str, str] = {}
    for file in files:
        if (file.stem.isidentifier() and file.parent.name.isidentifier()) or file.parent == here:
            modules.setdefault(file.stem, ".".join(file.relative_to(here).with_suffix("").parts))
    close = difflib.get_close_matches(name.rpartition(".")[2], modules, n=1)
    hint = f"; did you mean {modules[close[0]]!r}?" if close else ""
    return f"there is no module {name!r} in the current folder or among the installed packages{hint}"


def _cannot_import(name: str, error: Exception) -> str:
    from trainables.process.causes import on_one_line, place_of  # which imports pydantic

    place = place_of(error)
    text = on_one_line(str(error), "the text of the exception") or "no message"
    if "ray.init" in text:
        text += "; this program starts Ray itself: leave ray.init to what runs as a script"
    kind = "" if type(error).__name__ == "ExitOnImportError" else f"{type(error).__name__}: "
    return f"the module {name} cannot be imported: {kind}{text}{f' ({place})' if place else ''}"


def call(path: str, arguments: Mapping[str, Any], *passed: Any) -> Any:
    """What the class or function at this path returns.

    Raises:
        ValueError: as `import_path`, or it raised, with its arguments.
    """
    target = import_path(path)
    try:
        return target(*passed, **arguments)
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise ValueError(f"{path}({given}) raised {type(error).__name__}: {error}") from error


def bind(path: str, arguments: Mapping[str, Any]) -> Any:
    """The instance of a class made with these arguments, or a function that they are bound to.

    Raises:
        ValueError: as `call`.
    """
    target = import_path(path)
    return call(path, arguments) if isinstance(target, type) else functools.partial(target, **arguments)


def takes(path: str, name: str) -> bool:
    """Whether the class or function has an argument of this name."""
    try:
        return name in inspect.signature(import_path(path)).parameters
    except (TypeError, ValueError):
        return False


def argument_problems(
    path: str, arguments: Mapping[str, Any], passed: Sequence[str], given: Sequence[str] = ()
) -> Iterator[tuple[str | None, str]]:
    """Key and message of each argument that is not taken; key None and message of those that are missing.

    Args:
        passed: what is passed before the arguments, by position.
        given: arguments that are added to these where they are taken.

    Raises:
        ValueError: as `import_path`.
    """
    try:
        parameters = list(inspect.signature(import_path(path)).parameters.values())
    except TypeError:  # some classes written in C have none
        return
    places = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    any_number = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    if len(places) < len(passed) and not any_number:
        yield None, f"{path} is called with {', '.join(passed)}, and takes {len(places)} of these"
        return
    own = [parameter for parameter in parameters if parameter not in places[: len(passed)]]
    known = {p.name: p for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
        for key in arguments:
            if key not in known:
                yield key, f"{path} has no argument {key!r}{_nearest(key, list(known))}"
    there = {*arguments, *given}
    missing = [name for name, p in known.items() if p.default is p.empty and name not in there]
    if missing:
        yield None, f"{path} needs {', '.join(missing)} too; write them beside name"


def _nearest(word: str, known: Sequence[str]) -> str:
    if not known:
        return "; it takes none"
    close = difflib.get_close_matches(word, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    more = ", …" if len(known) > _MAX_KNOWN else ""
    return f"{hint} known: {', '.join(known[:_MAX_KNOWN])}{more}"
