"""Progress of a command: a bar that is redrawn in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column


def draws_in_place(out: IO[str]) -> bool:
    """Whether `out` is a terminal that can redraw its lines."""
    return out.isatty() and os.environ.get("TERM") not in (None, "dumb", "unknown")


class ProgressBar:
    """A progress bar that is removed when the command ends.

    Args:
        out: where it is shown.
        phase: the first phase, if it should be shown.
        interval: minimal number of seconds between two lines if there is no bar.
    """

    def __init__(self, out: IO[str], phase: str | None = None, *, interval: float = 10.0) -> None:
        self._out, self._phase, self._interval = out, phase, interval
        self._printed = time.monotonic()
        self._bar: Progress | None = None
        if draws_in_place(out):
            one_line = Column(no_wrap=True, overflow="ellipsis")
            self._bar = Progress(
                BarColumn(bar_width=24),
                TextColumn("{task.description}", markup=False, table_column=one_line),
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

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def phase(self, text: str) -> None:
        """Show what is being done now, of unknown length."""
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=0, total=None)
        else:
            self._print(text)

    def report(self, text: str, done: float, total: float) -> None:
        """Show the progress with `text` beside the bar; without a bar, a line if one is due."""
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=done, total=total)
        elif time.monotonic() - self._printed >= self._interval:
            self._print(text)

    def _print(self, text: str) -> None:
        self._printed = time.monotonic()
        with suppress(OSError):  # who reads the lines may have gone
            print(text, file=self._out, flush=True)
