"""The path of a training function or Task that is given as a Python object, by which processes import it."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from search.errors import ConfigError, Problem
from trainables.findings import a_type

MAIN = "__main__"
"""The module of what a notebook or console defines; it can be imported nowhere else."""


def path_of_task(task: Any) -> str:
    """`package.module:name` of a function or class; `__main__:name` for one of a notebook or console.

    Raises:
        ConfigError: other processes could not import it.
    """
    name = getattr(task, "__qualname__", "")
    if not (inspect.isfunction(task) or isinstance(task, type)):
        raise _refused(
            task, "must be a training function, def train(trial, …), a subclass of Task, or a configuration"
        )
    if "<" in name:  # <locals>, <lambda>
        raise _refused(
            task,
            "is defined inside another function or is a lambda, which trials, exports and retrainings cannot "
            "import; define it at the top level of its file",
        )
    module = _name_of_main() if task.__module__ == MAIN else task.__module__
    return f"{module}:{name}"


def is_interactive(path: str) -> bool:
    """Whether this is what a notebook or console defines."""
    return path.startswith(f"{MAIN}:")


def _name_of_main() -> str:
    """The module's name under which the file that runs as a script can be imported.

    Raises:
        ConfigError: its name is none that can be.
    """
    main = sys.modules[MAIN]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:  # python -m package.module
        return str(spec.name).removesuffix(f".{MAIN}")
    if file is None:
        return MAIN
    path = Path(file).resolve().with_suffix("")
    folders = [Path.cwd(), *(Path(folder).resolve() for folder in sys.path)]
    parts = next(path.relative_to(folder).parts for folder in folders if path.is_relative_to(folder))
    wrong = next((part for part in parts if not part.isidentifier()), None)
    if wrong is not None:
        rule = "must consist of letters, digits and _, as trials import it"
        raise ConfigError([Problem(str(file), "", f"{wrong!r} in its path {rule}; rename it")])
    return ".".join(parts)


def _refused(task: Any, rule: str) -> ConfigError:
    name = getattr(task, "__qualname__", "") or a_type(task)
    return ConfigError([Problem("search.search", "", f"received {name}, which {rule}")])
