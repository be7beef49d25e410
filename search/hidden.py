"""Files of the user's own that hide a library: in the current folder, or beside the script that runs."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_LIBRARIES = frozenset(
    ("PIL", "click", "filelock", "google", "matplotlib", "numpy", "optuna", "pandas", "pydantic", "ray")
).union(
    ("rich", "ruamel", "safetensors", "sklearn", "tensorboard", "torch", "trainables"),
    (
        "abc",
        "calendar",
        "copy",
        "dataclasses",
        "email",
        "enum",
        "inspect",
        "io",
        "json",
        "logging",
        "numbers",
    ),
    ("numbers", "operator", "platform", "queue", "random", "secrets", "select", "signal", "socket", "string"),
    ("tempfile", "token", "tokenize", "types", "typing"),
)
"""Without these the program cannot run."""


class HiddenLibraryError(ImportError):
    """A library that this program needs is hidden by a file of the user's own."""


def current_folder_last() -> None:
    """Look into the current folder last, unless it holds this program.

    With `python -m search` it comes first in the search path, and any file in it hides a library.
    """
    folder = _current_folder()
    if sys.argv[:1] == ["-m"] and sys.path[:1] == [folder] and Path(__file__).parents[1] != Path(folder):
        sys.path.append(sys.path.pop(0))


def refuse_hidden_libraries() -> None:
    """Raise HiddenLibraryError for a file that would be imported in the place of a library."""
    own = Path(__file__).resolve().parents[1]
    current = _current_folder()
    for folder in {Path(entry or current).resolve() for entry in (*sys.path[:1], current)} - {own}:
        for name, file in _modules(folder):
            if name in _LIBRARIES and _is_imported(name, file):
                raise HiddenLibraryError(
                    f"{file} hides the library {name}, which this program needs; rename the file, or take "
                    f"{folder} from the front of the search path (PYTHONPATH)"
                )


def _current_folder() -> str:
    """Also where it has been removed, which the commands tell: then nothing lies in it."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return os.devnull


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and files of the modules that lie in the folder."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        name, suffix = os.path.splitext(entry.name)
        inner = Path(entry.path, "__init__.py")
        if suffix == ".py":
            yield name, Path(entry.path)
        elif entry.name in _LIBRARIES and inner.is_file():
            yield name, inner


def _is_imported(name: str, file: Path) -> bool:
    """Whether `import name` imports the file."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == file.resolve()
