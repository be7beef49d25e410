"""The front of a search with several objectives, on the last screen."""

from __future__ import annotations

from pathlib import Path

from search.config.limits import objectives_text
from search.run.summary import Best, Summary
from search.text import command, counted, value_text

_MOST = 20
"""Trials of the front that are listed."""


def front_lines(summary: Summary) -> list[str]:
    """The trials of the front with their objectives and parameters, the best by the first objective first."""
    lines = [f"the front: {counted(len(summary.front), 'trial')} that no other beats in all objectives"]
    lines += [_line(best) for best in summary.front[:_MOST]]
    more = len(summary.front) - _MOST
    return [*lines, f"  and {more} more, see summary.json"] if more > 0 else lines


def chosen_export(summary: Summary) -> str:
    """The command that exports one of them."""
    return command("export", Path(summary.folder), "--trial", str(summary.front[0].trial))


def _line(best: Best) -> str:
    params = "  ".join(f"{name}={value_text(value)}" for name, value in best.params.items())
    at = f"virtual epoch {best.virtual_epoch}"
    return f"  trial {best.trial}: {objectives_text(best.objectives)} at {at}  {params}"
