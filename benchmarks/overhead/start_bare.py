"""The trial of benchmarks/overhead/start.py as written with Ray alone: init, an actor, a plain loop.

Prints `step SECONDS` and `report SECONDS` since the epoch: when the first step begins, and when the driver
has the first report. Without the dashboard, and the statistics are off in the environment, as `tune-search`
has it too.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import ray
import torch
from torch.nn.functional import cross_entropy

from trainables.networks.unet import UNet
from trainables.segmentation.digits import load_digits_arrays
from trainables.segmentation.options import DigitsOptions

NUM_CLASSES = 11


class Trial:
    """Trains the first virtual epoch and validates."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        arrays = load_digits_arrays(DigitsOptions(source="digits"))
        mean, std = torch.from_numpy(arrays["mean"]), torch.from_numpy(arrays["std"])
        self.parts = {}
        for part in ("train", "valid"):
            images = torch.from_numpy(arrays[f"{part}_inputs"]).float() / 255
            images = (images - mean) / std
            masks = torch.from_numpy(arrays[f"{part}_targets"]).long()
            self.parts[part] = (images.permute(0, 3, 1, 2).contiguous(), masks)
        self.model = UNet(in_channels=len(mean), num_classes=NUM_CLASSES, width=8, depth=2)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def virtual_epoch(self, steps: int, batch_size: int) -> dict[str, float]:
        began = time.time()
        images, masks = self.parts["train"]
        order = torch.randperm(len(images))
        self.model.train()
        for step in range(steps):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            loss = cross_entropy(self.model(images[chosen]), masks[chosen])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return {"began": began, "loss": float(loss), "miou": self.validate()}

    def validate(self) -> float:
        images, masks = self.parts["valid"]
        confusion = np.zeros((NUM_CLASSES, NUM_CLASSES), dtype=np.int64)
        self.model.eval()
        with torch.inference_mode():
            for start in range(0, len(images), 32):
                found = self.model(images[start : start + 32]).argmax(1)
                both = masks[start : start + 32] * NUM_CLASSES + found
                confusion += (
                    torch.bincount(both.flatten(), minlength=NUM_CLASSES**2).view(NUM_CLASSES, -1).numpy()
                )
        hits = np.diag(confusion)
        return float(np.mean(hits / np.maximum(1, confusion.sum(0) + confusion.sum(1) - hits)))


def main() -> None:
    ray.init("local", include_dashboard=False)
    actor = ray.remote(num_cpus=1)(Trial).remote()
    report = ray.get(actor.virtual_epoch.remote(int(sys.argv[1]), int(sys.argv[2])))
    print(f"report {time.time()}", f"step {report['began']}", sep="\n", flush=True)
    ray.shutdown()


if __name__ == "__main__":
    main()
