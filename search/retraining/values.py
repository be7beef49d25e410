"""The values of a configuration on the folds of its data: folds.json."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from search.config.schema import Mode
from search.errors import RefusedError, SearchError
from search.predicting.exported import METRICS
from search.retraining.begun import RETRAINING
from search.retraining.fold import fold_folder
from search.run.disk.folder import RunFolder, write_json
from trainables.checkpoints.checkpoint import Checkpoint, checkpoint_folder, verified

FOLDS = "folds.json"


class FoldValue(BaseModel):
    """What the training on the other folds gave on one."""

    model_config = ConfigDict(frozen=True)

    fold: int
    value: float | None
    """Of the objective; None where it is no number."""
    virtual_epoch: int
    """The best one, of which the export is."""
    samples: Mapping[str, int]
    """Numbers of `training` and `validation` samples."""
    metrics: Mapping[str, float | None]


class FoldValues(BaseModel):
    """The folds that are trained so far."""

    model_config = ConfigDict(frozen=True)

    trial: int
    """Of the search, whose configuration it is."""
    metric: str
    mode: Mode
    folds: int
    """How many there are."""
    group: str | None
    values: Sequence[FoldValue]
    """In the order of the folds."""

    @property
    def complete(self) -> bool:
        return len(self.values) == self.folds

    @property
    def numbers(self) -> list[float]:
        """The values of the objective."""
        return [each.value for each in self.values if each.value is not None]

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.numbers) if self.numbers else None

    @property
    def std(self) -> float | None:
        """Standard deviation of the sample, by N - 1; None of fewer than two."""
        return statistics.stdev(self.numbers) if len(self.numbers) > 1 else None


@dataclass(frozen=True)
class FoldMember:
    """A model that was trained on all folds but one."""

    fold: int
    export: Path
    """Its export, which `search.load` loads."""
    checkpoint: Path
    """The folder of the checkpoint that was exported."""
    value: float | None

    def read(self) -> Checkpoint:
        """The checkpoint.

        Raises:
            DamagedCheckpointError: it is not as it was written.
        """
        return verified(self.checkpoint, int(self.checkpoint.name.rpartition("_")[2]))


def write_folds(folder: Path, values: FoldValues) -> None:
    """Write folds.json."""
    found = values.model_dump()
    write_json(folder / FOLDS, {**found, "mean": values.mean, "std": values.std, "complete": values.complete})


def read_folds(folder: Path) -> FoldValues | None:
    """What folds.json says; None where there is none that can be read."""
    try:
        return FoldValues.model_validate_json((folder / FOLDS).read_bytes())
    except (OSError, ValidationError):
        return None


def complete_folds(folder: Path, command: str = "tune-search retrain EXPORT --fold all") -> FoldValues:
    """What folds.json says of all folds.

    Args:
        command: that trains all of them.

    Raises:
        RefusedError: not all are trained.
    """
    values = read_folds(folder)
    if values is None or not values.complete:
        held = "no folds" if values is None else f"{len(values.values)} of {values.folds} folds"
        raise RefusedError(f"{folder} holds {held} in {FOLDS}; `{command}` trains all of them")
    return values


def gathered(folder: Path, like: int) -> FoldValues | None:
    """The values of all folds that are trained in a folder; None without any.

    Args:
        like: a fold whose training has begun; those of another configuration or length are left out.
    """
    wanted = _json(fold_folder(folder, like) / RETRAINING)
    data = wanted["options"]["data"]
    reports: dict[int, Any] = {}
    for fold in range(data["folds"]):
        home = RunFolder(fold_folder(folder, fold))
        exported, begun = home.exported / METRICS, home.path / RETRAINING
        if not exported.is_file() or not begun.is_file():
            continue
        if _apart_from_fold(_json(begun)) == _apart_from_fold(wanted):
            reports[fold] = _json(exported)
    if not reports:
        return None
    last = next(reversed(reports.values()))
    return FoldValues(
        trial=last["trial"],
        metric=last["objective"]["metric"],
        mode=last["objective"]["mode"],
        folds=data["folds"],
        group=data.get("group"),
        values=[_value(fold, report) for fold, report in reports.items()],
    )


def _value(fold: int, report: Mapping[str, Any]) -> FoldValue:
    return FoldValue(
        fold=fold,
        value=report["objective"]["value"],
        virtual_epoch=report["virtual_epoch"],
        samples=report.get("samples", {}),
        metrics=report["metrics"],
    )


def _apart_from_fold(begun: Mapping[str, Any]) -> Any:
    options = begun["options"]
    data = {key: value for key, value in options["data"].items() if key != "fold"}
    return {**begun, "options": {**options, "data": data}}


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def fold_members(folder: Path) -> list[FoldMember]:
    """The models of the folds in a folder of `retrain_folds`, in the order of the folds.

    Raises:
        SearchError: a checkpoint or an export is gone.
    """
    values = read_folds(folder)
    return [_member(folder, each) for each in values.values] if values is not None else []


def _member(folder: Path, value: FoldValue) -> FoldMember:
    home = RunFolder(fold_folder(folder, value.fold))
    # Of values that changed on the way there is one in a folder for each part.
    named = checkpoint_folder(Path(), value.virtual_epoch).name
    found = sorted((home.path / "training").rglob(named))
    if not found or not (home.exported / METRICS).is_file():
        missing = f"checkpoint of virtual epoch {value.virtual_epoch}" if not found else "export"
        raise SearchError(
            f"{home.path} has no {missing}, which {FOLDS} names: remove "
            f"the folder, and `tune-search retrain EXPORT --fold {value.fold}` trains it again"
        )
    return FoldMember(value.fold, home.exported, found[-1], value.value)
