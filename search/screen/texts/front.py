"""The front of a search with several objectives on the last screen, and its trials in the live table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from search.config.schema import Objective
from search.config.sections.limits import objective_text, objectives_text
from search.run.outcome.summary import Best, Summary
from search.study.front import objectives_at
from search.study.trial import TrialRecord
from search.text import command, counted, value_text

_MOST = 20
"""Trials of the front that are listed."""


def front_lines(summary: Summary) -> list[str]:
    """The trials of the front with their objectives and parameters, the best by the first objective first."""
    lines = [f"the front: {counted(len(summary.front), 'trial')} that no other beats in all objectives"]
    lines += [_line(best) for best in summary.front[:_MOST]]
    more = len(summary.front) - _MOST
    return [*lines, f"  and {more} more, see summary.json"] if more > 0 else lines


def other_objectives(record: TrialRecord, objectives: Sequence[Objective]) -> list[str]:
    """All objectives of a running search's trial but the first, as far as they are known: cells of a table.

    Those at the virtual epoch that is best by the first; what is measured is known before any.
    """
    known = objectives_at(record, objectives) if objectives and record.values else record.measured
    found = ((objective.metric, known.get(objective.metric, math.nan)) for objective in objectives[1:])
    return [objective_text(name, value) if math.isfinite(value) else "" for name, value in found]


def chosen_export(summary: Summary) -> str:
    """The command that exports one of them."""
    return command("export", Path(summary.folder), "--trial", str(summary.front[0].trial))


def _line(best: Best) -> str:
    params = "  ".join(f"{name}={value_text(value)}" for name, value in best.params.items())
    at = f"virtual epoch {best.virtual_epoch}"
    return f"  trial {best.trial}: {objectives_text(best.objectives)} at {at}  {params}"
