"""A task whose steps are slow."""

from __future__ import annotations

import time
from typing import Any

from tiny_tasks import DigitsTask
from torch import Tensor


class SlowTask(DigitsTask):
    """Each step takes three seconds more."""

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        if outputs.requires_grad:
            time.sleep(3.0)
        return super().loss(outputs, batch)
