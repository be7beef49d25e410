"""The trials of a run that may become part of an ensemble or a soup: those with a usable checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from search.config.config import Config
from search.config.stages import open_run
from search.config.tasks import BUILT_IN
from search.ensembles.averages import NO_MEAN, has_mean
from search.errors import RefusedError, SearchError
from search.exports.chosen import last_with_a_value
from search.run.data.errors import data_errors
from search.run.data.record import TrialData, data_for, find_data
from search.run.disk.folder import RunFolder
from search.study.trial import TrialRecord, as_loss, ranked
from search.text import command, counted
from trainables.build import load_raw
from trainables.checkpoints.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    checkpoint_folder,
    read_checkpoint,
)
from trainables.data.prepared import data_key
from trainables.task import Arrays


@dataclass(frozen=True)
class Candidate:
    """A checkpoint with what is needed to restore it."""

    label: str
    """As messages and files name it, such as `trial 7`."""
    trial: int
    checkpoint: Checkpoint
    config: Config
    data: TrialData

    @property
    def value(self) -> float:
        """The objective that was recorded at the checkpoint."""
        history = self.checkpoint.info["history"]
        return float(history[self.checkpoint.virtual_epoch - 1][self.checkpoint.info["metric"]])


@dataclass(frozen=True)
class Candidates:
    """Those of a run, the best by its own value first: two or more."""

    stage: RunFolder
    config: Config
    found: Sequence[Candidate]
    stage_name: str | None
    """Of a search in stages."""
    left_out: tuple[str, ...]
    """What is wrong with checkpoints that could not be read."""

    @property
    def best(self) -> Candidate:
        return self.found[0]

    @property
    def single(self) -> str:
        """The command that exports the best of them alone."""
        return command("export", self.stage.run_path, "--trial", str(self.best.trial))


def candidates_of(run: str | Path, flag: str) -> Candidates:
    """The trials of the last stage of a run that have a value and an intact checkpoint, all data loaded.

    Args:
        flag: of the command, for messages.

    Raises:
        RefusedError: there are fewer than two, the task's outputs have no mean, there are several
            objectives, or the data have changed.
    """
    folder = RunFolder.at(run)
    folder.require()
    stage, records = last_with_a_value(folder)
    config = open_run(stage.config).first
    require_mean(config, flag)
    if config.objectives:
        raise RefusedError(
            f"{flag}: {folder.path} has several objectives, and members are chosen by one value; export "
            "trials of the front alone, by --trial N"
        )
    found, left_out = _read(stage, config, records)
    if len(found) < 2:
        damaged = f" ({'; '.join(left_out)})" if left_out else ""
        alone = f"`{command('export', folder.path)}` exports one, and " if found else ""
        raise RefusedError(
            f"{flag}: {folder.path} has {counted(len(found), 'trial')} with a value and a checkpoint"
            f"{damaged}, and two or more are needed: {alone}a search with a larger checkpoint.keep_trials "
            f"(here {config.checkpoint.keep_trials}) keeps more"
        )
    found.sort(key=lambda each: (as_loss(each.value, config.objective.mode), each.trial))
    return Candidates(stage, config, found, stage.path.name if folder.is_staged else None, left_out)


def require_mean(config: Config, flag: str) -> None:
    """Raise RefusedError for a task whose outputs have no mean."""
    if config.task_path not in BUILT_IN.values() or not has_mean(config.task_class()):
        why = NO_MEAN.get(str(config.raw["task"]), "only its own code knows what its outputs are")
        raise RefusedError(
            f"{flag} averages what models of segmentation, classification and regression predict, and this "
            f"is of task {config.raw['task']}: {why}; leave {flag} out, and the best trial is exported"
        )


def _read(
    stage: RunFolder, config: Config, records: Sequence[TrialRecord]
) -> tuple[list[Candidate], tuple[str, ...]]:
    mode, now = config.objective.mode, find_data(config, load=True)
    arrays = dict(now.arrays)
    found, left_out = list[Candidate](), list[str]()
    for record in ranked(records, mode):
        epoch, trial = record.best_virtual_epoch(mode), stage.trial(record.number)
        if record.of_other_data or not checkpoint_folder(trial, epoch).is_dir():
            continue
        try:
            checkpoint = read_checkpoint(trial, epoch)
        except DamagedCheckpointError as error:
            left_out.append(f"trial {record.number} is left out: {error}")
            continue
        data = data_for(config, stage, record, now)
        if data.other:
            raise RefusedError(
                f"the data have changed since {stage.path} was run ({'; '.join(data.other)}), and members "
                "are chosen by their values on them: put back the data as they were, or search again"
            )
        data = replace(data, arrays=_with_raw(arrays, config, checkpoint))
        candidate = Candidate(f"trial {record.number}", record.number, checkpoint, config, data)
        if math.isfinite(candidate.value):
            found.append(candidate)
    return found, tuple(left_out)


def _with_raw(arrays: dict[str, Arrays], config: Config, checkpoint: Checkpoint) -> dict[str, Arrays]:
    """The decoded data by their key, those of this checkpoint among them: all candidates share one copy."""
    task, options = checkpoint.info["task"], checkpoint.info["options"]
    key = data_key(task, options)
    if key not in arrays:
        task_class = config.task_class()
        try:
            with data_errors(task):
                arrays[key] = load_raw(task_class, task_class.Options.parse(options))
        except KeyError as error:
            raise SearchError(str(error.args[0])) from error
    return arrays
