"""Compares the batch sizes of a run: epochs and steps to the same loss, and the spread of the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.commands.batch_analysis import BatchNoise, Curve, Reached, batch_noise, sample_losses
from search.commands.batch_plots import plot_batch_noise, plot_convergence
from search.config.config import Config
from search.config.stages import open_run
from search.errors import RefusedError, SearchError
from search.exports.restore import prepared_of, restore_trainer
from search.run.before.provenance import working_folder
from search.run.data.record import DataChangedError, TrialData, data_for
from search.run.disk.folder import RunFolder, write_json
from search.study.reading import read_records
from search.study.trial import TrialRecord, ranked
from search.text import counted, short_path
from trainables.checkpoints.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    list_checkpoints,
    read_checkpoint,
)
from trainables.data.source import as_source
from trainables.findings import a_type
from trainables.function.trainer import FunctionTrainer

LOSS = "train_loss"
"""Metric of every report: the mean loss of a virtual epoch, each measured before its optimizer step."""

NUMBERS = "batch_sizes.json"
_BATCH_SIZE_PARAMS = {"batch_size", "accumulate"}


@dataclass(frozen=True, kw_only=True)
class BatchSizes:
    """The comparison of the batch sizes of a run; the content of batch_sizes.json."""

    folder: str
    num_train: int
    """Number of training samples."""
    curves: tuple[Curve, ...]
    """Sorted by batch size, the smallest first."""
    target: float
    """The final loss of the largest batch size."""
    reached: tuple[Reached | None, ...]
    """Where each curve first is at or below the target; None if it never is."""
    noise: BatchNoise
    notes: tuple[str, ...]
    """What is missing, and what differs besides the batch size."""
    files: tuple[str, ...]
    """Names of the files written into the folder."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def study_batch_sizes(run: str | Path, *, max_samples: int = 4096) -> BatchSizes:
    """Compare the batch sizes of a run, and write figures and numbers into its folder.

    For each batch size: epochs and steps to the final loss of the largest one, and the spread of the loss.
    Nothing is trained, and the search may be running.

    Args:
        run: folder of a search whose trials differ in batch_size or accumulate.
        max_samples: maximal number of training samples, evenly spaced, on which the spread is measured.

    Raises:
        SearchError: there is only one batch size, or no trial with a value or an intact checkpoint; the
            training data has an unknown length or cannot be read by index.
    """
    folder = RunFolder.at(run)
    folder.require()
    with working_folder(folder), folder.needs_space():
        return _study(folder, max_samples)


def _study(folder: RunFolder, max_samples: int) -> BatchSizes:
    config = open_run(folder.config).first
    valued = ranked(read_records(folder.journal), config.objective.mode)
    records = [record for record in valued if not record.of_other_data]
    if not records:
        raise RefusedError(f"{folder.path} has no trial with a value yet; there is nothing to compare")
    data = data_for(config, folder, records[0])
    if data.other:
        raise DataChangedError(
            f"the data have changed since {short_path(folder.path)} was last run: {'; '.join(data.other)}; "
            "put back the data as they were"
        )
    losses, notes = _losses(records, folder, config)
    if len(records) < len(valued):
        notes.append(f"left out, as they are of other data: {counted(len(valued) - len(records), 'trial')}")
    chosen = _best_of_each_size([record for record in records if record.number in losses])
    if len(chosen) < 2:
        raise RefusedError(_too_few(folder, records, chosen, notes))
    curves = [_curve(record, losses[record.number]) for record in chosen]
    notes += _confounders(chosen)
    target = curves[-1].losses[-1]
    noise = _noise(records, folder, config, max_samples, data)
    num_train = _epoch_samples(chosen[0])
    if noise.num_samples < num_train:
        notes.append(f"the spread of the loss was measured on {noise.num_samples} of {num_train} samples")
    study = BatchSizes(
        folder=str(folder.path),
        num_train=num_train,
        curves=tuple(curves),
        target=target,
        reached=tuple(curve.reached(target) for curve in curves),
        noise=noise,
        notes=tuple(notes),
        files=("convergence_epochs.png", "convergence_steps.png", "batch_noise.png", NUMBERS),
    )
    _write(study, folder)
    return study


def _write(study: BatchSizes, folder: RunFolder) -> None:
    by_epochs, by_steps, by_noise, numbers = (folder.path / name for name in study.files)
    plot_convergence(study.curves, by_epochs, axis="epochs", target=study.target)
    plot_convergence(study.curves, by_steps, axis="steps", target=study.target)
    plot_batch_noise(study.noise, by_noise)
    write_json(numbers, study.as_dict())


def _losses(
    records: Sequence[TrialRecord], folder: RunFolder, config: Config
) -> tuple[dict[int, list[float]], list[str]]:
    """Training losses by trial, from the study if it has them, else from checkpoints; and a note."""
    if config.objective.metric == LOSS:
        return {record.number: record.values for record in records}, []
    infos = {record.number: _newest_info(folder.trial(record.number)) for record in records}
    reported = next((info["history"][-1] for info in infos.values() if info and info["history"]), {LOSS: 0})
    if LOSS not in reported:
        raise RefusedError(
            f"the trials have no {LOSS}, by which batch sizes are compared: training functions report losses "
            "of their own"
        )
    found = {number: [entry[LOSS] for entry in info["history"]] for number, info in infos.items() if info}
    without = sorted(number for number, info in infos.items() if not info)
    if not without:
        return found, []
    return found, [
        f"left out, as they have no checkpoint: trials {', '.join(map(str, without))}; keep more with "
        f"checkpoint.keep_trials, or use {LOSS} as the objective, which the study keeps for all trials"
    ]


def _newest_info(trial_folder: Path) -> Mapping[str, Any] | None:
    for number in reversed(list_checkpoints(trial_folder)):
        try:
            return read_checkpoint(trial_folder, number).info
        except DamagedCheckpointError:
            continue
    return None


def _best_of_each_size(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The best trial of each batch size, the smallest batch size first, of trials sorted by rank."""
    best: dict[int, TrialRecord] = {}
    for record in records:
        if record.lengths is not None:
            best.setdefault(record.lengths.step_samples, record)
    return [best[size] for size in sorted(best)]


def _curve(record: TrialRecord, losses: Sequence[float]) -> Curve:
    lengths, num_train = record.lengths, _epoch_samples(record)
    assert lengths is not None
    numbers = range(1, len(losses) + 1)
    return Curve(
        batch_size=min(lengths.step_samples, num_train),
        trial=record.number,
        epochs=tuple(lengths.samples_at(number) / num_train for number in numbers),
        steps=tuple(lengths.end_step(number) for number in numbers),
        losses=tuple(losses),
    )


def _epoch_samples(record: TrialRecord) -> int:
    assert record.lengths is not None
    if record.lengths.epoch_samples is None:
        raise RefusedError(
            "the length of the training data is unknown, so epochs cannot be counted; give the DataLoader "
            "a length (__len__)"
        )
    return record.lengths.epoch_samples


def _too_few(
    folder: RunFolder, records: Sequence[TrialRecord], chosen: Sequence[TrialRecord], notes: Sequence[str]
) -> str:
    if not chosen:
        return f"{folder.path}: {notes[0]}"
    size = chosen[0].lengths.step_samples if chosen[0].lengths else 0
    more = f" ({notes[0]})" if notes else ""
    return (
        f"{folder.path} has {counted(len(records), 'trial')}, and only one batch size, {size}{more}; "
        "search over it, such as trial.batch_size: {choice: [1, 10, 50, full]}"
    )


def _confounders(chosen: Sequence[TrialRecord]) -> list[str]:
    params = [record.params for record in chosen]
    names = sorted({name for one in params for name in one} - _BATCH_SIZE_PARAMS)
    differing = [name for name in names if any(one.get(name) != params[0].get(name) for one in params)]
    if not differing:
        return []
    return [
        f"the trials also differ in {', '.join(differing)}: compared is the best trial of each batch size, "
        "not the batch size alone"
    ]


def _noise(
    records: Sequence[TrialRecord], folder: RunFolder, config: Config, max_samples: int, data: TrialData
) -> BatchNoise:
    """The spread of the loss at the best intact checkpoint."""
    checkpoint = _best_checkpoint(records, folder, config)
    trainer = restore_trainer(checkpoint, prepared_of(checkpoint, data.prepared), loaded=data.arrays)
    if isinstance(trainer, FunctionTrainer):
        raise RefusedError("a training function does not tell the loss of single samples, only tasks do")
    data = trainer.task.train_data()
    try:
        source = as_source(data)
    except TypeError as error:
        raise RefusedError(
            f"the training data is {a_type(data)}; the loss of single samples needs data that is "
            "read by index: a BatchSource, arrays, or a map-style Dataset"
        ) from error
    count = min(len(source), max_samples)
    indices = np.linspace(0, len(source) - 1, count).round().astype(np.int64)
    losses, weights = sample_losses(trainer, source, indices)
    return batch_noise(
        losses, weights, trial=checkpoint.info["trial"], virtual_epoch=checkpoint.virtual_epoch
    )


def _best_checkpoint(records: Sequence[TrialRecord], folder: RunFolder, config: Config) -> Checkpoint:
    for record in records:
        try:
            number = record.best_virtual_epoch(config.objective.mode)
            return read_checkpoint(folder.trial(record.number), number)
        except DamagedCheckpointError:
            continue
    raise SearchError(
        f"{folder.path} has no intact checkpoint of a trial's best value, at which the spread of the loss is "
        "measured; `tune-search resume` with more trials makes new ones"
    )
