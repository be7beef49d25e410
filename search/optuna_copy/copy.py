"""`tune-search dashboard`: a copy of a run's studies that is made for optuna-dashboard and Optuna's plots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from search.addresses import local_path
from search.errors import RefusedError
from search.listing.reading import read_run
from search.optuna_copy.file import require_copy, write_studies
from search.optuna_copy.studies import OptunaStudy, studies_of
from search.run.disk.folder import RunFolder
from search.run.disk.heartbeat import heard_in
from search.text import counted

COPY = "optuna.journal"
"""Name of the copy in the folder of a run."""


@dataclass(frozen=True)
class OptunaCopy:
    """What was written."""

    file: Path
    studies: list[OptunaStudy]
    is_running: bool
    """The search runs, or may run, so another copy will show more."""


def dashboard(
    run: str | Path,
    out: str | Path | None = None,
    *,
    phase: Callable[[str], None] = lambda text: None,
) -> OptunaCopy:
    """Write a copy of a run's studies for Optuna's tools; the run itself is only read.

    >>> copy = search.dashboard("results/seg")
    >>> storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(copy.file)))

    Args:
        run: its folder.
        out: the file to write (default: optuna.journal in that folder).
        phase: called with a line on what is being done.

    Raises:
        SearchError: there is no such run, it cannot be read, or the file cannot be written or is no copy.
    """
    folder = RunFolder.at(run)
    folder.require_begun()
    file = folder.path / COPY if out is None else local_path(out).absolute()
    require_copy(file)
    is_running = heard_in(folder.owner_file, phase) is not None
    phase("reading the study")
    reading = read_run(folder)
    if not any(stage.records for stage in reading.stages):
        raise RefusedError(f"{folder.path} has no trial yet; there is nothing to copy")
    studies = write_studies(
        file,
        studies_of(reading, is_running=is_running),
        folder=folder.path,
        told=lambda study: phase(f"copying {counted(len(study.trials), 'trial')} of {study.name}"),
    )
    return OptunaCopy(file, studies, is_running)
