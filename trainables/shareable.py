"""Which tasks can be trained by several processes at once, and why the others cannot."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from trainables.findings import a_type
from trainables.function.task import FunctionTask
from trainables.ranks.merged import check_mergeable
from trainables.task import Task

_ONE = "or set resources.workers_per_trial to 1"
OF_A_FUNCTION = (
    "is a training function, whose loop is its own, and a trial of it is one process: write a Task, whose "
    f"steps this program shares out, {_ONE}"
)
_OWN_STEPS = (
    "takes steps of its own in prepare_step(), as a GAN's discriminator does, whose gradients nobody would "
    f"add up over the processes of a trial: train its adversary in loss(), {_ONE}"
)


def why_not_shareable(task_class: type[Task]) -> str:
    """Why trials of this task are one process each, as the end of a sentence; empty if they need not be."""
    if issubclass(task_class, FunctionTask):
        return OF_A_FUNCTION
    own_steps = task_class.prepare_step is not Task.prepare_step
    own_batches = task_class.batches_per_step is not Task.batches_per_step
    return _OWN_STEPS if own_steps or own_batches else ""


def check_shareable(task: Task, data: Any, size: int) -> None:
    """Raise unless `size` processes can train this task together.

    Args:
        data: what the task trains on.

    Raises:
        TypeError: the metrics cannot be put together.
        ValueError: anything else cannot.
    """
    if reason := why_not_shareable(type(task)):
        raise ValueError(f"{type(task).__name__} {reason}")
    if isinstance(data, DataLoader | IterableDataset):
        raise ValueError(
            f"train_data() gives {a_type(data)}, whose batches cannot be shared out to the {size} processes "
            f"of a trial: return the map-style Dataset, a tuple of arrays or a BatchSource, {_ONE}"
        )
    check_mergeable(task.metrics())


def check_batch_size(batch_size: int, size: int) -> None:
    """Raise ValueError if a micro-batch has no sample for each of `size` processes."""
    if batch_size < size:
        raise ValueError(
            f"batch_size is {batch_size}, and the {size} processes of a trial share each batch: it must be "
            f"{size} or more; give a larger one, {_ONE}"
        )
