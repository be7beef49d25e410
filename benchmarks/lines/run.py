"""How many lines a person writes from a script to a search: of each program, those that the script has not.

    python -m benchmarks.lines.run

prints the table of docs/your_own.md. Blank lines, comments, docstrings and indentation do not count, nor does
what is taken out of the script. All are broken into lines by `ruff format`.
"""

from __future__ import annotations

import ast
import difflib
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = {
    "tune-search": "plain_tune_search",
    "Ray Tune": "plain_ray_tune",
    "Ray Tune, continued after a kill": "plain_ray_tune_resumed",
    "Optuna": "plain_optuna",
    "Optuna, continued after a kill": "plain_optuna_resumed",
}


def code_lines(name: str) -> list[str]:
    """The lines of a program as `ruff format` breaks them, without their indentation."""
    text = (HERE / f"{name}.py").read_text()
    begin = ast.parse(text).body[0].end_lineno or 0  # of the docstring
    lines = (line.strip() for line in text.splitlines()[begin:])
    return [line for line in lines if line and not line.startswith("#")]


def written(name: str, base: str = "plain") -> int:
    """Lines of the program that the script does not have there."""
    difference = difflib.ndiff(code_lines(base), code_lines(name))
    return sum(line.startswith("+ ") for line in difference)


def table() -> list[tuple[str, int]]:
    return [(title, written(name)) for title, name in PROGRAMS.items()]


if __name__ == "__main__":
    print("| plain script to first search with | lines |\n|---|---|")
    for title, lines in table():
        print(f"| {title} | {lines} |")
