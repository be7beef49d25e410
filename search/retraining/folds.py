"""Trains an exported configuration on each fold of its data, one after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from search.addresses import local_path
from search.config.stages import load_config
from search.errors import RefusedError
from search.exports.export import Export
from search.predicting.exported import CONFIG
from search.retraining.begun import RETRAINED, home_of, refuse_foreign, require_export
from search.retraining.card import tell_folds
from search.retraining.fold import ALL, num_folds, refuse_small_folds
from search.retraining.retrain import Asked, Retraining, command_of, retrain_as
from search.retraining.values import FOLDS, FoldValues, gathered, read_folds, write_folds
from search.run.before.provenance import working_folder
from search.run.disk.folder import RunFolder
from trainables.session import Record


@dataclass(frozen=True)
class FoldReport:
    """A virtual epoch of the training on a fold."""

    fold: int
    place: int
    """Of the fold among those that are trained, from 0."""
    places: int
    """How many are trained."""
    record: Record
    of: int
    """Virtual epochs of each."""


@dataclass(frozen=True)
class FoldRetraining:
    """How the training on folds ended."""

    folder: Path
    """With `fold_0` and so on, and folds.json."""
    last: Retraining
    """The fold that was trained last, or interrupted."""
    values: FoldValues | None
    """Of all folds that are complete in the folder; None without any."""
    exports: list[Export]
    """Of the folds that were asked for, as far as they are complete."""
    trained: int
    """Virtual epochs that this call has trained."""
    note: str = ""
    """Why the model card of the export does not tell of the folds, though all of them are trained."""

    @property
    def stopped_at(self) -> int:
        """The fold that was trained last."""
        return int(self.last.folder.name.rpartition("_")[2])

    @property
    def interrupted_by(self) -> int | None:
        return self.last.interrupted_by


def retrain_folds(
    exported: str | Path,
    *,
    fold: int | None = None,
    virtual_epochs: int | None = None,
    steps: int | None = None,
    accept_new_data: bool = False,
    out: str | Path | None = None,
    progress: Callable[[FoldReport], None] = lambda report: None,
) -> FoldRetraining:
    """Train an exported configuration on each fold of its data, from new weights.

    The exported ones have seen the validation samples of all folds but one.

    The same call again continues where it was interrupted; folds that are complete stay as they are.
    Folds may be trained by several calls at once, each with its own `fold`.

    Args:
        exported: folder that `export` wrote, of a search with `data.folds`.
        fold: train on this one alone (default: all).
        virtual_epochs: as of `retrain`, and so are `steps` and `accept_new_data`.
        out: folder to write (default: as of `retrain`): a folder for each fold, and folds.json.
        progress: called after each virtual epoch.

    Raises:
        SearchError: the folder is not an export of a search with folds, or what is left of a fold is
            smaller than a batch; and as of `retrain`.
    """
    source = local_path(exported).absolute()
    require_export(source)
    folder = RunFolder.at(out or home_of(source) / RETRAINED).path
    _refuse_foreign_folds(folder)
    with working_folder(RunFolder(home_of(source))):
        config = load_config(source / CONFIG).first
        number = num_folds(source, config)
        wanted = range(number) if fold is None else [fold]
        refuse_small_folds(source, config, wanted)
    asked = Asked(virtual_epochs, steps, accept_new_data=accept_new_data, out=out)
    again = command_of(exported, asked, ALL if fold is None else fold)
    exports, trained, note = list[Export](), 0, ""
    for place, each in enumerate(wanted):
        last = retrain_as(
            source,
            replace(asked, fold=each, out=folder),
            again,
            _reporter(progress, each, place, len(wanted)),
        )
        trained += last.trained
        if last.export is None:
            break
        exports.append(last.export)
        values = gathered(folder, each)
        if values is not None:
            write_folds(folder, values)
    values = gathered(folder, each)
    if values is not None and values.complete:
        note = tell_folds(source, values)
    return FoldRetraining(folder, last, values, exports, trained, note)


def _refuse_foreign_folds(folder: Path) -> None:
    refuse_foreign(folder)
    if (folder / FOLDS).is_file() and read_folds(folder) is None:
        raise RefusedError(
            f"{folder / FOLDS} was not written by `retrain --fold`, which would replace it: move it "
            "elsewhere, or give another --out"
        )


def _reporter(
    progress: Callable[[FoldReport], None], fold: int, place: int, places: int
) -> Callable[[Record, int], None]:
    return lambda record, of: progress(FoldReport(fold, place, places, record, of))
