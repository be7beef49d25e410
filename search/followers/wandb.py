"""Weights & Biases: one run for the search, and a group with it of one run for each trial.

A run has the id that we give it, so that another process goes on with the same one. Rows have increasing
steps: those up to the last one that is there, by the server or by the files, are not written again.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import wandb

from search.config.sections.loggers import WandbLogger
from search.followers.destination import Destination, DestinationError, Followed, FollowedRun, Status
from search.followers.wandb_file import read_offline

WRITTEN = "tune_search.written"
"""Of the summary: what was written, so that a run that is whole is not opened again."""
_INIT_SECONDS, _FILE_SECONDS = 30.0, 10.0
"""For which the server is waited for; and at the end, offline, the process that writes the files."""


class WandbDestination(Destination):
    """Writes with W&B's own process; runs stay open until their trials pause or end.

    Args:
        logger: its settings.
        folder: of the run; W&B writes in `wandb/` there.
    """

    def __init__(self, logger: WandbLogger, folder: Path) -> None:
        self._folder, self._entity = folder, logger.entity
        self._project = logger.project or os.environ.get("WANDB_PROJECT") or "tune-search"
        self._is_offline = (logger.mode or os.environ.get("WANDB_MODE") or "online") == "offline"
        self._runs: dict[str, tuple[Any, int]] = {}
        """Those that are open, and the last step of each."""
        self._written: dict[str, str] = {}
        self._begun: set[str] = set()
        """Those that this process has begun, whose files W&B's own process may still be writing."""
        self._group, self._page = "", ""

    @property
    def place(self) -> str:
        if self._is_offline:
            files = self._folder / "wandb"
            return f"offline in {files}; `wandb sync {files}/offline-run-*` sends it"
        return self._page or f"project {self._project} of W&B"

    def open(self, run: FollowedRun) -> None:
        self._group = f"{run.search.name}-{run.search.id}"
        if self._is_offline:
            with self._errors():
                for followed in (run.search, *run.trials):
                    found = read_offline(self._folder, followed.id)
                    self._written[followed.id] = str(found.summary.get(WRITTEN, ""))

    def write(self, followed: Followed, *, parent: Followed | None) -> None:
        digest = hashlib.sha256(repr(followed.fingerprint).encode()).hexdigest()[:16]
        if self._written.get(followed.id) == digest:
            return
        with self._errors():
            if followed.id not in self._runs:
                self._begun.add(followed.id)
                self._runs[followed.id] = self._begin(followed, "search" if parent is None else "trial")
            run, last = self._runs[followed.id]
            for point in followed.points:
                if point.step > last:
                    run.log(dict(point.values), step=point.step)
                    self._runs[followed.id] = run, point.step
            facts = {"state": followed.state, "reason": followed.reason, **followed.facts}
            run.summary.update({**facts, WRITTEN: digest})
            self._written[followed.id] = digest
            if followed.status is not Status.RUNNING:
                del self._runs[followed.id]
                run.finish(exit_code=int(followed.status is Status.FAILED))

    def close(self) -> None:
        runs, self._runs = self._runs, {}
        for run, _ in runs.values():
            run.finish()
        deadline = time.monotonic() + _FILE_SECONDS
        for each in self._begun if self._is_offline else ():
            while read_offline(self._folder, each).summary.get(WRITTEN) != self._written[each]:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)

    def _begin(self, followed: Followed, kind: str) -> tuple[Any, int]:
        """The run of W&B, and the last step that it has.

        Its folder is named by the second, and one that is there would be written over.
        """
        while (self._folder / f"wandb/offline-run-{time.strftime('%Y%m%d_%H%M%S')}-{followed.id}").exists():
            time.sleep(0.05)
        run = wandb.init(
            project=self._project,
            entity=self._entity,
            id=followed.id,
            name=followed.name,
            group=self._group,
            job_type=kind,
            config=dict(followed.config),
            resume="allow",
            reinit="create_new",
            mode="offline" if self._is_offline else "online",
            settings=wandb.Settings(
                silent=True,
                console="off",
                root_dir=str(self._folder),
                init_timeout=_INIT_SECONDS,
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_save_requirements=False,
                x_disable_stats=True,
            ),
        )
        if kind == "search" and not self._is_offline:
            self._page = run.url or ""
        if self._is_offline:
            return run, read_offline(self._folder, followed.id).last_step
        return run, run.step - 1

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # some are of private classes, which have no base in common
            raise DestinationError(str(error).partition("\n")[0]) from error
