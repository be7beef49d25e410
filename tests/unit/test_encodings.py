"""Text is UTF-8, whatever the locale: every file and every pipe that is opened says so."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN = ("read_text", "write_text")
"""Functions of this program with such a name, which take a path first."""


def opened_as_text(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls that open text without naming its encoding."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(key.arg in ("encoding", None) for key in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        of_path = isinstance(node.func, ast.Attribute)
        if (
            (name in OWN and of_path and len(node.args) <= (name == "write_text"))
            or any(key.arg == "text" and ast.unparse(key.value) == "True" for key in node.keywords)
            or (name in ("open", "fdopen") and is_text_mode(node, first=name == "fdopen" or not of_path))
        ):
            yield node


def is_text_mode(call: ast.Call, first: bool) -> bool:
    """Whether the mode, which stands after the file where that is the first argument, is one of text."""
    modes = [key.value for key in call.keywords if key.arg == "mode"] or call.args[first : first + 1]
    mode = modes[0].value if modes and isinstance(modes[0], ast.Constant) else "r" if not modes else None
    return isinstance(mode, str) and set(mode) <= set("rwax+") and "b" not in mode


def test_every_text_that_is_opened_names_its_encoding() -> None:
    files = [file for room in ("search", "trainables", "benchmarks") for file in (ROOT / room).rglob("*.py")]
    found = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for file in files
        for call in opened_as_text(ast.parse(file.read_bytes()))
    ]
    assert len(files) > 100
    assert found == []


def test_what_opens_text_without_its_encoding_is_found() -> None:
    wrong = (
        'p.read_text(); p.write_text("x"); p.open(); p.open("a"); open(f); open(f, "w"); os.fdopen(1, "w")'
    )
    wrong += "; run(command, text=True)"
    right = (
        'p.open("rb"); os.open(f, 1); open(f, mode="wb"); read_text(root, f); Image.open(f); p.open("w", **k)'
    )
    assert len(list(opened_as_text(ast.parse(wrong)))) == 8
    assert list(opened_as_text(ast.parse(right))) == []
