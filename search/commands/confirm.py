"""Races the best trials of a complete search over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from search.config.schema import Confirm
from search.config.stages import open_run
from search.errors import RefusedError
from search.race.plan import default_race, read_plan
from search.run.confirm import run_race, without_race
from search.run.disk.folder import RunFolder, write_json
from search.run.disk.hints import going_on
from search.run.disk.storage import mirrored
from search.run.executor import Executor
from search.run.executors.choose import executor_for
from search.run.outcome.gone_on import gone_on
from search.run.outcome.objectives import refuse_several
from search.run.outcome.opened import Run
from search.run.outcome.summary import Summary
from search.run.outcome.summary_file import read_summary
from search.run.reporter import ProgressReporter
from search.study.reading import read_records
from search.text import counted


def confirm(run: str | Path, **options: Any) -> Run:
    """Race the best trials of a complete search over new seeds at full length, or continue that.

    >>> search.confirm("results/seg", top=3, seeds=5).confirmed

    Args:
        run: the search's folder.
        options: see `race`.

    Raises:
        SearchError: see `race`.
    """
    return Run(race(run, **options).folder)


def race(
    run: str | Path,
    *,
    top: int | None = None,
    seeds: int | None = None,
    address: str | None = None,
    skip_bad_nodes: bool = False,
    local: bool = False,
    retry_failed: bool = False,
    reporter: ProgressReporter | None = None,
    executor: Executor | None = None,
) -> Summary:
    """As `confirm`, for a summary.

    Args:
        run: the search's folder.
        top: number of best trials that race (default: as the race has begun, else as configured, else 3).
        seeds: number of seeds (default: as the race has begun, else as configured, else 5); where they are
            fewer than the race has begun with, all of those stay, which the reporter is told.
        address, …, executor: see `search.run.search.search`.

    Raises:
        SearchError: the search is not complete, or the race cannot be run.
    """
    folder = RunFolder.at(run)
    folder.require()
    refuse_several(folder, "a race has one winner; `export --trial N` takes a trial of the front")
    executor = executor or executor_for(address, local=local, skip_bad_nodes=skip_bad_nodes)
    flags = executor.flags
    try:
        summary = _require_complete(folder, read_summary(folder), flags)
    except FileNotFoundError:
        raise RefusedError(f"{folder.path} has no summary: the search in it has not ended") from None
    asked = _asked(folder, top, seeds)
    with closing(executor):
        executor.begin()
        shown = reporter or ProgressReporter()
        storage = open_run(folder.config).first.storage
        with mirrored(storage, folder, shown.phase) as mirror:
            found = run_race(
                folder, summary, asked, executor, shown, retry_failed=retry_failed, mirror=mirror
            )
            write_json(folder.summary, found.as_dict())
        return found


def _asked(folder: RunFolder, top: int | None, seeds: int | None) -> Confirm:
    default = default_race(read_plan(RunFolder(folder.confirm_path).race), open_run(folder.config).confirm)
    return Confirm(top=top or default.top, seeds=seeds or default.seeds, error=default.error)


def _require_complete(folder: RunFolder, summary: Summary, flags: Sequence[str]) -> Summary:
    """The summary of the search alone.

    Raises:
        SearchError: the search is not complete.
    """
    found = without_race(summary)
    if found.status != "complete":
        raise RefusedError(
            f"the search in {folder.path} is {found.status} ({found.reason}), and its best trials may be "
            f"others at its end; `{going_on(folder, flags=flags)}` continues it"
        )
    _require_ended(folder, found, flags)
    return found


def _require_ended(folder: RunFolder, summary: Summary, flags: Sequence[str]) -> None:
    """Refuse a search that went on after it had written its summary, and was killed.

    Raises:
        SearchError: it did.
    """
    stages = folder.stages()
    records = [record for stage in stages for record in read_records(stage.journal)]
    now = [(stage, open_run(stage.config).first) for stage in stages]
    if (since := gone_on(summary, records, now)) is not None:
        there_are = f"there are {since.found}, and " if since.found else ""
        raise RefusedError(
            f"the search in {folder.path} {since.what} after its summary of "
            f"{counted(summary.trials, 'trial')}, and did not come to its end: {there_are}its best trials "
            f"may be others then; `{going_on(folder, flags=flags)}` continues it"
        )
