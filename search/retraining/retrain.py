"""Retrains an exported model with the search's own trainer, without Ray."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from search.addresses import local_path
from search.config.config import Config
from search.config.schema import Mode
from search.config.stages import load_config
from search.errors import RefusedError, SearchError
from search.exports.disk import disk_errors
from search.exports.export import Export, export_checkpoint
from search.exports.files import PREPARED, refuse_other_content
from search.predicting.exported import CONFIG, METRICS, WEIGHTS
from search.retraining.begun import (
    RETRAINED,
    check_arguments,
    compare_data,
    copy_prepared,
    home_of,
    refuse_foreign,
    require_export,
    retrain_command,
    tell_changed_code,
)
from search.retraining.fold import fold_folder, held_export, of_fold
from search.retraining.replay import checked, train_parts, with_schedule
from search.run.before.provenance import working_folder
from search.run.data.errors import data_errors
from search.run.data.record import FoundData, TrialData, find_data
from search.run.disk.folder import RunFolder
from search.run.signals import heard_signals
from search.study.trial import as_loss
from trainables.build import load_arrays
from trainables.checkpoints.checkpoint import Checkpoint, DamagedCheckpointError, read_checkpoint
from trainables.data.prepared import data_key
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.function.task import FunctionTask
from trainables.session import DataSplit, Record, TrialPlan, TrialSession
from trainables.task import Arrays

_GOES_ON = "free space, and the same command goes on"


@dataclass(frozen=True)
class Asked:
    """What a call asks for, see `retrain`."""

    virtual_epochs: int | None = None
    steps: int | None = None
    from_scratch: bool = False
    data: DataSplit = "train"
    fold: int | None = None
    accept_new_data: bool = False
    out: str | Path | None = None


@dataclass(frozen=True)
class Retraining:
    """How a retraining ended; `export` is None unless it is complete."""

    folder: Path
    virtual_epochs: int
    of: int
    interrupted_by: int | None
    before: float
    """The value of the export that it began with."""
    export: Export | None
    mode: Mode
    source: Path
    """The export that it began with."""
    trained: int = 0
    """Virtual epochs that this call has trained: none where the folder held all of them."""
    exported_now: bool = False
    """The export was not there before this call."""

    @property
    def is_worse(self) -> bool:
        """Whether its best value is worse than that of the export."""
        return self.export is not None and as_loss(self.export.value, self.mode) > as_loss(
            self.before, self.mode
        )


def retrain(
    exported: str | Path,
    *,
    virtual_epochs: int | None = None,
    steps: int | None = None,
    from_scratch: bool = False,
    data: DataSplit = "train",
    fold: int | None = None,
    accept_new_data: bool = False,
    out: str | Path | None = None,
    progress: Callable[[Record, int], None] = lambda record, of: None,
) -> Retraining:
    """Train an exported model, or its configuration from scratch, over the full length of the schedule.

    The same call again continues an interrupted retraining; of a complete one it trains nothing.

    Args:
        exported: folder that `export` wrote.
        virtual_epochs: length in virtual epochs (default: as in the search).
        steps: length in optimizer steps instead, rounded up to whole virtual epochs.
        from_scratch: start from new weights instead of the exported ones.
        data: `train+val` includes the validation data, so metrics no longer estimate new data.
        fold: which of `data.folds` validates; from new weights, see `retrain_folds`.
        accept_new_data: train although the data have changed since the model was exported.
        out: folder to write (default: `retrain` beside the export, or beside the ensemble that it is a member
            of); of a fold, in which `fold_2` is written.
        progress: called with the record of each virtual epoch and the total number of virtual epochs.

    Raises:
        SearchError: the folder is not an export, or `out` holds another retraining, or the data have changed.
    """
    asked = Asked(virtual_epochs, steps, from_scratch, data, fold, accept_new_data, out)
    source = local_path(exported).absolute()
    return retrain_as(source, asked, command_of(exported, asked, fold), progress)


def command_of(exported: str | Path, asked: Asked, fold: int | str | None) -> str:
    """The command that asks for the same, as it was typed."""
    return retrain_command(
        exported,
        {
            "--virtual-epochs": asked.virtual_epochs,
            "--steps": asked.steps,
            "--from-scratch": asked.from_scratch,
            "--data": None if asked.data == "train" else asked.data,
            "--fold": fold,
            "--out": asked.out,
        },
    )


def retrain_as(source: Path, asked: Asked, again: str, progress: Callable[[Record, int], None]) -> Retraining:
    """`retrain` of an export at an absolute path.

    Args:
        again: the command that was given, for messages.
    """
    require_export(source)
    if asked.virtual_epochs is not None and asked.steps is not None:
        raise RefusedError("give --virtual-epochs or --steps, not both")
    RunFolder(source).require_private()
    folder, fold, from_scratch = RunFolder.at(asked.out or home_of(source) / RETRAINED), asked.fold, True
    refuse_foreign(folder.path)
    if fold is not None:
        folder = RunFolder(fold_folder(folder.path, fold))
        refuse_foreign(folder.path)
    else:
        from_scratch = asked.from_scratch
    with working_folder(RunFolder(home_of(source))):
        own = load_config(source / CONFIG).first
        config = own if fold is None else of_fold(source, own, fold, asked.data)
        report = json.loads((source / METRICS).read_text(encoding="utf-8"))
        plan = _plan(config, folder, report, asked)
        plan = with_schedule(plan, report, config.budget.max_virtual_epochs, from_scratch=from_scratch)
        folder.create("--out")
        with folder.owned(doing="retrain"), disk_errors(folder.path, _GOES_ON):
            refuse_other_content(folder.exported)  # which would otherwise show when all is trained
            tell_changed_code(config, report.get("code", {}))
            found = _find_data(source, own, config, plan, again, accept=asked.accept_new_data)
            check_arguments(folder, plan, from_scratch, found.fingerprint)
            before, number = report["objective"]["value"], plan.num_virtual_epochs
            if fold is not None and (held := held_export(folder)) is not None:
                return Retraining(folder.path, number, number, None, before, held, plan.mode, source)
            plan = replace(plan, pretrained=from_scratch)
            trial_data = TrialData(folder.prepared, found.fingerprint, found.arrays)
            return _train(plan, folder, source, config, trial_data, before, progress)


def _find_data(
    source: Path, own: Config, config: Config, plan: TrialPlan, again: str, *, accept: bool
) -> FoundData:
    """The data to train on; those of the search's own split are used as it had prepared them.

    Args:
        own: the configuration of the export.
        config: the same, or with another fold.

    Raises:
        DataChangedError: the data are others than those of the export, and not accepted.
    """
    found = find_data(own, load=True)
    is_other = compare_data(source, found.fingerprint, again, accept=accept)
    if config is not own:
        return find_data(config, load=True)
    if not is_other:
        copy_prepared(source / PREPARED, plan)
    return found


def _plan(config: Config, folder: RunFolder, report: Mapping[str, Any], asked: Asked) -> TrialPlan:
    data, steps = asked.data, asked.steps
    if data != "train" and issubclass(config.task_class(), FunctionTask):
        raise RefusedError(
            f"--data {data}: {config.task_path} is a training function, which reads its data itself; give it "
            "a parameter of its own for that, and set it in the config.yaml of the export"
        )
    lengths = VirtualEpochs(**report["lengths"])
    number = asked.virtual_epochs or config.budget.max_virtual_epochs
    if steps is not None:
        number = 1 + bisect_left(range(1, steps + 1), steps, key=lengths.end_step)
    return TrialPlan(
        number=report["trial"],
        folder=str(folder.path / "training"),
        task=config.task_path,
        options=next(iter(config.space.candidates())).options,
        unit=lengths.unit,
        count=lengths.count,
        num_virtual_epochs=number,
        metric=config.objective.metric,
        mode=config.objective.mode,
        window=report["objective"].get("window", 1),
        reported=number,  # what an earlier call computed is not reported again
        num_threads=0,
        gpu_fraction=1.0,
        prepared=str(folder.prepared),
        data=data,
    )


def _train(
    plan: TrialPlan,
    folder: RunFolder,
    source: Path,
    config: Config,
    data: TrialData,
    before: float,
    progress: Callable[[Record, int], None],
) -> Retraining:
    with data_errors(plan.task):
        task_class, raw = config.task_class(), data.arrays.get(data_key(plan.task, plan.options))
        arrays = load_arrays(task_class, task_class.Options.parse(plan.options), plan.prepared_file, raw)
    trained: list[Record] = []
    held = (folder.exported / METRICS).is_file()

    def counted(record: Record, of: int) -> None:
        trained.append(record)
        progress(record, of)

    with heard_signals() as received:
        plan = train_parts(plan, arrays, received, counted)
        done = _train_last(plan, folder, source, config, data, before, received, arrays, counted)
    return replace(done, trained=len(trained), exported_now=done.export is not None and not held)


def _train_last(
    plan: TrialPlan,
    folder: RunFolder,
    source: Path,
    config: Config,
    data: TrialData,
    before: float,
    received: Sequence[int],
    arrays: Arrays,
    progress: Callable[[Record, int], None],
) -> Retraining:
    """Train to the full length, and export the best virtual epoch then."""
    with data_errors(plan.task):
        session = TrialSession(plan, arrays)
    try:
        if not plan.pretrained and not session.history:
            session.trainer.model.load_state_dict(load_file(source / WEIGHTS))
            session.trainer.restart_average()
        record: Record = {}
        while not session.finished and not received:
            record = checked(session.next_report())
            if "ended" in record:
                break
            progress(record, plan.num_virtual_epochs)
        done, best = len(session.history), session.best
    finally:
        session.close()
    exported = None
    if (session.finished or "ended" in record) and best is not None:
        exported = export_checkpoint(_best_of(plan, best), config, folder.exported, folder.prepared, data)
    signal = received[0] if received else None
    return Retraining(folder.path, done, plan.num_virtual_epochs, signal, before, exported, plan.mode, source)


def _best_of(plan: TrialPlan, best: Record) -> Checkpoint:
    """The best checkpoint; of one whose values changed it may be of an earlier part."""
    folder, number = Path(plan.folder), best["virtual_epoch"]
    ends = [part["until"] for part in plan.schedule]
    if ends and number <= ends[-1]:
        folder = folder.parent / f"part-{1 + sum(end < number for end in ends)}"
    try:
        return read_checkpoint(folder, number)
    except DamagedCheckpointError as error:
        raise SearchError(f"the best checkpoint cannot be exported: {error}") from error
