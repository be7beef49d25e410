"""The metrics of all folds together: each sample is predicted by the model that has not seen it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from search.addresses import local_path
from search.config.config import Config
from search.config.stages import load_config
from search.exports.restore import prepared_of, restore_trainer
from search.predicting.exported import CONFIG
from search.retraining.fold import fold_folder
from search.retraining.pooled import Pooled
from search.retraining.values import FoldMember, complete_folds, fold_members
from search.run.before.provenance import working_folder
from search.run.data.record import DataChangedError, FoundData, compared, find_data, read_data
from search.run.disk.folder import RunFolder
from search.text import short_path
from trainables.training.trainer import Trainer


def out_of_fold(
    folder: str | Path, progress: Callable[[FoldMember], None] = lambda member: None
) -> dict[str, float]:
    """The metrics over the validation data of all folds together, which are all samples.

    They are those of one set, unlike a mean over folds: an IoU of many samples is not the mean of those of
    its parts. `valid_loss` is by the loss of fold 0. That is an honest value for an ensemble of the
    folds, of which all but one have seen a sample.

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
    complete_folds(path)
    pooled = Pooled()
    with working_folder(RunFolder(path.parent)):
        for member in fold_members(path):
            progress(member)
            trainer = _trainer(path, member)
            pooled.add(trainer)
            trainer.close()
    return pooled.compute()


def unchanged_data(home: RunFolder, config: Config) -> FoundData:
    """The data of a fold, which are those that it was trained on.

    Args:
        home: the folder of the fold.
        config: of its export.

    Raises:
        DataChangedError: they are others.
    """
    before, now = read_data(home.data), find_data(config, load=True)
    if before is not None and (found := compared(before, now.fingerprint)):
        raise DataChangedError(
            f"the data have changed since {short_path(home.path)} was trained ({'; '.join(found.lines())}), "
            "so it is not known what its model has seen: put back the data as they were, or retrain with "
            "another --out"
        )
    return now


def _trainer(folder: Path, member: FoldMember) -> Trainer:
    checkpoint, home = member.read(), RunFolder(fold_folder(folder, member.fold))
    arrays = unchanged_data(home, load_config(member.export / CONFIG).first).arrays
    trainer = restore_trainer(checkpoint, prepared_of(checkpoint, home.prepared), loaded=arrays)
    assert isinstance(trainer, Trainer)  # a training function has no folds of ours
    return trainer
