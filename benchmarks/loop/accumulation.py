"""Four accumulated micro-batches of 8 against one batch of 32: weights, and memory.

    python -m benchmarks.loop.accumulation     prints the numbers, writes accumulation.json beside it
    python -m benchmarks.loop.accumulation --figure docs/training_loop.png

The differences repeat exactly on one machine; the memory is the process's peak, in a fresh process each.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainables.build import build_trainer, load_arrays
from trainables.segmentation import SegmentationOptions, SegmentationTask
from trainables.training.trainer import Trainer

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


def largest_differences(normalization: str) -> dict[str, Any]:
    """Between the weights of the two ways, after each step."""
    one, four = (trainer_with(*split, normalization) for split in SPLITS.values())
    found = []
    for _ in range(NUM_STEPS):
        one.run_virtual_epoch()
        four.run_virtual_epoch()
        pairs = zip(one.model.parameters(), four.model.parameters(), strict=True)
        found.append(max(float((a - b).detach().abs().max()) for a, b in pairs))
    largest = max(float(weight.detach().abs().max()) for weight in one.model.parameters())
    return {"by step": found, "largest weight": largest}


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
            assert weight.grad is not None
            sums.append(float(weight.grad))
            weight.grad = None
    assert weight.grad is not None
    return {"gradient of each step": sums, "left over": float(weight.grad)}


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Differences over the steps, and the memory of both ways."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    for name, result in found["largest difference of a weight"].items():
        left.semilogy(range(1, NUM_STEPS + 1), result["by step"], marker=".", label=f"{name} normalization")
    left.set_xlabel("optimizer step")
    left.set_ylabel("largest difference of a weight")
    left.legend(frameon=False)
    right.bar(list(SPLITS), [found["peak memory in MiB"][split] for split in SPLITS], width=0.5)
    right.set_ylabel("peak memory in MiB")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--figure", type=Path, help="draw it into this PNG too")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = {split: pool.apply(peak_memory, (split,)) for split in SPLITS}
    found = {
        "largest difference of a weight": {name: largest_differences(name) for name in ("group", "batch")},
        "peak memory in MiB": memory,
        "the article's loop": snippet_gradients(),
    }
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    if arguments.figure is not None:
        draw(found, arguments.figure)


if __name__ == "__main__":
    main()
