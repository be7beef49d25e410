"""Exports a greedy soup: the mean of the weights of trials, as in Wortsman et al. 2022.

"Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing inference
time", ICML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from search.addresses import local_path
from search.ensembles.batch_norm import BATCHES, estimate, to_estimate
from search.ensembles.candidates import Candidate, Candidates, candidates_of
from search.ensembles.predictions import Progress
from search.errors import RefusedError, SearchError
from search.exports.chosen import last_with_a_value
from search.exports.export import Export, Format, how_to_write, leaving_of, write_export
from search.exports.files import refuse_other_content
from search.exports.graphs import require_evaluable
from search.exports.report import trials_in
from search.run.before.provenance import working_folder
from search.run.disk.folder import RunFolder
from search.study.trial import as_loss
from search.text import counted
from trainables.checkpoints.checkpoint import Checkpoint, DamagedCheckpointError
from trainables.training.trainer import Trainer

Weights = Mapping[str, Tensor]
METHOD = "greedy soup, as in Wortsman et al. 2022, Model soups"


@dataclass(frozen=True)
class Soup:
    """An exported soup."""

    export: Export
    trials: Sequence[int]
    """Whose weights are averaged, in the order in which they came."""
    best_value: float
    """Of the first of them alone."""
    candidates: int
    """Trials of this architecture and these data."""
    estimated: int
    """Batch normalizations whose statistics were estimated again."""
    left_out: tuple[str, ...] = ()
    """What is wrong with checkpoints that could not be read."""


@dataclass
class _Mixed:
    """What has been averaged until now."""

    weights: Weights
    value: float
    kept: list[Weights]
    tried: list[dict[str, Any]]
    estimated: int = 0


def export_soup(
    run: str | Path,
    *,
    out: str | Path | None = None,
    formats: Sequence[Format] = ("safetensors",),
    with_preprocessing: bool = False,
    phase: Callable[[str], None] = lambda text: None,
    progress: Progress = lambda text, done, of: None,
) -> Soup:
    """Average the weights of trials of one architecture and export them, if that is better than the best one.

    Candidates come in the order of their values; each stays where the value on the validation data does not
    fall. Statistics of batch normalizations are estimated again on training data.

    Args:
        run: the search's folder, which may still be running; of a search in stages its last stage counts.
        out: folder to write (default: `<run>/export`). An existing export is replaced as a whole.
        formats: "onnx" and "pt2" are written beside the weights.
        with_preprocessing: these graphs take raw pixels or columns.
        phase: is told what begins.
        progress: is told how far it is.

    Raises:
        RefusedError: no soup is better than the best trial, no other trial has its architecture, the task
            is none of the built-in ones, or `out` holds files of yours.
        SearchError: the written files do not give the value that was measured.
    """
    how = how_to_write(formats, with_preprocessing, phase)
    folder = RunFolder.at(run)
    folder.require()
    target = local_path(out).absolute() if out else folder.exported.absolute()
    refuse_other_content(target)
    with working_folder(last_with_a_value(folder)[0]):
        phase("loading data and checkpoints")
        candidates = candidates_of(folder.path, "--soup")
        best = candidates.best
        require_evaluable(how.formats, candidates.config, best.data)
        try:
            others = _alike(candidates)
            leaving = leaving_of(best.checkpoint, candidates.config, best.data.prepared, best.data, how=how)
            assert isinstance(leaving.trainer, Trainer)
            mixed = _mixed(candidates, others, leaving.trainer, progress)
        except DamagedCheckpointError as error:
            raise SearchError(f"{error}; the same command leaves it out") from error
        mode = candidates.config.objective.mode
        if as_loss(mixed.value, mode) >= as_loss(best.value, mode):
            raise RefusedError(_no_better(candidates, len(others), mixed))
        leaving.trainer.evaluated_model.load_state_dict(dict(mixed.weights))
        soup = _described(candidates, mixed)
        export = write_export(target, replace(leaving, soup=soup))
        export = replace(export, stage=candidates.stage_name)
        return Soup(
            export,
            trials_in(soup),
            best.value,
            len(others) + 1,
            mixed.estimated,
            candidates.left_out,
        )


def _alike(candidates: Candidates) -> list[Candidate]:
    """The candidates besides the best one that have its data, and weights of its names and shapes."""
    best, shapes = candidates.best, _shapes(candidates.best.checkpoint)
    data = best.checkpoint.info["options"].get("data")
    found = [
        each
        for each in candidates.found[1:]
        if each.checkpoint.info["options"].get("data") == data and _shapes(each.checkpoint) == shapes
    ]
    if not found:
        raise RefusedError(
            f"--soup averages weights of one architecture, and of the {len(candidates.found)} trials with "
            f"checkpoints none has that of {best.label}, the best one: `{candidates.single}` exports "
            f"{best.label}, and --ensemble mixes architectures"
        )
    return found


def _shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in checkpoint.weights().items()}


def _evaluated(checkpoint: Checkpoint) -> Weights:
    """The weights that were validated: their moving average, if there is one."""
    average = checkpoint.state().get("average")
    return checkpoint.weights() if average is None else average["model"]


def _mixed(
    candidates: Candidates, others: Sequence[Candidate], trainer: Trainer, progress: Progress
) -> _Mixed:
    """Try the candidates in turn; the model of the trainer holds what was tried last."""
    metric, mode = candidates.config.objective.metric, candidates.config.objective.mode
    best, model, stream = candidates.best, trainer.evaluated_model, trainer.stream.state_dict()
    first = _evaluated(best.checkpoint)
    mixed = _Mixed(first, best.value, [first], [_tried(best, best.value, kept=True)])
    for number, candidate in enumerate(others, start=1):
        text = f"averaging with {candidate.label}, {number} of {len(others)}"
        weights = [*mixed.kept, _evaluated(candidate.checkpoint)]
        model.load_state_dict(_mean(weights))
        modules = to_estimate(model, weights)
        estimate(trainer, model, modules, stream, partial(progress, text))
        value = trainer.validate()[metric]
        kept = as_loss(value, mode) <= as_loss(mixed.value, mode)
        mixed.tried.append(_tried(candidate, value, kept=kept))
        if kept:
            mixed.weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            mixed.value, mixed.kept, mixed.estimated = value, weights, len(modules)
    return mixed


def _mean(weights: Sequence[Weights]) -> dict[str, Tensor]:
    """Of floating-point tensors; others, such as counters, are those of the first."""
    return {
        name: (sum(each[name].double() for each in weights) / len(weights)).to(tensor.dtype)  # type: ignore[union-attr]
        if tensor.is_floating_point()
        else tensor
        for name, tensor in weights[0].items()
    }


def _tried(candidate: Candidate, value: float, *, kept: bool) -> dict[str, Any]:
    return {
        "trial": candidate.trial,
        "virtual_epoch": candidate.checkpoint.virtual_epoch,
        "value": candidate.value,
        "value_of_average": value,
        "kept": kept,
    }


def _described(candidates: Candidates, mixed: _Mixed) -> dict[str, Any]:
    """What soup.json holds."""
    return {
        "version": 1,
        "method": METHOD,
        "objective": candidates.config.objective.metric,
        "value": mixed.value,
        "candidates": mixed.tried,
        "batch_norm": {"modules": mixed.estimated, "batches": BATCHES} if mixed.estimated else None,
    }


def _no_better(candidates: Candidates, others: int, mixed: _Mixed) -> str:
    best, objective = candidates.best, candidates.config.objective
    tried = [each["value_of_average"] for each in mixed.tried[1:]]
    value = min(tried, key=lambda each: as_loss(each, objective.mode))
    return (
        f"no average of the weights of {best.label} and of {counted(others, 'other trial')} of its "
        f"architecture is better than {best.label} alone: {objective.metric} {value:.6g} of the best that "
        f"was tried, {best.value:.6g} of {best.label}, on the validation data; nothing was exported. "
        f"`{candidates.single}` exports {best.label}"
    )
