"""Restores the trainer of a checkpoint, with its data and state, to evaluate it again."""

from __future__ import annotations

from pathlib import Path

from search.config.tasks import load_task
from search.run.data_errors import data_errors
from trainables.build import build_trainer, load_arrays
from trainables.checkpoint import Checkpoint
from trainables.data.prepared import prepared_file
from trainables.session import select_device
from trainables.trainer import Trainer


def prepared_of(checkpoint: Checkpoint, folder: Path) -> Path:
    """The file of a checkpoint's data in the run's folder of prepared arrays."""
    return prepared_file(folder, checkpoint.info["task"], checkpoint.info["options"])


def restore_trainer(checkpoint: Checkpoint, prepared: Path) -> Trainer:
    """The trainer of a checkpoint with its data and state, on a GPU if there is one.

    Args:
        checkpoint: a verified checkpoint.
        prepared: file of the arrays that its task prepared, as `prepared_of` names it.

    Raises:
        SearchError: the prepared arrays are damaged, or the data cannot be read.
        ConfigError: the task cannot be imported here.
        DamagedCheckpointError: the checkpoint cannot be loaded.
    """
    info = checkpoint.info
    task_class = load_task(info["task"])
    options = task_class.Options.parse(info["options"])
    ((unit, count),) = info["virtual_epoch"].items()
    with data_errors(info["task"]):
        arrays = load_arrays(task_class, options, prepared)
    trainer = build_trainer(
        task_class,
        options,
        arrays,
        unit=unit,
        count=count,
        num_virtual_epochs=info["num_virtual_epochs"],
        device=select_device(1.0),
        with_validation_data=info.get("data") == "train+val",
    )
    trainer.load(checkpoint.weights(), checkpoint.state())
    return trainer
