"""The metrics of all folds together: each sample is predicted by the model that has not seen it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from search.addresses import local_path
from search.config.stages import load_config
from search.errors import RefusedError
from search.exports.restore import prepared_of, restore_trainer
from search.predicting.exported import CONFIG
from search.retraining.fold import fold_folder
from search.retraining.values import FOLDS, FoldMember, fold_members, read_folds
from search.run.data_record import DataChangedError, compared, find_data, read_data
from search.run.folder import RunFolder
from search.run.provenance import working_folder
from trainables.checkpoint import verified
from trainables.data.source import Batch, to_device
from trainables.reported import begun, numbers
from trainables.supervised.task import SupervisedTask
from trainables.trainer import Trainer


def out_of_fold(
    folder: str | Path, progress: Callable[[FoldMember], None] = lambda member: None
) -> dict[str, float]:
    """The metrics over the validation data of all folds together, which are all samples.

    They are those of one set, unlike a mean over folds: an IoU of many samples is not the mean of those of
    its parts. That is an honest value for an ensemble of the folds, of which all but one have seen a sample.

    Args:
        folder: of `retrain_folds`, such as results/seg/retrain.
        progress: called before each model is evaluated.

    Raises:
        RefusedError: not all folds are trained.
        SearchError: the data cannot be read.
        DataChangedError: they are others than those of the training.
        DamagedCheckpointError: a checkpoint is not as it was written.
    """
    path = local_path(folder).absolute()
    values = read_folds(path)
    if values is None or not values.complete:
        held = "no folds" if values is None else f"{len(values.values)} of {values.folds} folds"
        raise RefusedError(
            f"{path} holds {held} in {FOLDS}; `tune-search retrain EXPORT --fold all` trains all of them"
        )
    first: Trainer | None = None
    metrics: Any = None
    with working_folder(RunFolder(path.parent)):
        for member in fold_members(path):
            progress(member)
            trainer = _trainer(path, member)
            first = first or trainer
            metrics = metrics or begun(trainer.task.metrics())
            for outputs, batch in _validated(trainer):
                if isinstance(trainer.task, SupervisedTask) and isinstance(first.task, SupervisedTask):
                    outputs, batch = trainer.task.in_units_of(first.task, outputs, batch)
                metrics.update(outputs, batch)
            trainer.close()
    return numbers(metrics.compute())


def _trainer(folder: Path, member: FoldMember) -> Trainer:
    number = int(member.checkpoint.name.rpartition("_")[2])
    checkpoint = verified(member.checkpoint, number)
    home = RunFolder(fold_folder(folder, member.fold))
    before = read_data(home.data)
    now = find_data(load_config(member.export / CONFIG).first, load=True).fingerprint
    if before is not None and (found := compared(before, now)):
        raise DataChangedError(
            f"the data have changed since fold {member.fold} in {folder} was trained "
            f"({'; '.join(found.lines())}): put back the data as they were, or retrain with another --out"
        )
    trainer = restore_trainer(checkpoint, prepared_of(checkpoint, home.prepared))
    assert isinstance(trainer, Trainer)  # a training function has no folds of ours
    return trainer


def _validated(trainer: Trainer) -> Iterator[tuple[Any, Batch]]:
    """Outputs of the evaluated model on the validation data, batch by batch."""
    model, total, size = trainer.evaluated_model, len(trainer.valid_source), trainer.valid_batch_size
    model.eval()
    for start in range(0, total, size):
        with torch.inference_mode(), trainer.precision.autocast():
            batch = trainer.valid_source.batch(np.arange(start, min(start + size, total)), None)
            batch = to_device(batch, trainer.device, trainer.channels_last)
            yield trainer.task.forward(model, batch), batch
