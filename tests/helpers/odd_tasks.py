"""Tasks that misbehave in one virtual epoch, or whose data is drawn at random."""

import math
import random

import numpy as np
import torch
from small_trials import (
    digits_plan,
)
from tiny_tasks import AccuracyMetrics, DigitsTask


class OddTask(DigitsTask):
    """Misbehaves in virtual epoch `model.at`, in the way that `model.how` says."""

    def metrics(self):
        self.validations = getattr(self, "validations", 0) + 1
        return OddMetrics(self.options.model["how"] if self.validations == self.options.model["at"] else "")

    def loss(self, outputs, batch):
        loss = super().loss(outputs, batch)
        if outputs.requires_grad and getattr(self, "validations", 0) + 1 == self.options.model["at"]:
            if self.options.model["how"] == "diverge":
                return loss * torch.nan
            if self.options.model["how"] == "raise":
                raise RuntimeError("broken")
        return loss


class OddMetrics(AccuracyMetrics):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def compute(self):
        # The best is the first, so that later ones are saved only when they are due.
        metrics = {**super().compute(), "falling": -float(self._right == -1)}
        if self.how == "nan":
            metrics["falling"] = math.nan
        return {**metrics, "step": 3.0, "done": 1.0} if self.how == "clash" else metrics


class UnseededTask(DigitsTask):
    """Its data is drawn from the global random states."""

    @classmethod
    def load_data(cls, options):
        arrays = super().load_data(options)
        order = np.random.permutation(len(arrays["x"]))
        noise = torch.rand(len(order), 1).numpy() + random.random()
        return {"x": (arrays["x"][order] + noise).astype(np.float32), "y": arrays["y"][order]}


def odd_plan(folder, how, at, **changes):
    options = {"batch_size": 16, "model": {"how": how, "at": at}}
    fields = {"task": "odd_tasks:OddTask", "options": options, "metric": "falling", "checkpoint_every": 10}
    return digits_plan(folder, **{**fields, **changes})
