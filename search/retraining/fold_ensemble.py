"""Exports the models of all folds as one, whose value is out of fold."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from search.addresses import local_path
from search.config.stages import load_config, open_run
from search.ensembles.candidates import require_mean
from search.ensembles.card import Story
from search.ensembles.members import Member, write_ensemble
from search.errors import RefusedError, SearchError
from search.exports.chosen import last_with_a_value
from search.exports.export import Format, How, how_to_write, leaving_of
from search.exports.files import refuse_other_content
from search.exports.graphs import require_evaluable
from search.exports.steps import Leaving
from search.predicting.exported import CONFIG
from search.retraining.begun import RETRAINED
from search.retraining.fold import fold_folder, num_folds
from search.retraining.out_of_fold import unchanged_data
from search.retraining.pooled import Pooled
from search.retraining.values import FOLDS, FoldMember, FoldValues, complete_folds, fold_members
from search.run.before.provenance import working_folder
from search.run.data.record import TrialData
from search.run.disk.folder import RunFolder
from search.text import command, counted, number_text, short_path
from trainables.checkpoints.checkpoint import DamagedCheckpointError

FLAG = "--ensemble folds"
EVALUATION = (
    "out of fold: each sample is predicted by the one member that has not seen it; the mean of the members "
    "was not measured, as all of them but one have seen any sample"
)
CAVEAT = (
    "The values are out of fold: each sample is predicted by the one member that has not seen it, so they "
    "are those of single members. The mean of the members, which predicts here, was not measured: all of "
    "them but one have seen any sample there is. The configuration was chosen by one of the folds, and the "
    "virtual epoch of each member by its own, which flatters the values a little. There was no separate test."
)


@dataclass(frozen=True)
class FoldEnsemble:
    """The models of all folds, exported together."""

    folder: Path
    value: float
    """The objective of the written files, out of fold."""
    metrics: Mapping[str, float]
    """Out of fold too."""
    members: Sequence[Mapping[str, Any]]
    """What ensemble.json says of each; its value is of its own fold."""
    folds: FoldValues
    graphs: Sequence[str] = field(default=())
    """Files of the graphs of each member."""


def export_folds(
    run: str | Path,
    *,
    folds: str | Path | None = None,
    out: str | Path | None = None,
    formats: Sequence[Format] = ("safetensors",),
    with_preprocessing: bool = False,
    phase: Callable[[str], None] = lambda text: None,
    progress: Callable[[str, int, int], None] = lambda text, done, of: None,
) -> FoldEnsemble:
    """Export the models that `retrain --fold all` has trained as an ensemble, in which each counts once.

    Args:
        run: the search's folder.
        folds: folder of the folds (default: `<run>/retrain`).
        out: folder to write (default: `<run>/export`). An existing export is replaced as a whole.
        formats: "onnx" and "pt2" are written for each member.
        with_preprocessing: these graphs take raw pixels or columns.
        phase: is told what begins.
        progress: is told how far it is.

    Raises:
        RefusedError: not all folds are trained, the data have no folds or have changed, the task's outputs
            have no mean, or `out` holds files of yours.
        SearchError: a checkpoint is damaged, or a written file does not give the value that was recorded.
    """
    how = how_to_write(formats, with_preprocessing, phase)
    home = RunFolder.at(run)
    home.require()
    source = home.path / RETRAINED if folds is None else local_path(folds).absolute()
    target = local_path(out).absolute() if out else home.exported.absolute()
    refuse_other_content(target)
    with working_folder(last_with_a_value(home)[0]):
        values, found = _trained(home, source)
        config = load_config(found[0].export / CONFIG).first
        pooled, graphs = Pooled(), list[str]()
        with closing(_members(source, found, how, pooled, graphs, progress)) as members:
            story = _story(values)
            report = write_ensemble(target, config, members, len(found), story, pooled.compute, phase)
    objective = report["objective"]["value"]
    return FoldEnsemble(target, objective, report["metrics"], report["members"], values, graphs)


def _trained(home: RunFolder, source: Path) -> tuple[FoldValues, list[FoldMember]]:
    """What is told of the folds, and their models."""
    if not (source / FOLDS).is_file():
        stage = last_with_a_value(home)[0]
        config = open_run(stage.config).first
        require_mean(config, FLAG)
        num_folds(stage.path, config)
    values = complete_folds(source, command("retrain", home.exported, "--fold", "all"))
    return values, fold_members(source)


def _members(
    source: Path,
    found: Sequence[FoldMember],
    how: How,
    pooled: Pooled,
    graphs: list[str],
    progress: Callable[[str, int, int], None],
) -> Generator[Member]:
    """One after another, so that the data of one fold are in memory at a time.

    Args:
        pooled: takes each member as soon as it is written.
        graphs: gets the files of the first one's graphs.
    """
    for each in found:
        leaving = _leaving(source, each, how)
        member = Member(f"fold {each.fold}", 1, leaving)
        try:
            yield member
            what = f"predicting fold {each.fold} with the model that has not seen it"
            pooled.add(member.trainer, partial(progress, what))
        finally:
            leaving.trainer.close()
        graphs[:] = [file for graph in leaving.report.get("graphs", {}).values() for file in graph["files"]]


def _leaving(source: Path, member: FoldMember, how: How) -> Leaving:
    how.phase(f"loading fold {member.fold}")
    home, config = RunFolder(fold_folder(source, member.fold)), load_config(member.export / CONFIG).first
    require_mean(config, FLAG)
    now = unchanged_data(home, config)
    data = TrialData(home.prepared, now.fingerprint, now.arrays)
    require_evaluable(how.formats, config, data)
    try:
        return leaving_of(member.read(), config, home.prepared, data, how=how)
    except DamagedCheckpointError as error:
        raise SearchError(
            f"the model of fold {member.fold} cannot be exported: {error}; remove {short_path(home.path)}"
            f", and `tune-search retrain EXPORT --fold {member.fold}` trains it again"
        ) from error


def _story(values: FoldValues) -> Story:
    number = counted(values.folds, "fold")
    if any(each.value is None for each in values.values):
        lacking = ", ".join(str(each.fold) for each in values.values if each.value is None)
        raise RefusedError(f"{FLAG}: {values.metric} is no number on fold {lacking}, so there is no value")
    spread = "" if values.std is None else f" ± {number_text(values.std)} (mean ± standard deviation)"
    told = {**values.model_dump(mode="json"), "mean": values.mean, "std": values.std}
    return Story(
        method=f"training the configuration of trial {values.trial} once without each of {number}",
        caveat=CAVEAT,
        details={"evaluation": EVALUATION, "folds": told},
        report={"evaluation": EVALUATION, "folds": told},
        measured="out of fold, each sample by the member that has not seen it",
        split="out of fold",
        each="on its own fold",
        alone=f"the members have\n{number_text(values.mean)}{spread} on the folds that they have not seen",
    )
