"""Writes report.html into a run's folder, or elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from search.addresses import local_path
from search.config.stages import open_run
from search.errors import SearchError
from search.reports.opened import open_for_report
from search.reports.page import page_of
from search.run.disk.folder import RunFolder
from search.run.disk.heartbeat import Heard, heard_in
from search.run.disk.storage import send
from search.text import command, one_line
from trainables.files import atomic_write

REPORT = "report.html"


def report(
    run: str | Path, *, out: str | Path | None = None, phase: Callable[[str], None] = lambda text: None
) -> Path:
    """Write what a search has found so far as one HTML file that can be opened anywhere; returns its path.

    Args:
        run: the folder of the search, which may be running: it is only read.
        out: the file (default: `<run>/report.html`); one that is there is replaced.
        phase: called with a line on what takes long.

    Raises:
        SearchError: there is no run, its study is damaged, or the file cannot be written.
    """
    folder = RunFolder.at(run)
    folder.require()
    return write_report(folder, out, heard_in(folder.owner_file, phase))


def report_at_end(folder: RunFolder) -> tuple[Path | None, str]:
    """Write the report of a search that has just ended; returns its file and, if there is none, why.

    What a search has found is not lost with the page that shows it, so nothing is raised.
    """
    try:
        file = write_report(folder)
        send(open_run(folder.config).first.storage, folder, file)
        return file, ""
    except Exception as error:
        again = command("report", folder.path)
        return None, f"not written, {type(error).__name__}: {one_line(str(error))}; `{again}` tries again"


def write_report(folder: RunFolder, out: str | Path | None = None, heard: Heard | None = None) -> Path:
    """As `report`, for who knows whether the search is running.

    Args:
        folder: of the run.
        out: as of `report`.
        heard: who runs the search now; None if nobody does.
    """
    file = folder.path / REPORT if out is None else local_path(out).absolute()
    page = page_of(open_for_report(folder, heard))
    try:
        with folder.needs_space():
            atomic_write(file, page)
    except OSError as error:
        raise SearchError(f"cannot write {file}: {error.strerror}; give another --out") from error
    return file
