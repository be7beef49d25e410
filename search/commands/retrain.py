"""Retrains an exported model with the search's own trainer, without Ray."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from search.commands.export import (
    CONFIG,
    METRICS,
    PREPARED,
    WEIGHTS,
    Export,
    export_checkpoint,
    refuse_other_content,
)
from search.config.config import Config
from search.config.stages import load_config
from search.errors import SearchError
from search.run.data_errors import data_errors
from search.run.folder import RunFolder
from search.run.provenance import working_folder
from search.run.signals import heard_signals
from search.text import command, short_path
from trainables.checkpoint import DamagedCheckpointError, read_checkpoint
from trainables.data.prepared import DamagedArraysError, read_arrays, write_arrays
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.files import atomic_write
from trainables.session import DataSplit, Record, TrialPlan, TrialSession


@dataclass(frozen=True)
class Retraining:
    """How a retraining ended; `export` is None unless it is complete."""

    folder: Path
    virtual_epochs: int
    of: int
    interrupted_by: int | None
    export: Export | None


def retrain(
    exported: str | Path,
    *,
    virtual_epochs: int | None = None,
    steps: int | None = None,
    from_scratch: bool = False,
    data: DataSplit = "train",
    out: str | Path | None = None,
    progress: Callable[[Record, int], None] = lambda record, of: None,
) -> Retraining:
    """Train an exported model, or its configuration from scratch, over the full length of the schedule.

    The same call again continues an interrupted retraining.

    Args:
        exported: folder that `export` wrote.
        virtual_epochs: length in virtual epochs (default: as in the search).
        steps: length in optimizer steps instead, rounded up to whole virtual epochs.
        from_scratch: start from new weights instead of the exported ones.
        data: `train+val` includes the validation data, so metrics no longer estimate new data.
        out: folder to write (default: `retrain` beside the export).
        progress: called with the record of each virtual epoch and the total number of virtual epochs.

    Raises:
        SearchError: the folder is not an export, or `out` holds another retraining.
    """
    source = Path(exported).absolute()
    for name in (WEIGHTS, CONFIG, METRICS):
        if not (source / name).is_file():
            raise SearchError(f"{source} is not an export: it has no {name}; {_way_to_export(source)}")
    if virtual_epochs is not None and steps is not None:
        raise SearchError("give --virtual-epochs or --steps, not both")
    RunFolder(source).require_private()
    folder = RunFolder(Path(out).absolute() if out else source.parent / "retrain")
    with working_folder(RunFolder(source.parent)):
        config = load_config(source / CONFIG).first
        report = json.loads((source / METRICS).read_text())
        plan = _plan(config, folder, report, virtual_epochs=virtual_epochs, steps=steps, data=data)
        folder.create()
        with folder.owned():
            _check_arguments(folder, plan, from_scratch)
            refuse_other_content(folder.exported)  # which would otherwise show when all is trained
            config.task_class()
            _copy_prepared(source / PREPARED, plan)
            return _train(plan, folder, None if from_scratch else source / WEIGHTS, config, progress)


def _way_to_export(source: Path) -> str:
    run = RunFolder(source)
    if not run.has_begun:
        return "`tune-search export RUN` writes one"
    if run.exported.is_dir():
        return f"did you mean {short_path(run.exported)}?"
    return f"`{command('export', source)}` writes one"


def _plan(
    config: Config,
    folder: RunFolder,
    report: Mapping[str, Any],
    *,
    virtual_epochs: int | None,
    steps: int | None,
    data: DataSplit,
) -> TrialPlan:
    lengths = VirtualEpochs(**report["lengths"])
    number = virtual_epochs or config.budget.max_virtual_epochs
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
        reported=number,  # what an earlier call computed is not reported again
        num_threads=0,
        gpu_fraction=1.0,
        prepared=str(folder.prepared),
        data=data,
    )


def _train(
    plan: TrialPlan,
    folder: RunFolder,
    weights: Path | None,
    config: Config,
    progress: Callable[[Record, int], None],
) -> Retraining:
    with data_errors(plan.task):
        session = TrialSession(plan, None)
    try:
        if weights is not None and not session.history:
            session.trainer.model.load_state_dict(load_file(weights))
            session.trainer.restart_average()
        with heard_signals() as received:
            while not session.finished and not received:
                record = session.next_report()
                if "diverged" in record:
                    raise SearchError(
                        f"the training diverged at {record['diverged']}; try a lower learning rate"
                    )
                progress(record, plan.num_virtual_epochs)
        done, best = len(session.history), session.best
    finally:
        session.close()
    exported = None
    if session.finished and best is not None:
        try:
            checkpoint = read_checkpoint(Path(plan.folder), best["virtual_epoch"])
        except DamagedCheckpointError as error:
            raise SearchError(f"the best checkpoint cannot be exported: {error}") from error
        exported = export_checkpoint(checkpoint, config, folder.exported, folder.prepared)
    return Retraining(folder.path, done, plan.num_virtual_epochs, received[0] if received else None, exported)


def _copy_prepared(exported: Path, plan: TrialPlan) -> None:
    """Use the prepared arrays of the search, so that values can be compared with its values."""
    file = plan.prepared_file
    if file is None or file.exists() or not exported.is_file():
        return
    try:
        write_arrays(file, read_arrays(exported))
    except DamagedArraysError as error:
        raise SearchError(f"{exported} is damaged ({error.reason}); export again") from error


def _check_arguments(folder: RunFolder, plan: TrialPlan, from_scratch: bool) -> None:
    """Refuse to continue a retraining that was started with other arguments."""
    file = folder.path / "retrain.json"
    wanted = {
        "options": plan.options,
        "virtual_epochs": plan.num_virtual_epochs,
        "from_scratch": from_scratch,
        "data": plan.data,
    }
    if not file.is_file():
        atomic_write(file, json.dumps(wanted, indent=2) + "\n")
        return
    found = json.loads(file.read_text())
    differing = [key for key in wanted if json.loads(json.dumps(wanted[key])) != found.get(key)]
    if differing:
        raise SearchError(
            f"{folder.path} holds a retraining with other {', '.join(differing)}; "
            "give another --out, or remove it"
        )
