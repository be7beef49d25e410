"""A run as its report reads it, which may be running: the study on disk, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from optuna.trial import FrozenTrial

from search.config.config import Config
from search.config.stages import open_run
from search.race.confirmed import Confirmed
from search.run.confirm import read_confirmed
from search.run.folder import RunFolder
from search.run.summary import Summary, read_summary
from search.schedulers.base import Rungs, Scheduler
from search.schedulers.build import build_scheduler
from search.study.frozen import records_of
from search.study.journal import open_journal, reraise_as_damaged
from search.study.study import ELAPSED
from search.study.trial import TrialRecord, ranked


@dataclass(frozen=True)
class Stage:
    """One search: the whole run, or one of its named stages."""

    name: str
    """Empty without named stages."""
    config: Config
    folder: RunFolder
    records: list[TrialRecord]
    frozen: list[FrozenTrial] = field(repr=False)
    """Optuna's view of each trial."""
    seconds: float
    """Wall time of all sessions so far."""

    @property
    def length(self) -> int:
        """Virtual epochs of a full training."""
        return self.config.budget.max_virtual_epochs

    @cached_property
    def scheduler(self) -> Scheduler:
        return build_scheduler(self.config)

    @property
    def rungs(self) -> Rungs:
        return self.scheduler.rungs

    @property
    def marks(self) -> list[int]:
        """Virtual epochs at which trials pause or are stopped, where rungs are counted in these."""
        if self.rungs.axis != "virtual_epochs" or self.config.scheduler.name in ("none", "pbt"):
            return []
        found, rung = [], self.rungs.grace_period
        while rung < self.length:
            found.append(rung)
            rung *= self.rungs.reduction_factor
        return found

    @cached_property
    def ranked(self) -> list[TrialRecord]:
        """Trials with a value, the best first."""
        return ranked(self.records, self.config.objective.mode)


@dataclass(frozen=True)
class OpenedRun:
    """All that a report says anything about."""

    folder: RunFolder
    stages: Sequence[Stage]
    """Those that have begun, in order; one without named stages."""
    owner: str | None
    """Who runs the search now, if anybody does."""
    summary: Summary | None
    """What the last session ended with; None while one runs, and before the first end."""
    race: Confirmed | None

    @property
    def last(self) -> Stage:
        """The last stage that has a trial with a value, or the last one."""
        return next((stage for stage in reversed(self.stages) if stage.ranked), self.stages[-1])


def open_for_report(folder: RunFolder, *, owner: str | None) -> OpenedRun:
    """Read a run.

    Args:
        folder: of the run.
        owner: who runs it now; None if nobody does.

    Raises:
        SearchError: there is no run, or its study is damaged.
    """
    summary = None
    if owner is None and folder.summary.is_file():
        summary = read_summary(folder)
    stages = [_read_stage(each, folder) for each in folder.stages()]
    return OpenedRun(folder, stages, owner, summary, read_confirmed(folder))


def _read_stage(folder: RunFolder, run: RunFolder) -> Stage:
    storage, _ = open_journal(folder.journal)
    with reraise_as_damaged(folder.journal):
        records = list(records_of(storage))
        frozen = [storage.get_trial(record.trial_id) for record in records]
        seconds = sum(study.user_attrs.get(ELAPSED, 0.0) for study in storage.get_all_studies())
    name = folder.path.name if run.is_staged else ""
    return Stage(name, open_run(folder.config).first, folder, records, frozen, float(seconds))
