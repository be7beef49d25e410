"""What a person sees while a search runs: a live table on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from search.config import Config
from search.coordinator import Coordinator, Event, EventKind
from search.run_folder import RunFolder
from search.study import Outcome, TrialRecord

_STATE_STYLE = {"running": "cyan", "paused": "yellow", "completed": "green", "stopped": "dim", "new": "cyan"}
_MAX_BEST = 6


class PlainView:
    """One line per event, without control characters: for pipes, files and CI."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def phase(self, text: str) -> None:
        self._line(text)

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None:
        self._coordinator, self._config = coordinator, config
        self._names = varying_names(config)
        limits = coordinator.limits
        done = sum(record.outcome is not None for record in coordinator.study.records)
        again = f", {done} of them done before" if done else ""
        self._line(
            f"search {config.name}: {limits.trials} trials{again}, up to {limits.virtual_epochs} virtual epochs each, "
            f"{coordinator.concurrency} at a time, in {short_path(folder.path)}"
        )

    def event(self, event: Event) -> None:
        record, metric = event.record, self._config.objective.metric
        head = f"trial {record.number}"
        if event.kind is EventKind.REPORTED:
            best = record.best(self._coordinator.study.mode)
            speed = event.metrics.get("samples_per_second")
            self._line(
                f"{head} virtual epoch {record.depth}/{self._coordinator.limits.virtual_epochs} "
                f"{metric} {number_text(record.values[-1])} best {number_text(best)}"
                + (f" {speed:.0f} samples/s" if speed else "")
            )
        elif event.kind is EventKind.STARTED:
            self._line(f"{head} started {params_text(record.resolved.params, self._names)}")
        elif event.kind is EventKind.ENDED:
            self._line(f"{head} {record.outcome}: {event.text}")
        elif event.kind is EventKind.RETRIED:
            self._line(f"{head} lost, is tried again: {event.text}")
        else:
            self._line(f"{head} {event.kind.value} at virtual epoch {record.depth}")

    def note(self, text: str) -> None:
        self._line(text)

    def end(self) -> None:
        self._out.flush()

    def _line(self, text: str) -> None:
        print(time.strftime("%H:%M:%S"), text, file=self._out, flush=True)


class LiveView:
    """A view that is drawn anew in place: progress, time left, running and best trials."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._coordinator: Coordinator | None = None
        self._text = ""
        self._notes: list[str] = []
        self._metrics: dict[int, Mapping[str, Any]] = {}
        self._spinner = Spinner("dots")
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def phase(self, text: str) -> None:
        self._text = text
        self._live.start()

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None:
        self._coordinator, self._config, self._folder = coordinator, config, folder
        self._names = varying_names(config)

    def event(self, event: Event) -> None:
        if event.kind is EventKind.REPORTED:
            self._metrics[event.record.number] = event.metrics
        if event.kind is EventKind.RETRIED or event.record.outcome in (Outcome.FAILED, Outcome.OUT_OF_MEMORY):
            self.note(f"trial {event.record.number}: {event.text}")

    def note(self, text: str) -> None:
        self._notes = [*self._notes[-2:], text]

    def end(self) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        if self._coordinator is None:
            self._spinner.update(text=self._text)
            return self._spinner
        notes = [Text(f"! {note}", style="yellow") for note in self._notes]
        return Group(self._progress(self._coordinator), Text(""), self._table(self._coordinator), *notes)

    def _progress(self, coordinator: Coordinator) -> RenderableType:
        fraction = coordinator.progress()
        left = coordinator.seconds_left()
        records = coordinator.study.records
        line = Table.grid(padding=(0, 2))
        cells = [
            Text(self._config.name, style="bold"),
            ProgressBar(total=1.0, completed=fraction, width=24),
            Text(f"{fraction:4.0%}"),
            Text(f"{duration(coordinator.elapsed_seconds)} gone"),
            Text("time left unknown" if left is None else f"about {duration(left)} left"),
            Text(f"{len(records)}/{coordinator.limits.trials} trials begun"),
            Text(f"{coordinator.steps} steps"),
        ]
        line.add_row(*cells)
        return line

    def _table(self, coordinator: Coordinator) -> RenderableType:
        metric = self._config.objective.metric
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        for name in ("trial", "state", "epoch", metric, "best", "samples/s"):
            table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
        table.add_column("parameters", ratio=1, no_wrap=True, overflow="ellipsis")
        best = coordinator.best
        for record in self._rows(coordinator):
            table.add_row(*self._cells(record, coordinator), style="bold" if record is best else "")
        return table

    def _rows(self, coordinator: Coordinator) -> list[TrialRecord]:
        sign = 1.0 if coordinator.study.mode == "max" else -1.0
        mode = coordinator.study.mode
        seen = [r for r in coordinator.study.records if r.values and not r.running]
        seen.sort(key=lambda r: -sign * (r.best(mode) or 0.0))
        return [*coordinator.running, *seen[:_MAX_BEST]]

    def _cells(self, record: TrialRecord, coordinator: Coordinator) -> list[RenderableType]:
        state = state_text(record)
        speed = self._metrics.get(record.number, {}).get("samples_per_second")
        return [
            str(record.number),
            Text(state, style=_STATE_STYLE.get(state, "red")),
            f"{record.depth}/{coordinator.limits.virtual_epochs}",
            number_text(record.values[-1] if record.values else None),
            number_text(record.best(coordinator.study.mode)),
            f"{speed:.0f}" if speed and record.running else "",
            params_text(record.resolved.params, self._names),
        ]


def state_text(record: TrialRecord) -> str:
    """running, paused, or how the trial ended."""
    if record.outcome is not None:
        return str(record.outcome.value)
    return "running" if record.running else "paused"


def varying_names(config: Config) -> list[str]:
    return [parameter.name for parameter in config.space.parameters()]


def params_text(params: Mapping[str, Any], names: Sequence[str]) -> str:
    """The searched parameters in their order; of a dotted name only what tells it from the others."""
    last = [name.rpartition(".")[2] for name in names]
    short = {n: s if last.count(s) == 1 or not _same_time(n, s, names, params) else n for n, s in zip(names, last, strict=True)}
    return " ".join(f"{short[name]}={value_text(params[name])}" for name in names if name in params)


def _same_time(name: str, short: str, names: Sequence[str], params: Mapping[str, Any]) -> bool:
    return any(o != name and o in params and o.rpartition(".")[2] == short for o in names)


def value_text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def number_text(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def short_path(path: Path) -> str:
    """Relative to the current folder where it is below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@contextmanager
def screen(log_file: Path, *, plain: bool = False) -> Iterator[LiveView | PlainView]:
    """The view for this terminal or pipe, while all else that is printed goes into `log_file`.

    Ray's processes write to the descriptors 1 and 2 of this one, so these are what is redirected.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8", errors="replace")
    kept = os.dup(1), os.dup(2)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        if plain or not out.isatty():
            yield PlainView(out)
        else:
            yield LiveView(Console(file=out))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), kept, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
        os.close(log)
        out.close()
