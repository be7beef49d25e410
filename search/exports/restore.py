"""Restores the trainer of a checkpoint, with its data and state, to evaluate it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from search.config.tasks import load_task
from search.errors import SearchError
from search.run.data.errors import data_errors
from trainables.build import build_training, load_arrays
from trainables.checkpoints.checkpoint import Checkpoint
from trainables.data.prepared import data_key, prepared_file
from trainables.data.stream import OtherDataError
from trainables.function.trainer import FunctionTrainer
from trainables.process.gpu_share import select_device
from trainables.task import Arrays
from trainables.training.trainer import Trainer


def prepared_of(checkpoint: Checkpoint, folder: Path) -> Path:
    """The file of a checkpoint's data in the run's folder of prepared arrays."""
    return prepared_file(folder, checkpoint.info["task"], checkpoint.info["options"])


def restore_trainer(
    checkpoint: Checkpoint,
    prepared: Path,
    device: torch.device | None = None,
    *,
    loaded: Mapping[str, Arrays] | None = None,
    of_other_data: bool = False,
) -> Trainer | FunctionTrainer:
    """The trainer of a checkpoint with its data and state, on a GPU if there is one.

    What was trained in fp16 is evaluated in fp32 on a CPU.

    Args:
        checkpoint: a verified checkpoint.
        prepared: file of what its task prepared, as `prepared_of` names it.
        device: another than that.
        loaded: what `load_raw` has returned, by `data_key`.
        of_other_data: the data were others when it was trained: only its weights are restored, also averaged.

    Raises:
        SearchError: the prepared arrays are damaged, or the data cannot be read, or are others.
        ConfigError: the task cannot be imported here.
        DamagedCheckpointError: the checkpoint cannot be loaded.
    """
    info = checkpoint.info
    task_class = load_task(info["task"])
    options = task_class.Options.parse(info["options"])
    device = device or select_device(1.0)
    if device.type == "cpu" and getattr(options, "precision", None) == "fp16":
        options = options.model_copy(update={"precision": "fp32"})
    with data_errors(info["task"]):
        raw = (loaded or {}).get(data_key(info["task"], info["options"]))
        arrays = load_arrays(task_class, options, prepared, raw)
    trainer = build_training(
        task_class,
        options,
        arrays,
        prepared=prepared,
        number=info["trial"],
        folder=checkpoint.folder.parent,
        **dict(zip(("unit", "count"), *info["virtual_epoch"].items(), strict=True)),
        num_virtual_epochs=info["num_virtual_epochs"],
        device=device,
        with_validation_data=info.get("data") == "train+val",
    )
    try:
        if of_other_data:
            trainer.load_weights(checkpoint.weights(), checkpoint.state())
        else:
            trainer.load(checkpoint.weights(), checkpoint.state())
    except (OtherDataError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not of_other_data:
            raise
        cause = " ".join(str(error).split()[:40])
        raise SearchError(
            f"{checkpoint.folder} was trained on other data than there are now ({cause}); "
            "put back the data as they were"
        ) from error
    return trainer
