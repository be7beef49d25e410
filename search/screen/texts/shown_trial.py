"""One trial, as text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from search.config.sections.limits import objective_text
from search.listing.jobs import Job
from search.listing.show import KeptCheckpoint, ReachedRung, ShownTrial
from search.screen.columns import Column, table_lines
from search.screen.curve import curve_lines
from search.study.trial import NO_VERDICT
from search.text import (
    command,
    counted,
    duration,
    number_text,
    one_line,
    printable,
    program,
    short_path,
    size_text,
    value_text,
)
from trainables.checkpoints.checkpoint import checkpoint_folder

_WIDTH = 13


def trial_text(shown: ShownTrial, *, width: int | None = None, encoding: str = "utf-8") -> str:
    """Parameters, learning curve, rungs, jobs, failures, checkpoints, files, and what to type next.

    Args:
        width: of the terminal.
        encoding: of the terminal.
    """
    record, run = shown.row.record, shown.run
    reason = f": {one_line(shown.row.reason)}" if shown.row.reason else ""
    lines = [f"trial {shown.row.trial} of {run.name}, {shown.row.state}{reason}", *_facts(shown), ""]
    params = [f"  {name} = {value_text(value)}" for name, value in shown.row.params.items()]
    lines += params or ["no parameters: nothing is searched"]
    if record.values:
        marked = [rung.virtual_epoch for rung in shown.rungs]
        lines += ["", f"{shown.stage.config.objective.metric} by virtual epoch"]
        lines += curve_lines(record.values, marked, width=width or 80, encoding=encoding)
    if shown.rungs:
        lines += ["", *_rung_lines(shown)]
    lines += ["", *_job_lines(shown.jobs)]
    if record.failures:
        lines += ["", *_failure_lines(shown)]
    lines += ["", *_checkpoint_lines(shown.checkpoints), "", *_file_lines(shown), "", *_next(shown)]
    return "\n".join(map(printable, lines))


def _facts(shown: ShownTrial) -> list[str]:
    record, mode = shown.row.record, shown.stage.config.objective.mode
    length = shown.stage.config.budget.max_virtual_epochs
    rows = {}
    if shown.row.value is not None:
        value = f"{shown.stage.config.objective.metric} {number_text(shown.row.value)}"
        mean = record.mean(mode)
        by = f" ({number_text(mean)} on average over {min(record.window, record.depth)} virtual epochs)"
        rows["best value"] = (
            f"{value} at virtual epoch {shown.row.best_virtual_epoch}"
            f"{by if record.window > 1 and mean is not None else ''}"
        )
    for name, other in list(shown.row.objectives.items())[1:]:
        rows[name] = objective_text(name, other)
    if shown.row.rank is not None:
        rows["rank"] = f"{shown.row.rank} of {shown.of}"
    trained = f", {record.steps:,} steps in {duration(record.seconds)}" if record.depth else ""
    rows["trained"] = f"{record.depth} of {counted(length, 'virtual epoch')}{trained}"
    notes = {
        "let through to full length": record.audited,
        "trained on other data than there are now": record.of_other_data,
        "from points_to_evaluate": record.known is not None,
    }
    rows["note"] = "; ".join(text for text, holds in notes.items() if holds)
    return [f"{name:<{_WIDTH}}{text}" for name, text in rows.items() if text]


def _rung_lines(shown: ShownTrial) -> list[str]:
    rungs: list[ReachedRung] = shown.rungs
    columns = [
        Column("rung", [str(rung.rung) for rung in rungs], right=True),
        Column("virtual epoch", [str(rung.virtual_epoch) for rung in rungs], right=True),
        Column("best up to there", [number_text(rung.value) for rung in rungs], right=True),
    ]
    if any(rung.rank is not None for rung in rungs):
        ranks = ["" if rung.rank is None else f"{rung.rank} of {rung.of}" for rung in rungs]
        columns.append(Column("rank by now", ranks, right=True))
    unit = shown.axis.replace("_", " ")
    return [*table_lines(columns), *([f"rungs are in {unit}"] if unit != "virtual epochs" else [])]


def _job_lines(jobs: Sequence[Job]) -> list[str]:
    columns = [
        Column("job", [str(number) for number in range(1, len(jobs) + 1)], right=True),
        Column("virtual epochs", [_range(job) for job in jobs], right=True),
        Column("began", [job.began for job in jobs]),
        Column("now or at its end", [job.ended for job in jobs]),
    ]
    if any(job.at is not None for job in jobs):
        columns.append(Column("at", [_clock(job.at) for job in jobs], right=True))
        columns.append(Column("for", [_lasted(job.seconds) for job in jobs], right=True))
    return table_lines(columns)


def _clock(at: float | None) -> str:
    """By the clock here."""
    return "" if at is None else f"{datetime.fromtimestamp(at):%F %H:%M:%S}"


def _lasted(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _range(job: Job) -> str:
    if job.until <= job.after:
        return "none"
    return str(job.until) if job.until == job.after + 1 else f"{job.after + 1} to {job.until}"


def _failure_lines(shown: ShownTrial) -> list[str]:
    lines = [f"{counted(len(shown.failures), 'attempt')} failed:"]
    for failure in shown.failures:
        host = f" on {failure.host}" if failure.host else ""
        lines.append(
            f"  after virtual epoch {failure.depth}{host}: {failure.kind.value}: {one_line(failure.cause)}"
        )
    return lines


def _checkpoint_lines(checkpoints: Sequence[KeptCheckpoint]) -> list[str]:
    if not checkpoints:
        return ["no checkpoint on disk"]
    columns = [
        Column("checkpoint", [each.name for each in checkpoints]),
        Column("size", [size_text(each.num_bytes) for each in checkpoints], right=True),
        Column("", list(map(_integrity, checkpoints))),
    ]
    return table_lines(columns)


def _integrity(checkpoint: KeptCheckpoint) -> str:
    if checkpoint.unread:
        return f"not verified: {checkpoint.unread}"
    return f"damaged: {checkpoint.damage}" if checkpoint.damage else "intact"


def _file_lines(shown: ShownTrial) -> list[str]:
    rows = {"folder": short_path(shown.folder)}
    if shown.log.is_file():
        rows["log"] = short_path(shown.log)
    if shown.events:
        rows["TensorBoard"] = counted(len(shown.events), "event file") + " in the folder"
    if shown.trace is not None:
        rows["traceback"] = short_path(shown.trace)
    return [f"{name:<{_WIDTH}}{text}" for name, text in rows.items()]


def _next(shown: ShownTrial) -> list[str]:
    record, stage = shown.row.record, shown.stage
    lines = ["next"]
    if shown.events:
        lines.append(f"  {program('tensorboard', '--logdir', shown.folder)}")
    best = shown.row.best_virtual_epoch
    there = best is not None and checkpoint_folder(shown.folder, best).is_dir()
    if there and record.outcome not in NO_VERDICT:
        lines.append(f"  {command('export', stage.folder.path, '--trial', str(record.number))}")
    return [*lines, f"  {command('show', shown.run.folder)}"]
