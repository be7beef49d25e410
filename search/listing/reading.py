"""A run as its files have it at one moment: configuration, studies, summary. Nothing is locked or written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from search.budget.reserve import is_held
from search.config.config import Config
from search.config.stages import SearchConfig, open_run
from search.run.disk.folder import RunFolder
from search.run.outcome.summary import Summary
from search.run.outcome.summary_file import read_summary
from search.schedulers.base import Scheduler
from search.schedulers.build import build_scheduler
from search.study.reading import StudyReading, read_study
from search.study.trial import TrialRecord


@dataclass(frozen=True)
class StageReading:
    """One search of a run, as far as it has come."""

    name: str
    """`1-optimizer`; empty where the run has no stages."""
    folder: RunFolder
    config: Config
    study: StudyReading

    @property
    def records(self) -> Sequence[TrialRecord]:
        return self.study.records

    @cached_property
    def scheduler(self) -> Scheduler:
        return build_scheduler(self.config)

    def is_paused(self, record: TrialRecord) -> bool:
        """Whether the last report of a trial that has not ended was the end of its job."""
        length = self.config.budget.max_virtual_epochs
        if record.depth in (0, record.promoted_at) or record.outcome is not None:
            return False
        if is_held(record) and self.config.budget.limits_compute:
            return True
        if not self.scheduler.pauses or record.audited or record.depth >= length:
            return False
        decided_at = self.scheduler.next_decision(
            record.number, record.depth - 1, record.lengths, length, record.bracket
        )
        return decided_at == record.depth

    def name_of(self, record: TrialRecord) -> int | str:
        """The number of a trial; of a run in stages `1-optimizer/7`."""
        return f"{self.name}/{record.number}" if self.name else record.number


@dataclass(frozen=True)
class RunReading:
    """A run whose files can be read."""

    folder: RunFolder
    search: SearchConfig
    stages: list[StageReading]
    """Those that have begun."""
    summary: Summary | None
    """None before the search has ended for the first time, and where the file is damaged."""
    damaged_summary: str = ""
    """Why the summary cannot be read, although it is there."""

    @property
    def last(self) -> StageReading | None:
        """The stage that the search has come to."""
        return self.stages[-1] if self.stages else None


def read_run(
    folder: RunFolder,
    *,
    study_in: Callable[[Path], StudyReading] = read_study,
    opened: Callable[[Path], SearchConfig] = open_run,
) -> RunReading:
    """Read a run, which a search may be writing.

    Args:
        folder: of the run.
        study_in: reads the study in a journal.
        opened: reads a configuration; who reads a run again and again need not parse all of it each time.

    Raises:
        SearchError: its configuration or a study is damaged.
        OSError: a file cannot be read.
    """
    search = opened(folder.config)
    stages = [
        StageReading(
            name=stage.path.name if folder.is_staged else "",
            folder=stage,
            config=opened(stage.config).first if folder.is_staged else search.first,
            study=study_in(stage.journal),
        )
        for stage in folder.stages()
    ]
    summary, damaged = None, ""
    try:
        summary = read_summary(folder)
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError) as error:
        damaged = f"{type(error).__name__}: {error}"
    return RunReading(folder, search, stages, summary, damaged)
