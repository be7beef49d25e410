"""The final output of each command."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.budget.growth import limits_for_more
from search.commands.batch_analysis import BatchNoise, Curve, Reached
from search.commands.batch_sizes import BatchSizes
from search.commands.check import Check
from search.config.stages import open_run
from search.retraining.retrain import Retraining
from search.run.disk.folder import RunFolder
from search.run.outcome.summary import NO_VALUE, RACE, StageOutcome, Summary
from search.screen.texts.audit import audit_lines
from search.screen.texts.best import best_lines
from search.screen.texts.confirm import plan_row
from search.screen.texts.data import overview_text
from search.screen.texts.export import retrain_lines
from search.screen.texts.forecast import compared_text
from search.screen.texts.front import chosen_export
from search.screen.texts.limits import over_limit_lines
from search.screen.texts.plan import plan_notes, plan_rows
from search.study.spent import read_spent
from search.text import (
    command,
    counted,
    duration,
    number_text,
    one_line,
    program,
    short_path,
)
from trainables.training.reported import OF_THE_TRAINER

_WIDTH = 18
_MAX_SKIPPED = 5
"""Number of skipped samples that are listed."""


def summary_text(summary: Summary, *, color: bool = False, flags: Sequence[str] = ()) -> str:
    """Best trial, counts, steps spent and saved, and the commands to run next.

    Args:
        flags: options of the command that go on with it, such as `--local`.
    """
    lines = [*_headlines(summary), *best_lines(summary, color=color)]
    if summary.stages:
        lines += ["", *_stage_lines(summary)]
    saved = ""
    if summary.steps_saved:
        share = summary.steps_saved / (summary.steps + summary.steps_saved)
        saved = f", {summary.steps_saved:,} saved by early stopping ({share:.0%})"
    trained = duration(summary.trial_seconds)
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(summary.counts.items()))
    others = f"; {summary.of_other_data} of them on other data" if summary.of_other_data else ""
    rows = {
        "trials": f"{summary.trials}: {counts}{others}",
        "steps": f"{summary.steps:,} spent{saved}",
        "samples": f"{summary.samples:,}",
        "time": f"{duration(summary.seconds)}; all trials together trained for {trained}",
    }
    if summary.budget_spent:
        rows["budget"] = (
            ", ".join(f"{share:.0%} of {key}" for key, share in summary.budget_spent.items()) + " spent"
        )
    lines += ["", *_table(rows)]
    if summary.forecast is not None:
        lines += _table({"forecast": compared_text(summary.forecast)})
    if summary.failures:
        lines += ["", "failed trials (traceback in error.txt in the trial's folder):"]
        lines += _failure_lines(summary.failures)
    if summary.over_limit:
        lines += ["", *over_limit_lines(summary.over_limit)]
    if summary.skipped_samples:
        lines += ["", *_skipped_lines(summary.skipped_samples)]
    lines += [*audit_lines(summary.audit), "", *next_commands(summary, flags)]
    return "\n".join(lines)


def _headlines(summary: Summary) -> list[str]:
    """How the search ended, and its race where that did not come to its end."""
    if not summary.ended_in_race:
        return [f"search {summary.status}: {_reason(summary)}"]
    search, _, race = _reason(summary).partition(RACE)
    return [f"search complete: {search}", f"race {summary.status}: {race}"]


def _reason(summary: Summary) -> str:
    """Why it ended, without the cause that the table of failed trials begins with."""
    causes = (f": {cause}" for cause in summary.failures.values() if summary.reason.endswith(f": {cause}"))
    return summary.reason.removesuffix(next(causes, ""))


def _stage_lines(summary: Summary) -> list[str]:
    """The best trial of each stage, without the values that `summary_text` shows for the last."""
    lines = _table({f"stage {stage.name}": _stage_text(stage, summary.metric) for stage in summary.stages})
    left = summary.of - len(summary.stages)
    return [*lines, f"{counted(left, 'stage')} not started"] if left else lines


def _stage_text(stage: StageOutcome, metric: str) -> str:
    best = stage.best
    value = f"trial {best.trial}, {metric} {number_text(best.value)}" if best else NO_VALUE
    trials = f"{counted(stage.trials, 'trial')} in {duration(stage.seconds)}"
    return f"{value}; {trials}; {stage.status}: {stage.reason}"


def _skipped_lines(skipped: Mapping[str, str]) -> list[str]:
    lines = [f"{counted(len(skipped), 'sample')} skipped:"]
    for file, reason in list(skipped.items())[:_MAX_SKIPPED]:
        lines.append(f"  {short_path(Path(file))}: {one_line(reason)}")
    more = len(skipped) - _MAX_SKIPPED
    return [*lines, f"  and {more} more, see summary.json"] if more > 0 else lines


def _failure_lines(failures: Mapping[str, str]) -> list[str]:
    """A line for each cause, with the numbers of its trials, the most common first."""
    trials: dict[str, list[str]] = {}
    for number, cause in failures.items():
        trials.setdefault(one_line(cause), []).append(number)
    by_number = sorted(trials.items(), key=lambda item: -len(item[1]))
    return [f"  {', '.join(numbers)}  {cause}" for cause, numbers in by_number]


def next_commands(summary: Summary, flags: Sequence[str]) -> list[str]:
    """What to type after the end of a search."""
    folder = Path(summary.folder)
    unconfirmed = summary.confirmed is not None and summary.confirmed.status == "unfinished"
    word = "confirm" if unconfirmed and summary.ended_in_race else "resume"
    resume = command(word, folder, *flags)
    again = command(word, folder, "--retry-failed", *flags)
    if summary.status in ("interrupted", "terminated"):
        return ["continue with", f"  {resume}"]
    if summary.status == "failed":
        log = f"output of the search: {short_path(folder / 'search.log')}"
        if not summary.failures:
            values = "a narrower space" if summary.over_limit else "other values"
            return [log, f"with {values} under trial:, continue with", f"  {resume} --trials N"]
        return [log, "once the cause is fixed, try the failed trials again with", f"  {again}"]
    if summary.front:
        return ["next", f"  {program('tensorboard', '--logdir', folder)}", f"  {chosen_export(summary)}"]
    if summary.best is not None and summary.best.of_other_data and not summary.stages:
        more = command("resume", folder, *_for_more_trials(summary), *flags)
        return ["for trials on the data as they are now", f"  {more}"]
    retried = ["", "once the cause is fixed, try the failed trials again with", f"  {again}"]
    return [
        "next",
        f"  {program('tensorboard', '--logdir', folder)}",
        f"  {command('export', folder)}",
        *retrain_lines(folder / "export", bool(summary.best and summary.best.schedule)),
        *(retried if summary.failures else ()),
    ]


def _for_more_trials(summary: Summary) -> list[str]:
    """Options of `resume` with which a search has as many trials again, or as much compute."""
    folder, trials = RunFolder(Path(summary.folder)), ["--trials", f"{2 * summary.trials}"]
    if not summary.budget_spent:
        return trials
    config = open_run(folder.config).first
    limits = limits_for_more(read_spent(folder.journal), config)
    return limits if config.budget.trials is None else [*trials, *limits]


def retraining_text(done: Retraining, command: str) -> str:
    """The outcome of a retraining, or the command that continues it."""
    if done.export is None:
        return f"stopped after virtual epoch {done.virtual_epochs} of {done.of}; continue with\n  {command}"
    best = f"{done.export.metric} {number_text(done.export.value)}"
    before = number_text(done.before)
    if not done.trained:
        where, exported = short_path(done.folder), short_path(done.export.folder)
        return (
            f"nothing was trained: {where} holds this retraining already, complete with "
            f"{counted(done.virtual_epochs, 'virtual epoch')}: best {best}, {before} before, "
            f"{'exported to' if done.exported_now else 'in'} {exported}{_worse_text(done)}\n"
            f"to train anew, give another --out, or remove {where} first"
        )
    return (
        f"retrained for {done.of} virtual epochs: best {best}, {before} before\n"
        f"exported to {short_path(done.export.folder)}{_worse_text(done)}"
    )


def _worse_text(done: Retraining) -> str:
    """What follows where a retraining has ended worse than the export that it began with."""
    if not done.is_worse:
        return ""
    return (
        f"\nnote: that is worse than the export that it began with, which stays in "
        f"{short_path(done.source)}; a schedule begins anew with its highest learning rate: try more "
        "--virtual-epochs, or --from-scratch, each with another --out"
    )


def check_text(check: Check, written: Mapping[str, str] | None = None) -> str:
    """The plan of the search, what was understood of the data, the space, and the metrics of the trial.

    Args:
        written: files by what they show, see `write_check`.
    """
    metrics = {name: check.metrics[name] for name in _shown([*check.metrics], check.config.objective.metric)}
    space = check.config.space.describe()
    return "\n".join(
        [
            *_table(plan_rows(check) | plan_row(check)),
            *_data_lines(check.data_changes),
            "",
            *([] if check.data is None else ["data", *_indented(overview_text(check.data)), ""]),
            "space",
            *(f"  {line}" for line in space),
            "",
            "metrics after these few steps",
            "  " + "  ".join(f"{name} {number_text(value)}" for name, value in metrics.items()),
            *_objective_lines(check),
            *(line for doubt in (*check.doubts, *plan_notes(check)) for line in ("", f"note: {doubt}")),
            "",
            *(f"{what}: {file}" for what, file in (written or {}).items()),
            "ok",
        ]
    )


def _shown(names: list[str], objective: str = "") -> list[str]:
    """Without those of single classes (`iou/cat`), unless all metrics have such names (`val/loss`)."""
    return [name for name in names if "/" not in name or name == objective] or names


def _objective_lines(check: Check) -> list[str]:
    """What follows from an objective that is no number."""
    name = check.config.objective.metric
    value = check.metrics.get(name, 0.0)
    if math.isfinite(value):
        return []
    return [f"  {name} is {value}: a trial whose objective is not finite after a virtual epoch has diverged"]


def _data_lines(notes: Sequence[str]) -> list[str]:
    """How the data differ from those of before; empty where they do not."""
    return ["", f"the data {notes[0]}", *(f"  {line}" for line in notes[1:])] if notes else []


def _indented(text: str) -> list[str]:
    return [f"  {line}" if line else "" for line in text.splitlines()]


_COUNTED = ("virtual_epoch", "step", "samples", "seconds")


def retraining_progress(record: Mapping[str, Any], num_virtual_epochs: int) -> str:
    """One virtual epoch's record, with the time left; the task's own metrics first, for narrow terminals."""
    number = record["virtual_epoch"]
    left = record["seconds"] / number * (num_virtual_epochs - number)
    names = _shown([k for k in record if k not in (*_COUNTED, *OF_THE_TRAINER)])
    names += [k for k in OF_THE_TRAINER if k in record]
    values = "  ".join(f"{k} {number_text(record[k])}" for k in names[:8])
    return f"virtual epoch {number}/{num_virtual_epochs}  {duration(left)} left  {values}"


def batch_sizes_text(study: BatchSizes) -> str:
    """A row per batch size, the spread of the loss, and the files that were written."""
    big = study.curves[-1]
    head = (
        f"training loss of {len(study.curves)} batch sizes over {study.num_train:,} samples; the largest, "
        f"{big.batch_size:,}, ends at {number_text(study.target)} after {big.epochs[-1]:g} epochs"
    )
    rows: list[tuple[str, ...]] = [
        ("batch size", "trial", "loss at end", "best loss", "epochs to reach it", "steps to reach it")
    ]
    rows += [_batch_size_row(curve, here) for curve, here in zip(study.curves, study.reached, strict=True)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    notes = [line for note in study.notes for line in ("", f"note: {note}")]
    folder = short_path(Path(study.folder))
    files = [f"  {folder}/{name}" for name in study.files]
    return "\n".join([head, "", *lines, "", *_spread_lines(study.noise), *notes, "", *files])


def _batch_size_row(curve: Curve, reached: Reached | None) -> tuple[str, ...]:
    return (
        f"{curve.batch_size:,}",
        str(curve.trial),
        number_text(curve.losses[-1]),
        number_text(min(curve.losses)),
        "not reached" if reached is None else f"{reached.epochs:g}",
        "not reached" if reached is None else f"{reached.steps:,}",
    )


def _spread_lines(noise: BatchNoise) -> list[str]:
    mean, deviation = noise.means[0], noise.deviations[0]
    return [
        f"spread of the loss: trial {noise.trial} at virtual epoch {noise.virtual_epoch}, on "
        f"{noise.num_samples:,} training samples",
        f"  single samples: standard deviation {deviation:.3g}, mean {mean:.3g}",
        f"  smallest batch with a coefficient of variation below 1: {noise.smallest_batch_cv_below_1:,}",
    ]


def _table(rows: Mapping[str, str]) -> list[str]:
    width = max(_WIDTH, *(len(name) + 2 for name in rows))
    return [f"{name:<{width}}{value}" for name, value in rows.items()]
