"""What a try of `batch_size: auto` counts: a step that the optimizer takes, its state, and a validation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_trials import CPU
from tiny_tasks import DigitsTask
from torch import Tensor, nn

from benchmarks.gpu.cases import fp16_on_a_cpu
from trainables.batch_probe import BatchProbe, largest_for_all, less_margin
from trainables.training.trainer import Trainer


class LargeValidationTask(DigitsTask):
    """Has memory for a training batch of any size, and for ten samples of a validation."""

    def forward(self, model: nn.Module, batch: Any) -> Any:
        if not model.training and len(batch[0]) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(model, batch)


class SteepTask(DigitsTask):
    """In fp16 the gradients of its first steps overflow, at the scale that a scaler begins with."""

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        return 100.0 * super().loss(outputs.float(), batch)


class Watching(BatchProbe):
    """Keeps the trainers that it has tried."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tried: list[Trainer] = []

    def _train(self, trainer: Trainer) -> None:
        super()._train(trainer)
        self.tried.append(trainer)


def test_a_validation_that_does_not_fit_is_found_before_the_search(small_machine: None) -> None:
    probe = BatchProbe("test_batch_probe:LargeValidationTask", CPU)
    assert probe.fits({"valid_batch_size": 10}, 64)
    assert not probe.fits({"valid_batch_size": 11}, 2)
    found = largest_for_all(probe, [{"valid_batch_size": 11}], bounded=True)
    assert found.size == 0
    assert found.bound.startswith("a validation does not fit into memory with")
    assert "lower valid_batch_size" in found.bound


@pytest.mark.parametrize("optimizer", [{"name": "nadam"}, {"name": "sgd", "lr": 0.1, "momentum": 0.9}])
def test_steps_that_fp16_skips_are_not_the_ones_that_count(
    small_machine: None, optimizer: dict[str, Any]
) -> None:
    probe = Watching("test_batch_probe:SteepTask", CPU)
    with fp16_on_a_cpu(CPU):
        assert probe.fits({"precision": "fp16", "optimizer": optimizer}, 16)
    (trainer,) = probe.tried
    assert trainer.precision.scaler.get_scale() < 2.0**15  # two steps alone would be skipped both
    assert trainer.optimizer.state


def test_on_a_gpu_a_part_of_the_share_is_left_free() -> None:
    assert less_margin(0.25) == pytest.approx(0.2375)
    assert less_margin(1.0) == pytest.approx(0.95)
    assert less_margin(0.0) == 0.0
