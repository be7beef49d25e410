"""Four accumulated micro-batches of 8 against one batch of 32: weights, and memory.

    python benchmarks/accumulation.py        prints a table, writes benchmarks/results/accumulation.json

The differences repeat exactly on one machine; the memory is the process's peak, in a fresh process each.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
from pathlib import Path
from typing import Any

import torch

from trainables.build import build_trainer, load_arrays
from trainables.segmentation import SegmentationOptions, SegmentationTask
from trainables.trainer import Trainer

NUM_STEPS = 20
SPLITS = {"1 x 32": (32, 1), "4 x 8": (8, 4)}


def trainer_with(
    batch_size: int, accumulate: int, normalization: str, size: int = 40, width: int = 8
) -> Trainer:
    """Segmentation of digits with SGD and momentum; one virtual epoch is one step."""
    options = SegmentationOptions.model_validate(
        {
            "data": {"source": "digits", "size": size, "num_train": 640, "num_valid": 1},
            "model": {"name": "unet", "width": width, "depth": 2, "normalization": normalization},
            "loss": {"dice": 0.5},
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
            "batch_size": batch_size,
            "accumulate": accumulate,
        }
    )
    return build_trainer(
        SegmentationTask,
        options,
        load_arrays(SegmentationTask, options),
        unit="steps",
        count=1,
        num_virtual_epochs=NUM_STEPS,
        device=torch.device("cpu"),
    )


def largest_difference(normalization: str) -> dict[str, float]:
    """Between the weights of the two ways, after one step and after all."""
    one, four = (trainer_with(*split, normalization) for split in SPLITS.values())
    found = {}
    for step in range(1, NUM_STEPS + 1):
        one.run_virtual_epoch()
        four.run_virtual_epoch()
        if step in (1, NUM_STEPS):
            pairs = zip(one.model.parameters(), four.model.parameters(), strict=True)
            found[f"after step {step}"] = max(float((a - b).detach().abs().max()) for a, b in pairs)
    found["largest weight"] = max(float(p.detach().abs().max()) for p in one.model.parameters())
    return found


def peak_memory(split: str) -> float:
    """MiB that this process grows by in two steps on images of 160x160."""
    torch.set_num_threads(1)
    trainer = trainer_with(*SPLITS[split], "group", size=160, width=16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2):
        trainer.run_virtual_epoch()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def snippet_gradients() -> dict[str, Any]:
    """What the article's accumulating loop does with ten equal micro-batches and accumulation_step 4.

    The gradient of the loss of one micro-batch is 1, so that the sum of a step says how many were in it.
    """
    weight = torch.nn.Parameter(torch.zeros(()))
    sums = []
    for index in range(10):
        weight.sum().backward()
        if index % 4 == 0:
            sums.append(float(weight.grad))
            weight.grad = None
    return {"gradient of each step": sums, "left over": float(weight.grad)}


def main() -> None:
    torch.set_num_threads(1)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = {split: pool.apply(peak_memory, (split,)) for split in SPLITS}
    found = {
        "largest difference of a weight": {name: largest_difference(name) for name in ("group", "batch")},
        "peak memory in MiB": memory,
        "the article's loop": snippet_gradients(),
    }
    target = Path(__file__).parent / "results" / "accumulation.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
