"""A task that takes as much of a GPU as it is told, for trials that share one."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.options import TrialOptions
from trainables.task import Task

_LONGEST_WAIT = 90.0


class HoldingTask(Task):
    """Digits, and in each forward pass `model.hold` of the device's memory beside them.

    Where `data.processes` is given, no validation ends before so many processes have come to theirs, each
    with a trial of its own; each notes in `data.folder` which devices it sees. Without a GPU a pass that
    would take more than `data.share` raises what torch raises there.
    """

    @classmethod
    def load_data(cls, options: TrialOptions) -> dict[str, np.ndarray]:
        digits = load_digits()
        return {"x": (digits.data / 16).astype(np.float32), "y": digits.target.astype(np.int64)}

    def train_data(self) -> Any:
        return self.arrays["x"][:1200], self.arrays["y"][:1200]

    def valid_data(self) -> Any:
        return self.arrays["x"][1200:], self.arrays["y"][1200:]

    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, model: nn.Module, batch: Any) -> Any:
        held = self._take(batch[0].device) if model.training else None
        outputs = model(batch[0])
        del held
        return outputs

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        return F.cross_entropy(outputs, batch[1])

    def metrics(self) -> Accuracy:
        if "processes" in self.options.data:
            self._meet()
        return Accuracy()

    def _take(self, device: torch.device) -> Tensor | None:
        share = float(self.options.model.get("hold", 0.0))
        if device.type == "cuda":
            total = torch.cuda.get_device_properties(device).total_memory
            return torch.empty(int(share * total), dtype=torch.uint8, device=device)
        if share > self.options.data.get("share", 1.0):
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {share:g} of the device")
        return None

    def _meet(self) -> None:
        folder, wanted = Path(self.options.data["folder"]), int(self.options.data["processes"])
        note = folder / f"{os.getpid()}.part"
        note.write_text(json.dumps({"visible": os.environ.get("CUDA_VISIBLE_DEVICES")}), encoding="utf-8")
        note.rename(note.with_suffix(".json"))
        ends = time.monotonic() + _LONGEST_WAIT
        while (there := len(list(folder.glob("*.json")))) < wanted:
            if time.monotonic() > ends:
                raise TimeoutError(f"{there} processes came to their validation; {wanted} must do so at once")
            time.sleep(0.02)


class Accuracy:
    """The share of right answers."""

    def __init__(self) -> None:
        self._right: Any = 0
        self._all = 0

    def update(self, outputs: Tensor, batch: Any) -> None:
        self._right = self._right + (outputs.argmax(1) == batch[1]).sum()
        self._all += len(batch[1])

    def compute(self) -> dict[str, float]:
        return {"accuracy": float(self._right) / self._all}


class WrongLabelTask(HoldingTask):
    """Its last labels are one beyond the classes, and nobody checks that before the loss."""

    def train_data(self) -> Any:
        x, y = super().train_data()
        return x, np.where(np.arange(len(y)) % 7 == 0, 10, y)
