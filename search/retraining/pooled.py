"""Pooled metrics of a cross-validation: those of the validation data of all folds as one set."""

from __future__ import annotations

from collections.abc import Callable

from trainables.supervised.task import SupervisedTask
from trainables.task import Task
from trainables.training.trainer import Trainer
from trainables.training.validation import Validation


class Pooled:
    """Takes models that were trained on all folds but one each."""

    def __init__(self) -> None:
        self._first: Task | None = None
        """Whose metrics and loss are meant."""
        self._found: Validation | None = None

    def add(self, trainer: Trainer, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
        """Validate a model on the data that it has not seen.

        Args:
            progress: is told how many batches are done, and how many there are.
        """
        if self._first is None or self._found is None:
            self._first, self._found = trainer.task, Validation(trainer.task, trainer.device)
        model, size = trainer.evaluated_model, trainer.valid_batch_size
        starts = range(0, len(trainer.valid_source), size)
        for number, start in enumerate(starts):
            with trainer.validating(model):
                outputs, batch = trainer.outputs(start, model)
                if isinstance(trainer.task, SupervisedTask) and isinstance(self._first, SupervisedTask):
                    outputs, batch = trainer.task.in_units_of(self._first, outputs, batch)
                self._found.add(outputs, batch)
            progress(number + 1, len(starts))

    def compute(self) -> dict[str, float]:
        """The task's metrics over all that was added, and `valid_loss`, by the loss of the first model."""
        assert self._found is not None
        return self._found.compute()
