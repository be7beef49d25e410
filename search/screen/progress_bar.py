"""How far a command has come: a bar that is redrawn in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column


def draws_in_place(out: IO[str]) -> bool:
    """Whether `out` is a terminal that can rewrite its lines."""
    return out.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")


class ProgressBar:
    """Progress of a command that takes longer than a moment; nothing of the bar is left when it ends.

    Args:
        out: where it is shown.
        phase: what is being done first; None says nothing yet.
        plain: print lines on a terminal too.
        interval: least seconds between two lines where there is no bar.
    """

    def __init__(
        self, out: IO[str], phase: str | None = None, *, plain: bool = False, interval: float = 10.0
    ) -> None:
        self._out, self._phase, self._interval = out, phase, interval
        self._printed = time.monotonic()
        self._bar: Progress | None = None
        if not plain and draws_in_place(out):
            text = TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis"),
            )
            self._bar = Progress(
                BarColumn(bar_width=24),
                text,
                console=Console(file=out, force_terminal=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                refresh_per_second=5,
            )
            self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> ProgressBar:
        if self._bar is not None:
            self._bar.start()
        if self._phase is not None:
            self.phase(self._phase)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def phase(self, text: str) -> None:
        """Say what is being done now, of which nobody knows how long it takes."""
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=0, total=None)
        else:
            self._print(text)

    def report(self, text: str, done: float, total: float) -> None:
        """Show that `done` of `total` is done, with `text` beside the bar; a line only if one is due."""
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=done, total=total)
        elif time.monotonic() - self._printed >= self._interval:
            self._print(text)

    def _print(self, text: str) -> None:
        self._printed = time.monotonic()
        print(text, file=self._out, flush=True)
