"""One named stage of a search: its folder, and the values that it begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.config.config import Config
from search.config.document import read_values, write_yaml
from search.config.stages import SearchConfig, open_run
from search.errors import ConfigError, SearchError
from search.run.disk.folder import RunFolder
from search.run.outcome.summary import Summary
from search.run.outcome.summary_file import read_summary
from search.study.reading import read_records
from search.study.trial import TrialRecord, best_record
from search.text import put_at, value_at

_ABSENT = object()


@dataclass(frozen=True)
class StageRun:
    """One named stage of a search, with the values that it begins with."""

    search: SearchConfig
    number: int
    whole: RunFolder

    @property
    def title(self) -> str:
        stages = self.search.stages
        return f"stage {self.number + 1} of {len(stages)} ({stages[self.number].name})"

    @property
    def folder(self) -> RunFolder:
        return self._folder_of(self.number)

    def config(self) -> Config:
        """The stage's configuration, with the values that it began or begins with."""
        if self.number == 0:
            return self.search.first
        recorded = self._recorded() or self._begin()
        return self.search.stage(self.number, recorded["options"], recorded.get("points_to_evaluate"))

    def introduction(self) -> str:
        """The title, and where the stage's fixed values come from."""
        recorded = self._recorded()
        if recorded is None:
            return self.title
        origin = f"{recorded['stage']} trial {recorded['trial']}, {recorded['metric']}"
        return f"{self.title} continues with the values of {origin} {recorded['value']:.4g}"

    def finished(self, config: Config) -> Summary | None:
        """The summary of the stage if it is complete as it is asked for now."""
        try:
            same = open_run(self.folder.config).raw == config.raw and self.folder.journal.is_file()
            summary = read_summary(self.folder)
        except (OSError, ValueError, KeyError, TypeError, ConfigError):  # the study tells it again
            return None
        return summary if same and summary.status == "complete" else None

    def _folder_of(self, number: int) -> RunFolder:
        return RunFolder(self.whole.stages_path / self.search.folder_name(number))

    def _recorded(self) -> Mapping[str, Any] | None:
        return read_values(self.folder.base) if self.folder.base.is_file() else None

    def _begin(self) -> Mapping[str, Any]:
        """Take the best trial before this stage, and record it, so that nothing later can change it."""
        objective = self.search.objective
        number, record = self._best_before()
        options = record.resolved.options
        recorded = {
            "stage": self.search.folder_name(number),
            "trial": record.number,
            "metric": objective.metric,
            "value": record.value(objective.mode),
            "options": options,
            "points_to_evaluate": self._point(options),
        }
        self.folder.path.mkdir(mode=0o700, exist_ok=True)
        write_yaml(self.folder.base, recorded)
        return recorded

    def _best_before(self) -> tuple[int, TrialRecord]:
        """Number and best trial of the last stage before this one that has a best trial."""
        for number in reversed(range(self.number)):
            record = best_record(read_records(self._folder_of(number).journal), self.search.objective.mode)
            if record is not None:
                return number, record
        name = self.search.folder_name(self.number - 1)
        raise SearchError(
            f"{self.title} cannot begin: no trial before it has a value; "
            f"see {self.whole.stages_path / name}, and take another --name for a search with another space"
        )

    def _point(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The base as a point of this stage's space; empty if it lies outside."""
        task_options = self.search.first.task_class().Options.parse(options)
        defaults = task_options.model_dump(mode="json")
        point: dict[str, Any] = {}
        for path in self.search.searched_paths(self.number):
            value = value_at(options, path, value_at(defaults, path, _ABSENT))
            if value is not _ABSENT:
                put_at(point, path, value)
        try:
            self.search.stage(self.number, options).space.params_of(point)
        except ConfigError:
            return {}
        return point
