"""Runs a search in stages: one after the other in one folder, each a run of its own, with one Ray for all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from search.commands.staged_folder import BASE
from search.config.config import Config, load_config
from search.config.document import read_document, value_at, write_yaml
from search.config.stages import Base, Stages
from search.errors import ConfigError, KeyPath, SearchError
from search.run.changes import record_config
from search.run.coordinator import Coordinator
from search.run.events import Event
from search.run.executor import Executor
from search.run.folder import RunFolder, write_json
from search.run.provenance import record_provenance, working_folder
from search.run.stage import run_in_folder
from search.run.staged_summary import StagedSummary, join
from search.run.summary import Best, Summary
from search.run.watcher import Watcher
from search.screen.live import number_text
from search.study.study import best_record, read_records

_ABSENT = object()


def run_stages(
    config: Config,
    folder: RunFolder,
    executor: Executor,
    watcher: Watcher,
    *,
    growing: bool = False,
    older: RunFolder | None = None,
) -> StagedSummary:
    """Search stage after stage; what is done stays, and what a stage has begun with stays too.

    Args:
        config: with stages.
        folder: of the whole.
        executor: is started when a stage needs it.
        watcher: is shown what happens.
        growing: another space, sampler or scheduler was asked for in so many words.
        older: a run whose trials the sampler of the first stage learns from.

    Raises:
        ConfigError, SearchError: as `search.search`.
    """
    stages = config.stages
    assert stages is not None
    folder.create()
    with folder.needs_space(), folder.owned() as previous_owner, working_folder(folder), ExitStack() as stack:
        if previous_owner:
            watcher.phase(f"taking over from a search that has died ({previous_owner})")
        record_config(config, folder, growing=growing)
        record_provenance(config, folder)
        folder.stages.mkdir(mode=0o700, exist_ok=True)
        started = False
        summaries: list[Summary] = []
        while len(summaries) < len(stages):
            stage = _Stage(stages, len(summaries), folder)
            stage_config = stage.config(config)
            summary = stage.finished(stage_config)
            if summary is None:
                if not started:
                    stack.enter_context(executor)
                    started = True
                watcher.phase(stage.introduction())
                summary = run_in_folder(
                    stage_config,
                    stage.folder,
                    executor,
                    _StageWatcher(watcher, stage.title),
                    growing=growing,
                    older=None if summaries else older,
                )
            else:
                watcher.phase(f"{stage.title} is done")
            summaries.append(summary)
            if summary.status != "complete":
                break
        whole = join(summaries, folder.path, len(stages))
        write_json(folder.summary, whole.as_dict())
        return whole


@dataclass(frozen=True)
class _Stage:
    stages: Stages
    number: int
    whole: RunFolder

    @property
    def title(self) -> str:
        return f"stage {self.number + 1} of {len(self.stages)} ({self.stages.stages[self.number].name})"

    @property
    def folder(self) -> RunFolder:
        return self._folder_of(self.number)

    def config(self, whole: Config) -> Config:
        """The stage's configuration, from what it has begun with or begins with now."""
        if self.number == 0:
            return self.stages.config(0, self.stages.start)
        recorded = self._recorded() or self._begin(whole)
        return self.stages.config(self.number, Base(recorded["options"]), recorded.get("points_to_evaluate"))

    def introduction(self) -> str:
        """A line that tells where the stage's fixed values come from."""
        if self.number == 0:
            return self.title
        recorded = self._recorded() or {}
        origin = f"{recorded['stage']} trial {recorded['trial']}, {recorded['metric']}"
        return f"{self.title} goes on with the values of {origin} {number_text(recorded['value'])}"

    def finished(self, config: Config) -> Summary | None:
        """The summary of a stage that is complete as it is asked for now."""
        try:
            told = json.loads(self.folder.summary.read_text())
            same = load_config(self.folder.config).raw == config.raw and self.folder.journal.is_file()
            best = None if told["best"] is None else Best(**told["best"])
            summary = Summary(**{**told, "best": best, "folder": str(self.folder.path)})
        # What cannot be read is found out again from the study.
        except (OSError, ValueError, KeyError, TypeError, ConfigError):
            return None
        return summary if same and summary.status == "complete" else None

    def _folder_of(self, number: int) -> RunFolder:
        return RunFolder(self.whole.stages / self.stages.folder_name(number))

    def _recorded(self) -> Mapping[str, Any] | None:
        file = self.folder.path / BASE
        return read_document(file).check().raw if file.is_file() else None

    def _begin(self, whole: Config) -> Mapping[str, Any]:
        """Take the best trial before this stage, and record it: whatever comes later cannot change it."""
        mode = whole.objective.mode
        for number in reversed(range(self.number)):
            record = best_record(read_records(self._folder_of(number).journal), mode)
            if record is not None:
                break
        else:
            name = self.stages.folder_name(self.number - 1)
            raise SearchError(
                f"{self.title} cannot begin: no trial before it has a value; "
                f"see {self.whole.stages / name}, and take another --name for a search with another space"
            )
        options = record.resolved.raw
        recorded = {
            "stage": self.stages.folder_name(number),
            "trial": record.number,
            "metric": whole.objective.metric,
            "value": record.best(mode),
            "options": options,
            "points_to_evaluate": self._known_point(whole, options, record.resolved.tree),
        }
        self.folder.path.mkdir(mode=0o700, exist_ok=True)
        write_yaml(self.folder.path / BASE, recorded)
        return recorded

    def _known_point(
        self, whole: Config, options: Mapping[str, Any], tree: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The base as a point of this stage's space; empty where it lies outside."""
        task_options = whole.task_class().Options.model_validate(tree)
        defaults = task_options.model_dump(mode="json")
        point: dict[str, Any] = {}
        for path in self.stages.own_domains(self.number):
            value = value_at(options, path, value_at(defaults, path, _ABSENT))
            if value is not _ABSENT:
                _put(point, path, value)
        try:
            self.stages.config(self.number, Base(options)).space.params_of(point)
        except ConfigError:
            return {}
        return point


class _StageWatcher:
    """Names the stage where the search's name is shown."""

    def __init__(self, watcher: Watcher, title: str) -> None:
        self._watcher, self._title = watcher, title
        self.phase, self.note, self.end = watcher.phase, watcher.note, watcher.end

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None:
        named = replace(config, name=f"{config.name}, {self._title}")
        self._watcher.begin(coordinator, named, folder)

    def event(self, event: Event) -> None:
        self._watcher.event(event)


def _put(tree: dict[str, Any], path: Sequence[str | int] | KeyPath, value: Any) -> None:
    *parents, last = path
    for key in parents:
        tree = tree.setdefault(str(key), {})
    tree[str(last)] = value
