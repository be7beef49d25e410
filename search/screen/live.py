"""What a running search shows: a live table on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from search.budget.words import budget_text, progress_text
from search.config.config import Config
from search.config.sections.pbt import Pbt
from search.run.coordinator import Coordinator
from search.run.disk.folder import RunFolder
from search.run.events import Event, EventKind
from search.run.reporter import ProgressReporter
from search.screen.pace import Pace, lengths_of, share_done
from search.screen.progress_bar import draws_in_place
from search.screen.streams import SHOWN, encoding_of
from search.screen.texts.best import standing_text
from search.screen.texts.front import other_objectives
from search.screen.texts.trial import params_text, started_text
from search.study.front import front_of
from search.study.lineage import change_text, went_on_from
from search.study.trial import BROKEN_OFF, NO_VERDICT, Outcome, TrialRecord, ranked
from search.text import duration, number_text, one_line, short_path

_STATE_STYLE = {
    "running": "cyan",
    "paused": "yellow",
    "waiting": "yellow",
    "completed": "green",
    "stopped": "dim",
}
_MAX_RUNNING, _MAX_BEST = 12, 6
_LONG = 100
"""Characters of a cause above which a line with the same names its first trial instead."""
_WIDE = 100
"""Minimal width of a terminal, in columns, for the speed to be shown beside at most two objectives."""
_OF_OBJECTIVE = 12
"""Columns of each objective more."""


class PlainView(ProgressReporter):
    """One line per event, without control characters: for pipes, files and CI."""

    def __init__(self, out: IO[str], log_file: Path) -> None:
        self._out, self._log_file = out, log_file
        self._causes: dict[str, int] = {}
        """The first trial that ended for each cause."""

    def phase(self, text: str) -> None:
        self._line(text)

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None:
        self._coordinator, self._config = coordinator, config
        self._names = config.space.names
        limits, records = coordinator.budget, coordinator.study.records
        done = sum(record.outcome is not None for record in records)
        noun = coordinator.study.noun
        ended = "of them already done" if limits.trials is not None else f"{noun}s already done"
        already = f", {done} {ended}" if done else ""
        self._line(
            f"search {config.name}: {_asked_for(coordinator, done, config)}{already}, "
            f"up to {limits.max_virtual_epochs} virtual epochs each, "
            f"{coordinator.concurrency} at a time, in {short_path(folder.path)}"
        )

    def event(self, event: Event) -> None:
        record, metric = event.record, self._config.objective.metric
        head = f"{self._coordinator.study.noun} {record.number}"
        if event.kind is EventKind.REPORTED:
            standing = standing_text(record, self._coordinator.study.mode)
            speed = event.metrics.get("samples_per_second")
            self._line(
                f"{head} virtual epoch {record.depth}/{self._coordinator.budget.max_virtual_epochs} "
                f"{metric} {number_text(record.values[-1])} {standing}"
                + "".join(f" {name} {number_text(value)}" for name, value in _others(record).items())
                + (f" {speed:.0f} samples/s" if speed else "")
            )
        elif event.kind is EventKind.STARTED:
            self._line(f"{head} {started_text(self._coordinator, record, self._names)}")
        elif event.kind is EventKind.ENDED:
            self._line(f"{head} {record.outcome}: {self._cause(event.text, record.number)}")
        elif event.kind is EventKind.RETRIED:
            self._line(f"{head} failed, retrying: {self._cause(event.text, record.number)}")
        elif event.kind is EventKind.MESSAGE:
            self._line(f"{head}: {event.text}")
        elif event.kind is EventKind.PROMOTED and went_on_from(record):
            self._line(f"{head} {change_text(self._coordinator.study.records, record)}")
        elif event.kind is EventKind.PROMOTED and isinstance(self._config.scheduler, Pbt):
            self._line(f"{head} continues at virtual epoch {record.depth}")  # as all do: none is preferred
        else:
            self._line(f"{head} {event.kind.value} at virtual epoch {record.depth}")

    def _cause(self, text: str, number: int) -> str:
        """Why a trial has ended; a long text only the first time."""
        if len(text) <= _LONG or text not in self._causes:
            self._causes[text] = number
            return text
        first = self._causes[text]
        return "as before" if first == number else f"as {self._coordinator.study.noun} {first}"

    def note(self, text: str) -> None:
        self._line(text)

    def last_words(self, text: str) -> None:
        self._line(text)

    def _line(self, text: str) -> None:
        try:
            self._print(text)
        except OSError as error:
            # Who reads the lines may have gone; a search of days does not end for that.
            self._out = self._log_file.open("a", encoding="utf-8", errors="backslashreplace")
            self._print(f"the output cannot be written any more ({error.strerror}); the search goes on here")
            self._print(text)

    def _print(self, text: str) -> None:
        print(time.strftime("%H:%M:%S"), one_line(text), file=self._out, flush=True)


class Drawing(Protocol):
    """What draws a picture again and again, between these two calls."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class LiveView(ProgressReporter):
    """A view that is redrawn in place: progress, time left, running trials and the best of the others.

    Args:
        console: whose width and encoding decide what is shown.
        drawing: draws it (default: on that console).
    """

    def __init__(self, console: Console, drawing: Drawing | None = None) -> None:
        self._console = console
        self._coordinator: Coordinator | None = None
        self._notes: list[str] = []
        self._metrics: dict[int, Mapping[str, Any]] = {}
        self._front: tuple[int, list[TrialRecord]] = (-1, [])
        """The study's last report or end when it was computed, and the front."""
        self._spinner = Spinner("dots" if console.encoding.startswith("utf") else "line")
        self._live: Drawing = drawing or Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,  # all other output goes into the log, see `screen`
            redirect_stderr=False,
        )

    def phase(self, text: str) -> None:
        self._spinner.update(text=text)
        self._live.start()

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None:
        self._coordinator, self._config = coordinator, config
        self._names, self._metrics = config.space.names, {}
        self._front = (-1, [])
        self._pace, self._noun = Pace(), coordinator.study.noun

    def event(self, event: Event) -> None:
        if event.kind is EventKind.REPORTED:
            if self._coordinator is not None:
                self._pace.reported(self._coordinator)
            self._metrics[event.record.number] = event.metrics
        if event.record.outcome is Outcome.OVER_LIMIT:
            self.note(f"{self._noun} {event.record.number} is over the limit: {event.text}")
        elif event.record.outcome in NO_VERDICT or event.kind in (EventKind.RETRIED, EventKind.MESSAGE):
            self.note(f"{self._noun} {event.record.number}: {event.text}")

    def note(self, text: str) -> None:
        self._notes = [*self._notes[-2:], one_line(text)]

    def end(self) -> None:
        self._live.stop()
        self._coordinator = None

    def last_words(self, text: str) -> None:
        self._live.stop()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _render(self) -> RenderableType:
        if self._coordinator is None:
            return self._spinner
        coordinator = self._coordinator
        best = self._best(coordinator)
        parts = [*self._progress(coordinator), Text(""), self._table(coordinator, best)]
        hidden = len(coordinator.running) - _MAX_RUNNING
        if hidden > 0:
            parts.append(Text(f"and {hidden} more running", style="dim"))
        if best and self._config.objectives:
            numbers = ", ".join(str(record.number) for record in best)
            parts += [Text(""), Text(f"front: {self._noun}s {numbers}", style="bold")]
        elif best:
            value = number_text(best[0].value(coordinator.study.mode))
            standing = standing_text(best[0], coordinator.study.mode)
            by = "" if standing.startswith("best") else f" ({standing})"
            head = f"best: {self._noun} {best[0].number}, {self._config.objective.metric} {value}{by}"
            parts += [Text(""), Text(f"{head}  {self._params(best[0])}", style="bold")]
        return Group(*parts, *(Text(f"! {note}", style="yellow") for note in self._notes))

    def _progress(self, coordinator: Coordinator) -> list[RenderableType]:
        fraction, left = share_done(coordinator), self._pace.seconds_left(coordinator)
        running, begun = len(coordinator.running), len(coordinator.study.records)
        line = Table.grid(padding=(0, 2))
        line.add_column(no_wrap=True, overflow="ellipsis")
        line.add_row(
            Text(self._config.name, style="bold"),
            ProgressBar(total=1.0, completed=fraction, width=24),
            f"{fraction:4.0%}",
            "time left unknown" if left is None else f"about {duration(left)} left",
        )
        of_all = "" if coordinator.budget.trials is None else f" of {coordinator.budget.trials}"
        counts = (
            f"{begun}{of_all} {self._noun}s begun, {running} running, "
            f"{coordinator.steps:,} steps in {duration(coordinator.elapsed_seconds)}"
        )
        lines: list[RenderableType] = [line, Text(counts, style="dim")]
        if coordinator.reserve.limits:
            of_trials, asked = lengths_of(coordinator), self._config.virtual_epoch
            text = progress_text(coordinator.budget, of_trials, asked, coordinator.reserve.share)
            lines.append(Text(text, style="dim"))
        return lines

    def _table(self, coordinator: Coordinator, best: Sequence[TrialRecord]) -> RenderableType:
        objectives = self._config.objectives or []
        others = [objective.metric for objective in objectives[1:]]
        wide = self._console.width >= _WIDE + _OF_OBJECTIVE * max(0, len(others) - 1)
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        window = coordinator.study.window
        ranked_by = "best" if window == 1 else f"mean of {window}"
        names = [self._noun, "state", "epoch", self._config.objective.metric, ranked_by, *others]
        for name in [*names, "samples/s"] if wide else names:
            table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
        # The number of parameters may be an objective.
        table.add_column("hyperparameters" if objectives else "parameters", ratio=1, no_wrap=True)
        for record in self._rows(coordinator, best):
            state = state_text(record)
            speed = self._metrics.get(record.number, {}).get("samples_per_second")
            shown_speed = f"{speed:.0f}" if speed and record.running else ""
            table.add_row(
                str(record.number),
                Text(state, style=_STATE_STYLE.get(state, "red")),
                f"{record.depth}/{coordinator.budget.max_virtual_epochs}",
                number_text(record.values[-1] if record.values else None),
                Text(
                    number_text(record.standing(coordinator.study.mode)),
                    style="dim" if record.mean(coordinator.study.mode) is None else "",
                ),
                *other_objectives(record, objectives),
                *([shown_speed] if wide else []),
                Text(self._params(record), no_wrap=True, overflow="ellipsis"),
                style="bold" if record in best else "",
            )
        return table

    def _best(self, coordinator: Coordinator) -> list[TrialRecord]:
        """The best trial, or with several objectives the front; empty before the first report."""
        if self._config.objectives:
            study = coordinator.study
            now = study.last_sequence
            if self._front[0] != now:  # drawn four times a second, and only reports and ends change it
                self._front = now, front_of(study.records, self._config.objectives)
            return self._front[1]
        return [] if coordinator.best is None else [coordinator.best]

    def _rows(self, coordinator: Coordinator, best: Sequence[TrialRecord]) -> list[TrialRecord]:
        """The running trials, then the best of the others: first those of the front, where there is one."""
        study = coordinator.study
        broken_off = [r for r in study.records if r.values and r.outcome in BROKEN_OFF]
        in_order = dict.fromkeys((*best, *ranked(study.records, study.mode), *broken_off))
        others = [record for record in in_order if not record.running]
        return [*coordinator.running[:_MAX_RUNNING], *others[:_MAX_BEST]]

    def _params(self, record: TrialRecord) -> str:
        return params_text(record.params, self._names)


def _others(record: TrialRecord) -> Mapping[str, float]:
    """The other objectives of the last report."""
    return record.others[-1] if record.others else {}


def state_text(record: TrialRecord) -> str:
    """running, paused, waiting (for its first or next attempt), or the trial's outcome."""
    if record.outcome is not None:
        return str(record.outcome.value)
    return "running" if record.running else "paused" if record.values else "waiting"


def _asked_for(search: Coordinator, done: int, config: Config) -> str:
    """How many trials, and what else the budget gives."""
    trials, limited = search.budget.trials, search.budget.model_copy(update={"trials": None})
    texts = [] if trials is None else [f"{max(trials, done)} {search.study.noun}s"]
    return " or ".join(filter(None, [*texts, budget_text(limited, lengths_of(search), config.virtual_epoch)]))


@contextmanager
def screen(log_file: Path, *, plain: bool = False) -> Iterator[LiveView | PlainView]:
    """The view for this terminal or pipe; all other output goes into `log_file`.

    Ray's processes write to the descriptors 1 and 2 of this one, so the descriptors are redirected.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    out = os.fdopen(os.dup(1), "w", 1, encoding=encoding_of(sys.stdout), errors=SHOWN)
    kept = os.dup(1), os.dup(2)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    view = PlainView(out, log_file) if plain or not draws_in_place(out) else LiveView(Console(file=out))
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield view
    finally:
        view.end()
        for stream, descriptor, original in zip((sys.stdout, sys.stderr), (1, 2), kept, strict=True):
            # Output that a full disk has no room for goes to the screen.
            with suppress(OSError):
                stream.flush()
            os.dup2(original, descriptor)
            os.close(original)
        os.close(log)
        with suppress(OSError):
            out.close()
