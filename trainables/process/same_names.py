"""Modules of the user's own that have the name of an installed one."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from trainables.process.causes import is_own

_MEANT = frozenset(sys.stdlib_module_names).union(
    (
        "PIL",
        "click",
        "cv2",
        "google",
        "jax",
        "lightning",
        "matplotlib",
        "numpy",
        "optuna",
        "pandas",
        "pydantic",
    ),
    (
        "pyarrow",
        "pytorch_lightning",
        "ray",
        "rich",
        "safetensors",
        "scipy",
        "search",
        "sklearn",
        "tensorboard",
    ),
    ("tensorflow", "tokenizers", "torch", "torchvision", "trainables", "transformers", "yaml"),
)
"""Whoever imports one of these means the library, whatever lies beside."""


def ambiguous_imports(folder: Path, failed: str | None = None) -> Iterator[str]:
    """The imports in the user's own modules that an installed module of the same name has taken.

    Args:
        folder: of the user's modules, which is looked into after the installed packages.
        failed: a module that could not be imported. Then what is surely meant for the library counts too.
    """
    imported = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    files = {file for file in imported if file and file.startswith(f"{folder}/") and file.endswith(".py")}
    if failed is not None:
        files.add(str(folder / f"{failed.replace('.', '/')}.py"))
    for file in sorted(filter(is_own, files)):
        yield from _ambiguous(Path(file), folder, _MEANT if failed is None else frozenset())


def _ambiguous(file: Path, folder: Path, meant: frozenset[str]) -> Iterator[str]:
    try:
        status = file.stat()
        imports = _imports(file, status.st_mtime_ns, status.st_size)
    except (OSError, SyntaxError, ValueError):
        return
    for line, name in imports:
        if name not in meant and (found := other_than_in(folder, name)) is not None:
            own, taken = found
            yield f"{file.name}:{line}: imports {name}, which is both your {own} and {taken}; rename yours"


# Each reading of a configuration asks, and parsing all modules of a large project takes seconds.
@functools.cache
def _imports(file: Path, modified_ns: int, size: int) -> tuple[tuple[int, str], ...]:
    """The line and the outermost package of each absolute import in a file."""
    found = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        found += [(node.lineno, name) for name in sorted({each.partition(".")[0] for each in names})]  # type: ignore[attr-defined]
    return tuple(found)


def other_than_in(folder: Path, name: str) -> tuple[str, str] | None:
    """The file of that module in the folder, and what was imported under its name; None without both."""
    own = next((p for p in (folder / f"{name}.py", folder / name / "__init__.py") if p.is_file()), None)
    module = sys.modules.get(name)
    if own is None or module is None:
        return None
    taken = getattr(module, "__file__", None)
    if taken is not None and Path(taken).resolve() == own.resolve():
        return None
    return str(own.relative_to(folder)), taken or f"Python's own module {name}"
