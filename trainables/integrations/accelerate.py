"""accelerate in a training function: an Accelerator on the trial's device, and batches that continue.

>>> accelerator = accelerator_of(trial, mixed_precision="bf16", gradient_accumulation_steps=4)
>>> batches = batches_of(trial, accelerator, loader)
>>> model, optimizer = accelerator.prepare(model, optimizer)
>>> trial.track(model=model, optimizer=optimizer)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch.utils.data import DataLoader

from trainables.function.trial import Trial


def accelerator_of(trial: Trial, **options: Any) -> Accelerator:
    """`Accelerator(**options)` on the trial's device; its gradient scaler, where fp16 needs one, is tracked.

    Raises:
        ValueError: it would train in several processes.
    """
    accelerator = Accelerator(cpu=trial.device.type == "cpu", **options)
    if accelerator.num_processes > 1:
        raise ValueError(
            f"accelerate would train in {accelerator.num_processes} processes; a trial has one: leave out "
            "`accelerate launch`, and WORLD_SIZE"
        )
    if accelerator.scaler is not None:
        trial.track(scaler=accelerator.scaler)
    return accelerator


def batches_of(trial: Trial, accelerator: Accelerator, loader: DataLoader[Any]) -> Iterator[Any]:
    """`trial.batches` of the loader, on the accelerator's device; a step draws what it accumulates.

    A loader that `prepare` has returned is read without what it adds: it reads a batch ahead, whose random
    numbers would be lost in a pause, and ends an accumulation early at the end of an epoch.
    """
    batches = trial.batches(
        getattr(loader, "base_dataloader", loader), per_step=accelerator.gradient_accumulation_steps
    )
    return (send_to_device(batch, accelerator.device) for batch in batches)
