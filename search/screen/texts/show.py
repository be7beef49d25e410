"""A run with its trials, as text."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from search.config.sections.limits import objective_text
from search.listing.rows import TrialRow
from search.listing.runs import ListedRun
from search.listing.show import ShownRun, ShownStage
from search.listing.state import LIVING, State
from search.run.outcome.summary import as_best
from search.screen.columns import Column, table_lines, width_of
from search.screen.texts.best import best_trial_lines
from search.screen.texts.confirm import confirmed_lines
from search.screen.texts.list import disk_text, last_report_text, progress_text, state_text, trials_text
from search.screen.texts.trial import labelled
from search.text import command, counted, number_text, one_line, printable, program, short_path, value_text

_MOST_ROWS = 20
"""Trials of a table that are shown unless all are asked for."""
_MOST_NAMED = 10
"""Trials that are named with the cause of their failure."""
_WIDTH = 13


def run_text(
    shown: ShownRun, *, width: int | None = None, everything: bool = False, color: bool = False
) -> str:
    """State, best trial, tables of trials, failures, race, and the commands to type next.

    Args:
        width: of the terminal; None leaves no column out.
        everything: all trials, not only the best of each stage.
    """
    run = shown.run
    head = [f"{run.name}: {state_text(run.state)}{_reason(run)}", *_facts(run)]
    lines = []
    for stage in reversed(shown.stages):
        lines += ["", *_stage_lines(stage, width, everything)]
    if run.race is not None:
        lines += ["", *confirmed_lines(run.race, run.objectives[0].metric)]
    lines += ["", *_next(shown)]
    return "\n".join([*map(printable, head), *_best(run, color), *map(printable, lines)])


def _reason(run: ListedRun) -> str:
    return f": {one_line(run.state.reason)}" if run.state.reason else ""


def _facts(run: ListedRun) -> list[str]:
    rows = {
        "trials": f"{trials_text(run)} ended, {run.progress.trials:,} begun" if run.progress else "",
        "progress": progress_text(run),
        "last report": last_report_text(run, time.time()),
        "size on disk": disk_text(run),
        "stages": f"{len(run.stages)} of {run.num_stages} begun" if run.stages else "",
        "folder": short_path(run.folder),
    }
    return [f"{name:<{_WIDTH}}{text}" for name, text in rows.items() if text]


def _best(run: ListedRun, color: bool) -> list[str]:
    """The best trial and its parameters; with several objectives the table has the front."""
    if run.best is None or run.front is not None:
        return []
    stage, record = run.best
    best = as_best(record, stage.records, stage.config.objective.mode, stage.folder)
    of = [f"of stage {stage.name}:"] if stage.name else []
    return ["", *of, *best_trial_lines(best, stage.config.objective.metric, color)]


def _stage_lines(stage: ShownStage, width: int | None, everything: bool) -> list[str]:
    rows = stage.rows if everything else stage.rows[:_MOST_ROWS]
    lines = [f"stage {stage.name}"] if stage.name else []
    if not rows:
        return [*lines, "no trial has begun"]
    columns, hidden = _fitting(stage, rows, width)
    lines += table_lines(columns, width)
    if len(rows) < len(stage.rows):
        lines.append(f"and {counted(len(stage.rows) - len(rows), 'trial')} more: --all shows them")
    if hidden:
        lines.append(f"not shown: {', '.join(hidden)}; a wider terminal or --json shows them")
    if any(row.on_front for row in stage.rows):
        lines.append("* on the front: no other trial beats it in all objectives")
    if stage.failures:
        lines += ["", *_failure_lines(stage)]
    return lines


def _fitting(
    stage: ShownStage, rows: Sequence[TrialRow], width: int | None
) -> tuple[list[Column], list[str]]:
    """The columns that a terminal has room for, and the labels of the parameters that it has not."""
    columns = _columns_of(stage, rows)
    params = [labelled(row.params, stage.names) for row in rows]
    labels = list(dict.fromkeys(label for each in params for label in each))
    hidden = []
    for label in labels:
        values = [each.get(label, "") for each in params]
        is_text = any(value and isinstance(value, str) for value in values)
        wider = [*columns, Column(label, [value_text(value) for value in values], right=not is_text)]
        if width is None or width_of(wider) <= width:
            columns = wider
        else:
            hidden.append(label)
    return columns, hidden


def _columns_of(stage: ShownStage, rows: Sequence[TrialRow]) -> list[Column]:
    # The stage stands above the table.
    trials = [f"{row.record.number}{'*' if row.on_front else ''}" for row in rows]
    columns = [
        Column("trial", trials, right=True),
        Column(stage.metric, [number_text(row.value) for row in rows], right=True),
    ]
    window = max(row.record.window for row in rows)
    if window > 1:
        columns.append(Column(f"mean of {window}", [number_text(row.mean) for row in rows], right=True))
    for name in stage.objectives[1:]:
        found = [row.objectives.get(name, math.nan) for row in rows]
        cells = [objective_text(name, value) if math.isfinite(value) else "" for value in found]
        columns.append(Column(name, cells, right=True))
    return [
        *columns,
        Column("virtual epochs", [str(row.virtual_epochs) for row in rows], right=True),
        Column("state", [row.state for row in rows]),
    ]


def _failure_lines(stage: ShownStage) -> list[str]:
    """A line for each cause, with its trials, the most common first."""
    lines = ["failed and diverged trials (tracebacks are in error.txt in their folders):"]
    for cause, trials in stage.failures.items():
        named = ", ".join(str(trial) for trial in trials[:_MOST_NAMED])
        more = f" and {len(trials) - _MOST_NAMED} more" if len(trials) > _MOST_NAMED else ""
        lines.append(f"  {named}{more}  {one_line(cause)}")
    return lines


def _next(shown: ShownRun) -> list[str]:
    run = shown.run
    if run.state.state is State.DAMAGED:
        return ["next", f"  {command('verify', run.folder)}"]
    lines = ["next"]
    trial = None if run.best is None else run.best[0].name_of(run.best[1])
    if trial is not None:
        lines.append(f"  {command('show', run.folder, '--trial', str(trial))}")
    if run.state.state in LIVING:
        return [*lines, f"  {program('tensorboard', '--logdir', run.folder)}"]
    if run.state.state is not State.COMPLETE:
        waits = run.race is not None and "its race" in run.state.reason
        return [*lines, f"  {command('confirm' if waits else 'resume', run.folder)}"]
    chosen = [] if run.front is None or trial is None else ["--trial", str(trial)]
    return [*lines, f"  {command('export', run.folder, *chosen)}"]
