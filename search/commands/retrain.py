"""Retrains an exported model with the search's own trainer, without Ray."""

from __future__ import annotations

import json
import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from search.addresses import local_path
from search.commands.replay import checked, train_parts, with_schedule
from search.config.config import Config
from search.config.schema import Mode
from search.config.stages import load_config
from search.errors import RefusedError, SearchError
from search.exports.export import Export, export_checkpoint
from search.exports.files import DATA, PREPARED, refuse_other_content
from search.predicting.exported import CONFIG, METRICS, WEIGHTS
from search.run.data_errors import data_errors
from search.run.data_record import DataChangedError, TrialData, compared, find_data, read_data
from search.run.folder import RunFolder
from search.run.provenance import own_code, working_folder
from search.run.signals import heard_signals
from search.study.trial import as_loss
from search.text import command, short_path
from trainables.build import load_arrays
from trainables.checkpoint import Checkpoint, DamagedCheckpointError, read_checkpoint
from trainables.data.fingerprint import Fingerprint
from trainables.data.prepared import DamagedArraysError, data_key, read_arrays, write_arrays
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.files import atomic_write
from trainables.function.task import FunctionTask
from trainables.predicting.ensemble import MEMBERS, is_ensemble
from trainables.session import DataSplit, Record, TrialPlan, TrialSession
from trainables.task import Arrays

log = logging.getLogger(__name__)


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
        accept_new_data: train although the data have changed since the model was exported.
        out: folder to write (default: `retrain` beside the export; of a member of an ensemble beside that).
        progress: called with the record of each virtual epoch and the total number of virtual epochs.

    Raises:
        SearchError: the folder is not an export, or `out` holds another retraining, or the data have changed.
    """
    source = local_path(exported).absolute()
    _require_export(source)
    if virtual_epochs is not None and steps is not None:
        raise RefusedError("give --virtual-epochs or --steps, not both")
    options = {"--virtual-epochs": virtual_epochs, "--steps": steps, "--data": data, "--out": out}
    again = _command(source, {**options, "--from-scratch": from_scratch})
    RunFolder(source).require_private()
    home = _home_of(source)
    folder = RunFolder.at(out or home / "retrain")
    with working_folder(RunFolder(home)):
        config = load_config(source / CONFIG).first
        report = json.loads((source / METRICS).read_text(encoding="utf-8"))
        plan = _plan(config, folder, report, virtual_epochs=virtual_epochs, steps=steps, data=data)
        plan = with_schedule(plan, report, config.budget.max_virtual_epochs, from_scratch=from_scratch)
        folder.create()
        with folder.owned():
            refuse_other_content(folder.exported)  # which would otherwise show when all is trained
            _tell_changed_code(config, report.get("code", {}))
            found = find_data(config, load=True)
            is_other = _compare_data(source, found.fingerprint, again, accept=accept_new_data)
            _check_arguments(folder, plan, from_scratch, found.fingerprint)
            if not is_other:
                _copy_prepared(source / PREPARED, plan)
            return _train(
                replace(plan, pretrained=from_scratch),
                folder,
                source,
                config,
                TrialData(folder.prepared, found.fingerprint, found.arrays),
                report["objective"]["value"],
                progress,
            )


def _require_export(source: Path) -> None:
    if is_ensemble(source):
        member = source / MEMBERS / "1"
        raise RefusedError(
            f"{source} is an ensemble, whose models are not trained as one; retrain one of them, as by "
            f"`{command('retrain', member)}`"
        )
    for name in (WEIGHTS, CONFIG, METRICS):
        if not (source / name).is_file():
            raise RefusedError(f"{source} is not an export: it has no {name}; {_way_to_export(source)}")


def _home_of(source: Path) -> Path:
    """The folder that holds an export, or the ensemble of which it is a member: mostly that of its run."""
    ensemble = source.parent.parent
    return ensemble.parent if source.parent.name == MEMBERS and is_ensemble(ensemble) else source.parent


def _way_to_export(source: Path) -> str:
    run = RunFolder(source)
    if not run.has_begun:
        return "`tune-search export RUN` writes one"
    if run.exported.is_dir():
        return f"did you mean {short_path(run.exported)}?"
    return f"`{command('export', source)}` writes one"


def _tell_changed_code(config: Config, before: Mapping[str, str]) -> None:
    """Of what comes from other code, or another version of a package, than when it was exported."""
    for name, now in own_code(config).items():
        if before.get(name, now) != now:
            log.warning("the code of %s has changed since the export: values may not compare", name)


def _plan(
    config: Config,
    folder: RunFolder,
    report: Mapping[str, Any],
    *,
    virtual_epochs: int | None,
    steps: int | None,
    data: DataSplit,
) -> TrialPlan:
    if data != "train" and issubclass(config.task_class(), FunctionTask):
        raise RefusedError(
            f"--data {data}: {config.task_path} is a training function, which reads its data itself; give it "
            "a parameter of its own for that, and set it in the config.yaml of the export"
        )
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


def _copy_prepared(exported: Path, plan: TrialPlan) -> None:
    """Use the prepared arrays of the search, so that values can be compared with its values."""
    file = plan.prepared_file
    if file is None or file.exists() or not exported.is_file():
        return
    try:
        write_arrays(file, read_arrays(exported))
    except DamagedArraysError as error:
        raise SearchError(f"{exported} is damaged ({error.reason}); export again") from error


def _command(source: Path, options: Mapping[str, Any]) -> str:
    """The command with these options that have a value."""
    words: list[str | Path] = ["retrain", source]
    for key, value in options.items():
        if value:
            words += [key] if value is True else [key, str(value)]
    return command(*words)


def _compare_data(source: Path, now: Fingerprint, again: str, *, accept: bool) -> bool:
    """Whether the data are others than those that the exported model was trained on.

    Args:
        again: the command with the same options.

    Raises:
        DataChangedError: they are, and not accepted.
    """
    before = read_data(source / DATA)
    found = None if before is None else compared(before, now)
    if found and not accept:
        lines = "\n".join(f"  {line}" for line in found.lines())
        raise DataChangedError(
            f"the data have changed since {short_path(source)} was trained:\n{lines}\n"
            f"put back the data as they were, or train on these by\n  {again} --accept-new-data"
        )
    return bool(found)


def _check_arguments(folder: RunFolder, plan: TrialPlan, from_scratch: bool, data: Fingerprint) -> None:
    """Refuse to continue a retraining that was started with other arguments, or on other data."""
    file = folder.path / "retrain.json"
    before = read_data(folder.data)
    if before is None:
        atomic_write(folder.data, data.to_bytes())
    elif found := compared(before, data):
        raise DataChangedError(
            f"{folder.path} holds a retraining on other data ({'; '.join(found.lines())}); "
            "give another --out, or remove it"
        )
    wanted = {
        "options": plan.options,
        "virtual_epochs": plan.num_virtual_epochs,
        "from_scratch": from_scratch,
        "data": plan.data,
        **({"schedule": plan.schedule} if plan.schedule else {}),
    }
    if not file.is_file():
        atomic_write(file, json.dumps(wanted, indent=2) + "\n")
        return
    found = json.loads(file.read_text(encoding="utf-8"))
    differing = [key for key in wanted if json.loads(json.dumps(wanted[key])) != found.get(key)]
    if differing:
        raise RefusedError(
            f"{folder.path} holds a retraining with other {', '.join(differing)}; "
            "give another --out, or remove it"
        )
