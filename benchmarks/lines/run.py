"""How many lines a person writes from a script to a search: of each program those that the script has not.

    python -m benchmarks.lines.run

prints the table of docs/own_loop.md. Blank lines, comments, docstrings and indentation do not count, nor does
what is taken out of the script. All are broken into lines by `ruff format`.
"""

from __future__ import annotations

import ast
import difflib
from pathlib import Path

HERE = Path(__file__).parent
BASES = {"plain": "plain script", "lightning_module": "LightningModule"}
PROGRAMS = {
    "tune-search, continued after a kill": "tune_search",
    "Ray Tune": "ray_tune",
    "Ray Tune, continued after a kill": "ray_tune_resumed",
    "Optuna": "optuna",
    "Optuna, continued after a kill": "optuna_resumed",
}


def code_lines(name: str) -> list[str]:
    """The lines of a program as `ruff format` breaks them, without their indentation."""
    text = (HERE / f"{name}.py").read_text(encoding="utf-8")
    begin = ast.parse(text).body[0].end_lineno or 0  # of the docstring
    lines = (line.strip() for line in text.splitlines()[begin:])
    return [line for line in lines if line and not line.startswith("#")]


def written(base: str, program: str) -> int:
    """Lines of the program that the script does not have there."""
    difference = difflib.ndiff(code_lines(base), code_lines(program))
    return sum(line.startswith("+ ") for line in difference)


def program_of(base: str, name: str) -> str:
    """`lightning_optuna` for Optuna's of the LightningModule."""
    return f"{base.partition('_')[0]}_{name}"


def table() -> list[str]:
    """In Markdown, a column for each script."""
    rows = [
        f"| {title} | {' | '.join(str(written(base, program_of(base, name))) for base in BASES)} |"
        for title, name in PROGRAMS.items()
    ]
    return [f"| from a … to a search with | {' | '.join(BASES.values())} |", "|---|---|---|", *rows]


if __name__ == "__main__":
    print("\n".join(table()))
