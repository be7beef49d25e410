"""An exported configuration on one fold of its data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.config.config import Config
from search.config.stages import load_config
from search.errors import RefusedError
from search.exports.export import Export
from search.predicting.exported import CONFIG, METRICS
from search.run.data.errors import data_errors
from search.run.disk.folder import RunFolder
from search.text import short_path
from trainables.plan import DataSplit

ALL = "all"
"""In place of the number of a fold."""


def fold_folder(folder: Path, fold: int) -> Path:
    """Where the retraining on a fold is, in the folder of all of them."""
    return folder / f"fold_{fold}"


def data_of(config: Config) -> dict[str, Any]:
    """`trial.data` of the configuration of an export."""
    return dict(next(iter(config.space.candidates())).options.get("data", {}))


def num_folds(source: Path, config: Config) -> int:
    """`data.folds` of an export.

    Raises:
        RefusedError: it has none.
    """
    folds = data_of(config).get("folds")
    if not isinstance(folds, int):
        raise RefusedError(
            f"{short_path(source / CONFIG)} has no trial.data.folds, so there are no folds to train on; "
            "search with data: {…, folds: 5}, which sees one of them, and export that"
        )
    return folds


def of_fold(source: Path, config: Config, fold: int, data: DataSplit) -> Config:
    """The configuration of the export with this fold for validation; itself where it is that already.

    Raises:
        RefusedError: there is no such fold, or nothing is left to validate.
    """
    folds = num_folds(source, config)
    if not 0 <= fold < folds:
        raise RefusedError(
            f"--fold is {fold} and {short_path(source)} has {folds} folds; they are numbered from 0 to "
            f"{folds - 1}"
        )
    if data != "train":
        raise RefusedError(
            f"--fold {fold} validates what it was not trained on, and --data is {data}: leave one of "
            "the two out"
        )
    if data_of(config).get("fold", 0) == fold:
        return config
    return load_config(source / CONFIG, [f"trial.data.fold={fold}"]).first


def refuse_small_folds(source: Path, config: Config, wanted: Sequence[int]) -> None:
    """Raise RefusedError where less than a batch is left to train on, before the first fold is trained.

    Of data in files; those of a library are known to be larger, and data sets of yours split themselves.

    Args:
        config: of the export, in the working folder of its run.
        wanted: the folds that will be trained.
    """
    task_class, values = config.task_class(), next(iter(config.space.candidates())).options
    options = task_class.Options.parse(values)
    with data_errors(config.task_path, config.file, config.places):
        inspection = task_class.inspect(options)
    if inspection is None or inspection.folds is None or options.batch_size == "full":
        return
    left = {fold: int((inspection.folds != fold).sum()) for fold in wanted}
    small = [fold for fold in wanted if left[fold] < options.batch_size]
    if small:
        fold = min(small, key=lambda each: left[each])
        raise RefusedError(
            f"fold {fold}: batch_size is {options.batch_size}, and without this fold only {left[fold]} of "
            f"{len(inspection.folds)} samples are left to train on; set trial.batch_size in "
            f"{short_path(source / CONFIG)} to at most {left[fold]}, or search with folds of more equal "
            "sizes (data.split_seed)"
        )


def held_export(folder: RunFolder) -> Export | None:
    """What a complete retraining on a fold has left; None before that."""
    file = folder.exported / METRICS
    if not file.is_file():
        return None
    report = json.loads(file.read_text(encoding="utf-8"))
    objective = report["objective"]
    return Export(
        folder.exported,
        report["trial"],
        objective["metric"],
        objective["value"],
        report["metrics"],
        scheduled="schedule" in report,
    )
