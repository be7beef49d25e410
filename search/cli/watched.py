"""What commands that run a search share: the view, the outcome and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from search.cli.checks import INTERRUPTED
from search.screen.streams import say, strict

TERMINATED = 143
"""Exit code after SIGTERM."""


def watched(
    folder: Path, run: Callable[[Any], Any], *, plain: bool, local: bool, flags: Sequence[str]
) -> None:
    """Run a search with a live or plain view, print its outcome and exit with its code.

    With `local`, tasks run in this process: their output, and the debugger's, stays on the terminal. `flags`
    are those of the executor, for the commands that are shown.
    """
    from search.run.disk.folder import RunFolder
    from search.run.loggers import end_loggers
    from search.screen.live import PlainView, screen
    from search.screen.texts.summary import summary_text

    run_folder = RunFolder(folder)
    run_folder.create()
    here = PlainView(strict(sys.stdout), run_folder.log)
    with nullcontext(here) if local else screen(run_folder.log, plain=plain) as reporter:
        summary = run(reporter)
    flags = (*flags, *(["--plain"] if plain else []))
    color = sys.stdout.isatty() and not plain
    say(summary_text(summary, color=color, flags=flags), otherwise=run_folder.log)
    _report(folder, summary.status, run_folder.log)
    if lines := end_loggers(run_folder, wait=summary.status in ("complete", "failed")):
        say("\n  ".join(["\nlog", *lines]), otherwise=run_folder.log)
    codes = {"complete": 0, "failed": 1, "interrupted": INTERRUPTED, "terminated": TERMINATED}
    sys.exit(codes[summary.status])


def _report(folder: Path, status: str, log: Path) -> None:
    """Write the report and say where it is. Whoever interrupts a search does not wait for a page.

    What has failed a search, as a full disk, often keeps the page from being written: that is not told.
    """
    from search.reports.write import report_at_end
    from search.run.disk.folder import RunFolder
    from search.screen.progress_bar import ProgressBar
    from search.text import short_path

    if status not in ("complete", "failed"):
        return
    try:
        with ProgressBar(sys.stderr, "writing the report" if sys.stderr.isatty() else None):
            file, why = report_at_end(RunFolder(folder))
    except KeyboardInterrupt:
        file, why = None, "interrupted; `tune-search report` writes it"
    if file is not None or status == "complete":
        say(f"\nreport\n  {short_path(file) if file else why}", otherwise=log)
