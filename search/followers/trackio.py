"""Trackio: one run for the search, and a group with it of one run for each trial, on this machine.

Each row of its database has an id of run, trial and step, which the database takes once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import trackio
from trackio import SQLiteStorage  # Run of trackio writes in a thread, and tells no error

from search.config.sections.loggers import TrackioLogger
from search.followers.destination import Destination, DestinationError, Followed, FollowedRun, Status

_WRITTEN = "tune_search.written"
"""In the configuration of a run: what was written, so that one that is whole is not written again."""


class TrackioDestination(Destination):
    """Writes into the database of a project, which `trackio show` and `trackio sync` read.

    Args:
        logger: its settings.
    """

    def __init__(self, logger: TrackioLogger) -> None:
        self._project = logger.project or os.environ.get("TRACKIO_PROJECT") or "tune-search"
        self._group = ""
        self._written: dict[str, str] = {}
        self._last: dict[str, int] = {}
        """The last step of each run that is there."""

    @property
    def place(self) -> str:
        shown = f"`trackio show --project {self._project}` shows it"
        return f"project {self._project} of Trackio in {trackio.TRACKIO_DIR}; {shown}"

    def open(self, run: FollowedRun) -> None:
        self._group = f"{run.search.name}-{run.search.id}"
        with self._errors():
            SQLiteStorage.validate_project_name(self._project)
            configs = SQLiteStorage.get_all_run_configs(self._project)
            self._written = {name: str(config.get(_WRITTEN, "")) for name, config in configs.items()}
            self._last = dict(SQLiteStorage.get_max_steps_for_runs(self._project))

    def write(self, followed: Followed, *, parent: Followed | None) -> None:
        digest = hashlib.sha256(repr(followed.fingerprint).encode()).hexdigest()[:16]
        rows = self._rows(followed)
        if self._written.get(followed.id) == digest or not rows:
            return
        steps, values, times = zip(*rows, strict=True)
        with self._errors():
            SQLiteStorage.bulk_log(
                self._project,
                followed.name,
                list(values),
                steps=list(steps),
                timestamps=list(times),
                config=self._config(followed, "search" if parent is None else "trial") | {_WRITTEN: digest},
                log_ids=[f"{followed.id}-{step}" for step in steps],
                run_id=followed.id,
            )
        self._written[followed.id], self._last[followed.id] = digest, steps[-1]

    def _rows(self, followed: Followed) -> list[tuple[int, dict[str, float], str]]:
        """Those that are not there, and the last one again: the configuration is written with a row alone."""
        last = self._last.get(followed.id, -1)
        new = [point for point in followed.points if point.step >= last] or list(followed.points[-1:])
        rows = [(point.step, dict(point.values), _time(point.at)) for point in new]
        if not rows and followed.status not in (Status.RUNNING, Status.WAITING):
            rows = [(0, {}, _time(followed.began))]  # it has ended before its first report
        return rows

    def _config(self, followed: Followed, kind: str) -> dict[str, Any]:
        facts = {"state": followed.state, "reason": followed.reason, "kind": kind, **followed.facts}
        of_trackio = {"_Group": self._group, "_Created": _time(followed.began)}
        named = {f"tune_search.{key}": fact for key, fact in facts.items()}
        return {**followed.config, **named, **of_trackio}

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of the database, the file system, and names that it does not take
            raise DestinationError(str(error).partition("\n")[0]) from error


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
