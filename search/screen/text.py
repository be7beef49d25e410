"""The last screen of each command, as text."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from search.commands.check import Check
from search.commands.clean import Cleaning
from search.commands.export import Export
from search.commands.retrain import Retraining
from search.commands.verify import Verification
from search.run.housekeeping import size_text
from search.run.staged_summary import StagedSummary, StageOutcome
from search.run.summary import Summary
from search.screen.live import duration, number_text, one_line, short_path, value_text

_WIDTH = 18
_MAX_SKIPPED = 5
"""Skipped samples that the last screen names."""


def summary_text(summary: Summary, *, color: bool = False) -> str:
    """Best trial, counts, steps spent and saved, and what to type next."""
    folder = short_path(Path(summary.folder))
    lines = [f"search {summary.status}: {summary.reason}", ""]
    if summary.best is None:
        lines.append("no trial has a value")
    else:
        best = summary.best
        head = f"best trial {best.trial}: {summary.metric} {number_text(best.value)}"
        lines.append(_bold(head, color) + f" at virtual epoch {best.virtual_epoch}, step {best.step}")
        lines += [f"  {name} = {value_text(value)}" for name, value in best.params.items()]
    if isinstance(summary, StagedSummary):
        lines += ["", *_stage_lines(summary)]
    full = summary.steps + summary.steps_saved
    share = summary.steps_saved / full if full else 0.0
    saved = f", {summary.steps_saved:,} saved by early stopping ({share:.0%})" if summary.steps_saved else ""
    trained = duration(summary.trial_seconds)
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(summary.counts.items()))
    rows = {
        "trials": f"{summary.trials}: {counts}",
        "steps": f"{summary.steps:,} spent{saved}",
        "samples": f"{summary.samples:,}",
        "time": f"{duration(summary.seconds)}; all trials together trained for {trained}",
    }
    lines += ["", *_table(rows)]
    if summary.failures:
        lines += ["", "failed trials (the trace is in error.txt of the trial's folder):"]
        lines += [f"  {number}  {one_line(cause)}" for number, cause in summary.failures.items()]
    if summary.skipped_samples:
        lines += ["", *_skipped_lines(summary.skipped_samples)]
    lines += ["", *_next_commands(summary, folder)]
    return "\n".join(lines)


def _stage_lines(summary: StagedSummary) -> list[str]:
    """The best of each stage; the last one stands above with all its values."""
    rows = {f"stage {stage.name}": _stage_text(stage, summary.metric) for stage in summary.stages}
    left = summary.of - len(summary.stages)
    width = max(_WIDTH, *(len(name) + 2 for name in rows))
    lines = [f"{name:<{width}}{text}" for name, text in rows.items()]
    return [*lines, f"{_counted(left, 'stage')} not begun"] if left else lines


def _stage_text(stage: StageOutcome, metric: str) -> str:
    best = stage.best
    value = (
        "no trial has a value" if best is None else f"trial {best.trial}, {metric} {number_text(best.value)}"
    )
    return f"{value}; {_counted(stage.trials, 'trial')} in {duration(stage.seconds)}, {stage.status}"


def _skipped_lines(skipped: Mapping[str, str]) -> list[str]:
    lines = [f"{_counted(len(skipped), 'sample')} skipped:"]
    for file, reason in list(skipped.items())[:_MAX_SKIPPED]:
        lines.append(f"  {short_path(Path(file))}: {one_line(reason)}")
    more = len(skipped) - _MAX_SKIPPED
    return [*lines, f"  and {more} more, see summary.json"] if more > 0 else lines


def _next_commands(summary: Summary, folder: str) -> list[str]:
    if summary.status in ("interrupted", "terminated"):
        return ["go on with", f"  tune-search resume {folder}"]
    if summary.status == "failed":
        log = f"what was printed meanwhile stands in {folder}/search.log"
        return [log, "once the cause is gone, go on with", f"  tune-search resume {folder}"]
    if summary.best is None:
        return [f"what went wrong stands in {folder}/search.log"]
    return [
        "next",
        f"  tensorboard --logdir {folder}",
        f"  tune-search export {folder}",
        f"  tune-search retrain {folder}/export",
    ]


def export_text(export: Export) -> str:
    """What was written and that it was evaluated again."""
    of = "" if export.stage is None else f" of stage {export.stage}"
    files = "\n".join(
        f"  {path.name:<20} {path.stat().st_size:>12,} bytes" for path in sorted(export.folder.iterdir())
    )
    return (
        f"trial {export.trial}{of} exported to {short_path(export.folder)}\n{files}\n"
        f"evaluated again from these files: {export.metric} {number_text(export.value)}, as recorded\n\n"
        f"next\n  tune-search retrain {short_path(export.folder)}"
    )


def retraining_text(done: Retraining, command: str) -> str:
    """The outcome of a retraining, or how to go on."""
    if done.export is None:
        return f"stopped after virtual epoch {done.virtual_epochs} of {done.of}; go on with\n  {command}"
    best = f"{done.export.metric} {number_text(done.export.value)}"
    return (
        f"retrained for {done.of} virtual epochs: best {best}\nexported to {short_path(done.export.folder)}"
    )


def check_text(check: Check) -> str:
    """The resolved plan."""
    config, budget, scheduler = check.config, check.config.budget, check.config.scheduler
    unit, steps = config.virtual_epoch, check.steps_per_virtual_epoch
    expected, length, validation = (
        check.expected_virtual_epochs,
        budget.max_virtual_epochs,
        check.seconds_per_validation * 1e3,
    )
    per_epoch = check.seconds_per_validation + check.seconds_per_step * check.steps_per_virtual_epoch
    rows = {
        "name": config.name,
        "task": f"{config.task_path} in {short_path(Path(check.task_file))}",
        "objective": f"{config.objective.metric}, {config.objective.mode}",
        "training data": "no length" if check.num_train is None else f"{check.num_train} samples",
        "validation data": f"{check.num_valid} samples",
        "model": f"{check.num_parameters:,} parameters (of the trial that was tried)",
        "device": check.device,
        "step": f"{check.seconds_per_step * 1e3:.1f} ms, validation {validation:.0f} ms",
        "checkpoint": f"{size_text(check.checkpoint_bytes)}, "
        f"up to {size_text(check.space_needed)} for the whole search",
        "virtual epoch": f"{unit.count} {unit.unit}" + (f", {steps} steps" if unit.unit != "steps" else ""),
        "trials": f"{budget.trials}, up to {length} virtual epochs each, {check.concurrency} at a time",
        "sampler": f"{config.sampler.name}, seed {config.sampler.seed}",
        "scheduler": f"{scheduler.name}, rungs at {check.rungs} {scheduler.axis.replace('_', ' ')}"
        if hasattr(scheduler, "reduction_factor")
        else scheduler.name,
    }
    if check.largest_batch is not None:
        rows["batch size"] = check.largest_batch
    if config.stages is not None:
        names = ", ".join(stage.name for stage in config.stages.stages)
        rows["stages"] = f"{names}; this is the plan of the first"
    if expected is not None:
        whole = expected * per_epoch / check.concurrency
        rows["work"] = f"about {expected} virtual epochs, about {duration(whole)} at this trial's speed"
    metrics = {k: v for k, v in check.metrics.items() if "/" not in k}
    lines = [*_table(rows), "", "space"]
    lines += [f"  {parameter}" for parameter in config.space.parameters()] or ["  nothing is searched"]
    lines += [
        "",
        "metrics after these few steps",
        "  " + "  ".join(f"{k} {number_text(v)}" for k, v in metrics.items()),
    ]
    return "\n".join([*lines, "", "ok"])


def verification_text(found: Verification) -> str:
    """What was checked, each damage with its cost, and the verdict."""
    folder, damages = short_path(found.folder), found.damages
    counts = (
        _counted(found.trials, "trial"),
        _counted(found.virtual_epochs, "virtual epoch"),
        f"{_counted(found.checkpoints, 'checkpoint')} of {size_text(found.num_bytes)}",
    )
    lines = [f"checked {folder}: {', '.join(counts)}"]
    if found.owner is not None:
        lines.append(f"a search is running there ({found.owner}): what it is writing now was left out")
    for damage in damages:
        lines += ["", f"{one_line(damage.path)}: {one_line(damage.what)}", f"  cost: {one_line(damage.cost)}"]
    verdict = f"damage in {_counted(len(damages), 'place')}" if damages else "nothing is damaged"
    return "\n".join([*lines, "", verdict])


def cleaning_text(cleaning: Cleaning) -> str:
    """What went, or would go, and how many bytes that is."""
    folder, items = short_path(cleaning.folder), cleaning.items
    if not items:
        return f"nothing to remove from {folder}"
    width = max(len(item.path) for item in items)
    lines = [f"would be removed from {folder}:" if cleaning.dry_run else f"removed from {folder}:"]
    lines += [f"  {item.path:<{width}}  {size_text(item.num_bytes):>9}  {item.why}" for item in items]
    size = f"{size_text(cleaning.num_bytes)} ({cleaning.num_bytes:,} bytes)"
    return "\n".join([*lines, "", f"{_counted(len(items), 'item')}, {size}"])


class ByteProgress:
    """How much was read, shown when that takes longer than two seconds: in place on a terminal."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._next: float | None = None
        self._shown = False

    def __enter__(self) -> ByteProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and self._terminal:
            self._out.write("\r\x1b[2K")
            self._out.flush()

    def report(self, done: int, of: int) -> None:
        """Show that `done` of `of` bytes were read, if it is time to."""
        now = time.monotonic()
        self._next = now + 2.0 if self._next is None else self._next
        if now < self._next:
            return
        self._next, self._shown = now + (0.2 if self._terminal else 10.0), True
        line = f"read {size_text(done)} of {size_text(of)}"
        self._out.write(f"\r\x1b[2K{line}" if self._terminal else line + "\n")
        self._out.flush()


_COUNTED = ("virtual_epoch", "step", "samples", "seconds")
_TRAINER_METRICS = ("valid_loss", "train_loss", "lr", "samples_per_second", "epochs")


class RetrainProgress:
    """A line per virtual epoch, rewritten in place on a terminal."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def __enter__(self) -> RetrainProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._out.isatty():
            self._out.write("\n")

    def report(self, record: Mapping[str, Any], of: int) -> None:
        """Show one virtual epoch's record."""
        number = record["virtual_epoch"]
        left = record["seconds"] / number * (of - number)
        # The task's own metrics first: they must be seen on a narrow terminal too.
        names = [k for k in record if k not in (*_COUNTED, *_TRAINER_METRICS) and "/" not in k]
        names += [k for k in _TRAINER_METRICS if k in record]
        values = "  ".join(f"{k} {number_text(record[k])}" for k in names[:8])
        line = f"virtual epoch {number}/{of}  {duration(left)} left  {values}"
        if self._out.isatty():
            width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be rewritten
            self._out.write(f"\r\x1b[2K{line[:width]}")
        else:
            self._out.write(line + "\n")
        self._out.flush()


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _table(rows: Mapping[str, str]) -> list[str]:
    return [f"{name:<{_WIDTH}}{value}" for name, value in rows.items()]


def _bold(text: str, color: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if color else text
