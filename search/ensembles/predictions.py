"""The predictions of all candidates on the validation data, on disk while members are chosen from them.

They are kept and not predicted again for each ensemble that is tried: that would take a pass of each model
for each pick. Those of a segmentation do not fit into memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search.ensembles.averages import Average, average_of
from search.ensembles.candidates import Candidate
from search.errors import RefusedError, SearchError
from search.exports.restore import prepared_of, restore_trainer
from search.exports.value import is_close
from search.text import size_text
from trainables.data.prepared import data_key
from trainables.training.trainer import Trainer
from trainables.training.validation import Validation

Progress = Callable[[str, int, int], None]
"""Takes what is done, how much of it is done, and how much there is."""
LOSS = "valid_loss"


@dataclass
class Predictions:
    """What is averaged of the outputs of one candidate, batch by batch."""

    candidate: Candidate
    file: Path
    kept_as: torch.dtype
    value: float = float("nan")
    """The objective, computed with the predictions before they are rounded."""
    _places: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    """First byte and shape of each batch."""

    def add(self, averaged: Tensor) -> None:
        """Append a batch.

        Raises:
            SearchError: the disk is full.
        """
        array = averaged.to(self.kept_as).cpu().contiguous().numpy()
        try:
            with self.file.open("ab") as file:
                self._places.append((file.tell(), array.shape))
                file.write(array.tobytes())
        except OSError as error:
            raise SearchError(
                f"predictions cannot be kept while members are chosen: {error}; set TMPDIR to a folder on "
                "another disk"
            ) from error

    def batch(self, number: int, device: torch.device) -> Tensor:
        """float32, of the batch with this number."""
        offset, shape = self._places[number]
        dtype = np.float16 if self.kept_as is torch.float16 else np.float32
        array = np.fromfile(self.file, dtype, int(np.prod(shape)), offset=offset).reshape(shape)
        return torch.from_numpy(array).to(device).float()


@dataclass
class Predicted:
    """The predictions of all candidates on the same batches of validation data."""

    reference: Trainer
    """The best candidate's: its metrics are those of an ensemble."""
    average: Average
    of: Sequence[Predictions]

    @property
    def starts(self) -> range:
        """First samples of the batches."""
        return range(0, len(self.reference.valid_source), self.reference.valid_batch_size)


def restored(candidate: Candidate) -> Trainer:
    """The trainer of a candidate, with its weights."""
    file = prepared_of(candidate.checkpoint, candidate.data.prepared)
    trainer = restore_trainer(candidate.checkpoint, file, loaded=candidate.data.arrays)
    assert isinstance(trainer, Trainer)
    return trainer


def predict_all(candidates: Sequence[Candidate], folder: Path, progress: Progress) -> Predicted:
    """Predict the validation data with each candidate.

    Args:
        candidates: the best one first.
        folder: an empty one, for the predictions.

    Raises:
        SearchError: a checkpoint does not give the value that was recorded, or the disk is too small.
        RefusedError: candidates were validated on other samples, classes or by another loss.
    """
    _refuse_other_losses(candidates)
    reference = restored(candidates[0])
    predicted = Predicted(reference, average_of(reference.task), [])
    found: list[Predictions] = []
    for number, candidate in enumerate(candidates):
        trainer = restored(candidate) if number else reference
        predictions = Predictions(candidate, folder / str(number), predicted.average.kept_as)
        text = f"predicting the validation data with {candidate.label}, {number + 1} of {len(candidates)}"
        _predict(trainer, predictions, predicted, candidates, partial(progress, text))
        found.append(predictions)
        if number:
            trainer.close()
    return Predicted(reference, predicted.average, found)


def _predict(
    trainer: Trainer,
    predictions: Predictions,
    predicted: Predicted,
    candidates: Sequence[Candidate],
    progress: Callable[[int, int], None],
) -> None:
    candidate, reference = predictions.candidate, predicted.reference
    own, average = Validation(trainer.task, trainer.device), average_of(trainer.task)
    is_other = _data_of(candidate) != _data_of(candidates[0])
    if is_other:
        _require_same_length(trainer, reference, candidate, candidates[0])
    model, size = trainer.evaluated_model, reference.valid_batch_size
    for done, start in enumerate(predicted.starts):
        with trainer.validating(model):
            outputs, batch = trainer.outputs(start, model, size)
            own.add(outputs, batch)
            if is_other:
                other = reference.valid_batch(start, size)
                _require_same_targets(batch, other, average, predicted.average, candidate)
            averaged = average.averaged(outputs)
        if not start:
            _require_space(averaged, predictions, len(reference.valid_source), candidates)
        predictions.add(averaged)
        progress(done + 1, len(predicted.starts))
    metric = candidate.checkpoint.info["metric"]
    predictions.value = own.compute()[metric]
    if not is_close(candidate.value, predictions.value, same_arithmetic=False):
        raise SearchError(
            f"{candidate.label} gives {metric} {predictions.value:.6g} and {candidate.value:.6g} was "
            "recorded; nothing was exported. Have the data, the task's code or a library changed since?"
        )


def _data_of(candidate: Candidate) -> str:
    return data_key(candidate.checkpoint.info["task"], candidate.checkpoint.info["options"])


def _refuse_other_losses(candidates: Sequence[Candidate]) -> None:
    """Losses that trials chose themselves do not compare, and no mean of models has one of them."""
    losses = [candidate.checkpoint.info["options"].get("loss") for candidate in candidates]
    if candidates[0].checkpoint.info["metric"] == LOSS and any(loss != losses[0] for loss in losses):
        raise RefusedError(
            f"the objective is {LOSS}, and trials differ in trial.loss, so that no one loss is that of an "
            "ensemble: search with a metric as the objective, or with one trial.loss"
        )


def _require_same_length(trainer: Trainer, reference: Trainer, candidate: Candidate, best: Candidate) -> None:
    lengths = len(trainer.valid_source), len(reference.valid_source)
    names = [list(getattr(each.task, "class_names", ())) for each in (trainer, reference)]
    if lengths[0] != lengths[1] or names[0] != names[1]:
        raise _other_data(candidate, f"{lengths[0]} and {lengths[1]} (of {best.label}) validation samples")


def _require_same_targets(
    batch: Any, reference: Any, average: Average, reference_average: Average, candidate: Candidate
) -> None:
    own, other = batch[1], reference[1]
    if own.is_floating_point():  # of a regression, in the units of the target
        own, other = average.averaged(own), reference_average.averaged(other)
        same = own.shape == other.shape and bool(torch.allclose(own, other, rtol=1e-4, atol=1e-6))
    else:
        same = own.shape == other.shape and bool((own == other).all())
    if not same:
        raise _other_data(candidate, "other targets")


def _other_data(candidate: Candidate, what: str) -> RefusedError:
    return RefusedError(
        f"{candidate.label} was validated on other data than the best trial ({what}), as trial.data is "
        "searched over, so their predictions do not belong together: search with one value of what names the "
        "data, such as root or path"
    )


def _require_space(
    averaged: Tensor, predictions: Predictions, num_samples: int, candidates: Sequence[Candidate]
) -> None:
    """Look at the disk when the first batch of a candidate is known: images may have other sizes."""
    size = averaged.numel() * predictions.kept_as.itemsize / len(averaged)
    left = len(candidates) - candidates.index(predictions.candidate)
    needed, folder = size * num_samples * left, predictions.file.parent
    if needed > (free := shutil.disk_usage(folder).free):
        raise SearchError(
            f"the predictions of {len(candidates)} trials on the validation data need {size_text(needed)} "
            f"more in {folder.parent} while members are chosen, and {size_text(free)} are free: set TMPDIR "
            "to a folder on a larger disk"
        )
