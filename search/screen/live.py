"""What is shown while a search runs: a live table on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from search.config.config import Config
from search.run.coordinator import Coordinator
from search.run.events import Event, EventKind
from search.run.folder import RunFolder
from search.screen.progress import seconds_left, share_done
from search.screen.progress_bar import draws_in_place
from search.study.trial import BROKEN_OFF, Outcome, TrialRecord, ranked
from search.text import duration, number_text, one_line, short_path, value_text

_STATE_STYLE = {
    "running": "cyan",
    "paused": "yellow",
    "waiting": "yellow",
    "completed": "green",
    "stopped": "dim",
}
_MAX_RUNNING, _MAX_BEST = 12, 6
_WIDE = 100
"""Columns that a terminal must have for the speed to be shown too."""


class PlainView:
    """One line per event, without control characters: for pipes, files and CI."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def phase(self, text: str) -> None:
        self._line(text)

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None:
        self._coordinator, self._config = coordinator, config
        self._names = config.space.names
        limits = coordinator.budget
        done = sum(record.outcome is not None for record in coordinator.study.records)
        again = f", {done} of them already done" if done else ""
        self._line(
            f"search {config.name}: {limits.trials} trials{again}, "
            f"up to {limits.max_virtual_epochs} virtual epochs each, "
            f"{coordinator.concurrency} at a time, in {short_path(folder.path)}"
        )

    def event(self, event: Event) -> None:
        record, metric = event.record, self._config.objective.metric
        head = f"trial {record.number}"
        if event.kind is EventKind.REPORTED:
            best = record.best(self._coordinator.study.mode)
            speed = event.metrics.get("samples_per_second")
            self._line(
                f"{head} virtual epoch {record.depth}/{self._coordinator.budget.max_virtual_epochs} "
                f"{metric} {number_text(record.values[-1])} best {number_text(best)}"
                + (f" {speed:.0f} samples/s" if speed else "")
            )
        elif event.kind is EventKind.STARTED:
            self._line(f"{head} started {params_text(record.params, self._names)}")
        elif event.kind is EventKind.ENDED:
            self._line(f"{head} {record.outcome}: {event.text}")
        elif event.kind is EventKind.RETRIED:
            self._line(f"{head} failed, retrying: {event.text}")
        elif event.kind is EventKind.MESSAGE:
            self._line(f"{head}: {event.text}")
        else:
            self._line(f"{head} {event.kind.value} at virtual epoch {record.depth}")

    def note(self, text: str) -> None:
        self._line(text)

    def end(self) -> None:
        self._out.flush()

    def _line(self, text: str) -> None:
        print(time.strftime("%H:%M:%S"), one_line(text), file=self._out, flush=True)


class LiveView:
    """A view that is redrawn in place: progress, time left, running and best trials."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._coordinator: Coordinator | None = None
        self._text = ""
        self._notes: list[str] = []
        self._metrics: dict[int, Mapping[str, Any]] = {}
        self._spinner = Spinner("dots")
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,  # what others print goes into the log, see `screen`
            redirect_stderr=False,
        )

    def phase(self, text: str) -> None:
        self._text = text
        self._live.start()

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None:
        self._coordinator, self._config, self._folder = coordinator, config, folder
        self._names, self._metrics = config.space.names, {}

    def event(self, event: Event) -> None:
        if event.kind is EventKind.REPORTED:
            self._metrics[event.record.number] = event.metrics
        failed = event.record.outcome in (Outcome.FAILED, Outcome.OUT_OF_MEMORY)
        if failed or event.kind in (EventKind.RETRIED, EventKind.MESSAGE):
            self.note(f"trial {event.record.number}: {event.text}")

    def note(self, text: str) -> None:
        self._notes = [*self._notes[-2:], one_line(text)]

    def end(self) -> None:
        self._live.stop()
        self._coordinator = None

    def _render(self) -> RenderableType:
        if self._coordinator is None:
            self._spinner.update(text=self._text)
            return self._spinner
        coordinator = self._coordinator
        parts = [*self._progress(coordinator), Text(""), self._table(coordinator)]
        hidden = len(coordinator.running) - _MAX_RUNNING
        if hidden > 0:
            parts.append(Text(f"and {hidden} more running", style="dim"))
        best = coordinator.best
        if best is not None:
            value = number_text(best.best(coordinator.study.mode))
            head = f"best: trial {best.number}, {self._config.objective.metric} {value}"
            parts += [Text(""), Text(f"{head}  {self._params(best)}", style="bold")]
        return Group(*parts, *(Text(f"! {note}", style="yellow") for note in self._notes))

    def _progress(self, coordinator: Coordinator) -> list[RenderableType]:
        fraction, left = share_done(coordinator), seconds_left(coordinator)
        running, begun = len(coordinator.running), len(coordinator.study.records)
        line = Table.grid(padding=(0, 2))
        line.add_column(no_wrap=True, overflow="ellipsis")
        line.add_row(
            Text(self._config.name, style="bold"),
            ProgressBar(total=1.0, completed=fraction, width=24),
            f"{fraction:4.0%}",
            "time left unknown" if left is None else f"about {duration(left)} left",
        )
        counts = (
            f"{begun} of {coordinator.budget.trials} trials begun, {running} running, "
            f"{coordinator.steps:,} steps in {duration(coordinator.elapsed_seconds)}"
        )
        return [line, Text(counts, style="dim")]

    def _table(self, coordinator: Coordinator) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        names = ["trial", "state", "epoch", self._config.objective.metric, "best"]
        for name in [*names, "samples/s"] if self._wide else names:
            table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
        table.add_column("parameters", ratio=1, no_wrap=True)
        best = coordinator.best
        for record in self._rows(coordinator):
            table.add_row(*self._cells(record, coordinator), style="bold" if record is best else "")
        return table

    @property
    def _wide(self) -> bool:
        return self._console.width >= _WIDE

    def _rows(self, coordinator: Coordinator) -> list[TrialRecord]:
        """The running trials, then the best of the others."""
        study = coordinator.study
        broken_off = [r for r in study.records if r.values and r.outcome in BROKEN_OFF]
        others = [r for r in (*ranked(study.records, study.mode), *broken_off) if not r.running]
        return [*coordinator.running[:_MAX_RUNNING], *others[:_MAX_BEST]]

    def _cells(self, record: TrialRecord, coordinator: Coordinator) -> list[RenderableType]:
        state = state_text(record)
        speed = self._metrics.get(record.number, {}).get("samples_per_second")
        cells: list[RenderableType] = [
            str(record.number),
            Text(state, style=_STATE_STYLE.get(state, "red")),
            f"{record.depth}/{coordinator.budget.max_virtual_epochs}",
            number_text(record.values[-1] if record.values else None),
            number_text(record.best(coordinator.study.mode)),
        ]
        if self._wide:
            cells.append(f"{speed:.0f}" if speed and record.running else "")
        return [*cells, _WholeWords(self._params(record))]

    def _params(self, record: TrialRecord) -> str:
        return params_text(record.params, self._names)


class _WholeWords:
    """As many words as fit on one line, followed by an ellipsis if there are more."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text, words = self._text, self._text.split(" ")
        while words and cell_len(text) > options.max_width:
            words.pop()
            text = " ".join([*words, "…"])
        yield Text(text, no_wrap=True, overflow="ellipsis")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, max(1, cell_len(self._text)))


def state_text(record: TrialRecord) -> str:
    """running, paused, waiting for its first or next attempt, or how the trial ended."""
    if record.outcome is not None:
        return str(record.outcome.value)
    return "running" if record.running else "paused" if record.values else "waiting"


def params_text(params: Mapping[str, Any], names: Sequence[str]) -> str:
    """The searched parameters in their order, each by the last part of its name where that is unambiguous."""
    last = [name.rpartition(".")[2] for name in names]
    short = {
        n: s if last.count(s) == 1 or not _same_time(n, s, names, params) else n
        for n, s in zip(names, last, strict=True)
    }
    return " ".join(f"{short[name]}={value_text(params[name])}" for name in names if name in params)


def _same_time(name: str, short: str, names: Sequence[str], params: Mapping[str, Any]) -> bool:
    return any(o != name and o in params and o.rpartition(".")[2] == short for o in names)


@contextmanager
def screen(log_file: Path, *, plain: bool = False) -> Iterator[LiveView | PlainView]:
    """The view for this terminal or pipe, while everything else that is printed goes into `log_file`.

    Ray's processes write to the descriptors 1 and 2 of this one, so these are what is redirected.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8", errors="replace")
    kept = os.dup(1), os.dup(2)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    view = PlainView(out) if plain or not draws_in_place(out) else LiveView(Console(file=out))
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield view
    finally:
        view.end()
        for stream, descriptor, original in zip((sys.stdout, sys.stderr), (1, 2), kept, strict=True):
            # What a full disk has no room for comes onto the screen.
            with suppress(OSError):
                stream.flush()
            os.dup2(original, descriptor)
            os.close(original)
        os.close(log)
        out.close()
