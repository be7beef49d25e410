"""What was copied for Optuna's tools, as text."""

from __future__ import annotations

from importlib.util import find_spec

from search.optuna_copy.copy import OptunaCopy
from search.screen.columns import Column, table_lines
from search.text import program, short_path


def copy_text(copy: OptunaCopy) -> str:
    """The studies, and the command that opens them."""
    columns = [
        Column("study", [study.name for study in copy.studies]),
        Column("trials", [f"{len(study.trials):,}" for study in copy.studies], right=True),
    ]
    lines = [*table_lines(columns), "", f"written to {short_path(copy.file)}"]
    if copy.is_running:
        lines.append("the search goes on: the same command writes a newer copy; then open that anew")
    missing = find_spec("optuna_dashboard") is None
    install = ["  pip install optuna-dashboard"] if missing else []
    return "\n".join([*lines, "", "next", *install, f"  {program('optuna-dashboard', copy.file)}"])
