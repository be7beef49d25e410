"""Exports the trials whose mean prediction is the best on the validation data, as one model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.addresses import local_path
from search.ensembles.candidates import Candidates, candidates_of
from search.ensembles.card import Story
from search.ensembles.members import Member, measured, write_ensemble
from search.ensembles.predictions import Progress, predict_all
from search.ensembles.selection import METHOD, Selection, select
from search.errors import RefusedError, SearchError
from search.exports.chosen import last_with_a_value
from search.exports.export import Format, How, how_to_write, leaving_of
from search.exports.files import refuse_other_content
from search.exports.graphs import require_evaluable
from search.exports.value import is_close
from search.run.before.provenance import working_folder
from search.run.disk.folder import RunFolder
from search.study.trial import as_loss
from search.text import counted
from trainables.checkpoints.checkpoint import DamagedCheckpointError

LEAST = 2
"""Members of an ensemble."""
CAVEAT = (
    "The members were chosen on the validation data that the values are of, as their hyperparameters were "
    "before, which flatters them: expect less of new data, and a smaller gain over the best member. There "
    "was no separate test."
)


@dataclass(frozen=True)
class Ensemble:
    """An exported ensemble."""

    folder: Path
    metric: str
    value: float
    """Of the written files, on the validation data."""
    metrics: Mapping[str, float]
    members: Sequence[Mapping[str, Any]]
    """What ensemble.json says of each."""
    selection: Sequence[Mapping[str, Any]]
    """What was picked in turn, and the value of all until then."""
    best: str
    """The best of all trials that have a checkpoint, and its value alone."""
    best_value: float
    candidates: int
    """Trials to choose from."""
    stage: str | None = None
    """The stage that they belong to, in a search in stages."""
    left_out: tuple[str, ...] = ()
    """What is wrong with checkpoints that could not be read."""
    graphs: Sequence[str] = field(default=())
    """Files of the graphs of each member."""


def export_ensemble(
    run: str | Path,
    members: int,
    *,
    out: str | Path | None = None,
    formats: Sequence[Format] = ("safetensors",),
    with_preprocessing: bool = False,
    phase: Callable[[str], None] = lambda text: None,
    progress: Progress = lambda text, done, of: None,
) -> Ensemble:
    """Choose members among the trials of a search and export them together, if that is better than one.

    Args:
        run: the search's folder, which may still be running; of a search in stages its last stage counts.
        members: the most models that the ensemble has, 2 or more; see `select`.
        out: folder to write (default: `<run>/export`). An existing export is replaced as a whole.
        formats: "onnx" and "pt2" are written for each member.
        with_preprocessing: these graphs take raw pixels or columns.
        phase: is told what begins.
        progress: is told how far it is.

    Raises:
        RefusedError: no ensemble is better than its best member, there are fewer than two trials with
            checkpoints, the task's outputs have no mean, or `out` holds files of yours.
        SearchError: a written file does not give the value that was recorded, or the disk is too small.
    """
    if members < LEAST:
        raise RefusedError(f"--ensemble: received {members}; must be {LEAST} or more")
    how = how_to_write(formats, with_preprocessing, phase)
    folder = RunFolder.at(run)
    folder.require()
    target = local_path(out).absolute() if out else folder.exported.absolute()
    refuse_other_content(target)
    with working_folder(last_with_a_value(folder)[0]):
        phase("loading data and checkpoints")
        candidates = candidates_of(folder.path, "--ensemble")
        require_evaluable(how.formats, candidates.config, candidates.best.data)
        try:
            selection = _selected(candidates, members, progress)
            return _exported(candidates, selection, target, members, how, progress)
        except DamagedCheckpointError as error:
            raise SearchError(f"{error}; the same command leaves it out") from error


def _selected(candidates: Candidates, members: int, progress: Progress) -> Selection:
    objective = candidates.config.objective
    with tempfile.TemporaryDirectory(prefix="tune-search-") as scratch:
        predicted = predict_all(candidates.found, Path(scratch), progress)
        selection = select(predicted, members, objective.metric, objective.mode, progress)
        predicted.reference.close()
    if len(selection.counts) < LEAST:
        raise RefusedError(_no_better(candidates, members, selection.best_of_several))
    return selection


def _exported(
    candidates: Candidates, selection: Selection, out: Path, number: int, how: How, progress: Progress
) -> Ensemble:
    """Write and measure what was selected."""
    best, metric = candidates.best, candidates.config.objective.metric
    members = [
        Member(
            each.label,
            count,
            leaving_of(each.checkpoint, each.config, each.data.prepared, each.data, how=how),
        )
        for each, count in ((candidates.found[place], count) for place, count in selection.counts.items())
    ]
    picks = [
        {"picked": candidates.found[pick.place].label, "value": pick.value, "kept": turn < selection.kept}
        for turn, pick in enumerate(selection.picks)
    ]
    tried = [{"label": each.label, "value": each.value} for each in candidates.found]
    details = {"selection": picks, "candidates": tried}
    story = Story(method=METHOD, caveat=CAVEAT, details=details)

    def measure() -> Mapping[str, float]:
        metrics = measured(members, progress)
        _require_better(candidates, selection, metrics[metric], number)
        return metrics

    try:
        report = write_ensemble(out, candidates.config, members, len(members), story, measure, how.phase)
    finally:
        for member in members:
            member.trainer.close()
    graphs = members[0].leaving.report.get("graphs", {})
    return Ensemble(
        out,
        metric,
        report["objective"]["value"],
        report["metrics"],
        report["members"],
        picks,
        best.label,
        best.value,
        len(candidates.found),
        candidates.stage_name,
        candidates.left_out,
        [file for graph in graphs.values() for file in graph["files"]],
    )


def _require_better(candidates: Candidates, selection: Selection, value: float, number: int) -> None:
    """Refuse written members that do not give what they were chosen for."""
    expected, objective = selection.picks[selection.kept - 1].value, candidates.config.objective
    if not is_close(expected, value, same_arithmetic=False):
        raise SearchError(
            f"the written members together give {objective.metric} {value:.6g}, and {expected:.6g} was "
            "measured when they were chosen; nothing was exported"
        )
    # Predictions were rounded to choose among them: a gain in the last digits may not survive that.
    if as_loss(value, objective.mode) >= as_loss(candidates.best.value, objective.mode):
        raise RefusedError(_no_better(candidates, number, value))


def _no_better(candidates: Candidates, members: int, value: float) -> str:
    best, metric = candidates.best, candidates.config.objective.metric
    number = counted(len(candidates.found), "trial")
    return (
        f"no ensemble of up to {members} of the {number} with checkpoints is better than {best.label} alone: "
        f"{metric} {value:.6g} of the best that was tried, {best.value:.6g} of {best.label}, on the "
        f"validation data; nothing was exported. `{candidates.single}` exports {best.label}"
    )
