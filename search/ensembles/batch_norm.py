"""Running statistics of batch normalization for averaged weights: means of them are those of no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.data.batches import inputs_of, to_device
from trainables.training.trainer import Trainer

BATCHES = 50
"""Of training data, from which statistics are estimated."""


def to_estimate(model: nn.Module, weights: Sequence[Mapping[str, Tensor]]) -> list[_BatchNorm]:
    """The normalizations whose statistics differ among these weights; those of frozen ones do not."""
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm)
        and module.running_mean is not None
        and any(
            not torch.equal(each[key], weights[0][key])
            for key in (f"{name}.running_mean".lstrip("."), f"{name}.running_var".lstrip("."))
            for each in weights[1:]
        )
    ]


def estimate(
    trainer: Trainer,
    model: nn.Module,
    modules: Sequence[_BatchNorm],
    stream: Mapping[str, Any],
    progress: Callable[[int, int], None],
) -> None:
    """Set the statistics of these modules to their means over training batches, which are always the same.

    Unlike `torch.optim.swa_utils.update_bn` all else is in evaluation mode, so that dropout draws nothing.

    Args:
        stream: state of the training stream from which batches are drawn.
    """
    if not modules:
        return
    trainer.stream.load_state_dict(stream)
    model.eval()
    momenta = [module.momentum for module in modules]
    for module in modules:
        module.reset_running_stats()
        module.momentum = None  # of all batches alike
        module.train()
    with torch.no_grad(), trainer.precision.autocast():
        for number in range(BATCHES):
            (batch,) = trainer.stream.next_step(1)
            batch = to_device(batch, trainer.device, trainer.channels_last)
            model(inputs_of(batch, type(trainer.task).__name__))
            progress(number + 1, BATCHES)
    for module, momentum in zip(modules, momenta, strict=True):
        module.momentum = momentum
    model.eval()
