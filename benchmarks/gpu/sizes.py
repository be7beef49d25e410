"""`batch_size: auto` within a share of a GPU's memory."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.gpu.check import Check, Context, Figure
from search.config.schema import Resources
from search.run.before.largest_batch import find_largest_batch
from trainables.batch_probe import MARGIN
from trainables.build import build_trainer, load_arrays
from trainables.process.gpu_share import select_device
from trainables.segmentation.task import SegmentationTask

_SHARE_BYTES = 3 * 10**9
_OPTIONS: dict[str, Any] = {
    "data": {"source": "digits", "size": 96, "enlarge": 2, "num_train": 600, "num_valid": 64},
    "model": {"name": "unet", "width": 32, "depth": 2},
    "optimizer": {"name": "adamw", "lr": 1e-3},
    "valid_batch_size": 64,
}
_STEPS = 12


def found(context: Context) -> Figure:
    """The most that a trial with the batch that was found takes, over what it may take."""
    total = torch.cuda.get_device_properties(0).total_memory
    share = round(min(1.0, max(0.02, _SHARE_BYTES / total)), 3)
    largest = find_largest_batch(
        "trainables.segmentation.task:SegmentationTask", [_OPTIONS], Resources(gpus_per_trial=share)
    )
    device = select_device(share)
    options = SegmentationTask.Options.model_validate({**_OPTIONS, "batch_size": largest.size})
    trainer = build_trainer(
        SegmentationTask,
        options,
        load_arrays(SegmentationTask, options),
        unit="steps",
        count=_STEPS,
        num_virtual_epochs=1,
        device=device,
    )
    torch.cuda.reset_peak_memory_stats()
    trainer.run_virtual_epoch()  # raises where it does not fit
    allowed = torch.cuda.get_per_process_memory_fraction() * total
    peak = torch.cuda.max_memory_reserved() / allowed
    least = 0.5 if "most that fits" in largest.bound else None
    return Figure(peak, "of the share", limit=1.0, least=least, note=f"{largest}; margin {MARGIN:.0%}")


CHECKS: list[Check] = [
    Check(
        name="auto/share",
        shows="batch_size: auto finds what fits into a share: optimizer and validation counted",
        run=found,
        seconds=90,
        needs_gpu=True,
        fresh=True,
    )
]
