"""Batch normalization over the samples of all ranks, as one process with the whole micro-batch has it."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.ranks.group import Ranks


def synchronize(model: nn.Module, ranks: Ranks) -> None:
    """Let every batch normalization in the model take its statistics over all ranks while it trains.

    In evaluation nothing changes, nor do names and shapes of the state. Torch's own SyncBatchNorm is for GPUs
    alone, and would count the sample of a rank that only stands in.

    Raises:
        ValueError: one has a forward pass of its own, which this would replace.
    """

    @torch.compiler.disable  # a graph cannot hold the exchange
    def forward(module: Any, inputs: Tensor) -> Tensor:
        single = ranks.num_samples == 1 and inputs.numel() == inputs.shape[1]
        if not module.training or single:
            return type(module).forward(module, inputs)
        return _normalized(module, inputs, ranks)

    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            if not _is_torchs(module):
                raise ValueError(
                    f"{name} of the model, a {type(module).__name__}, has a forward pass of its own, which "
                    "takes its statistics from one process's part of each batch; use torch's BatchNorm, or "
                    "let each process normalize by itself: trial.sync_batch_norm: false"
                )
            module.forward = MethodType(forward, module)  # type: ignore[method-assign]


def _is_torchs(module: _BatchNorm) -> bool:
    """Whether its forward pass is torch's own, or that of one value where torch has none (`as_torch`)."""
    as_torch = type(module).forward is _BatchNorm.forward or getattr(type(module), "as_torch", False)
    return as_torch and "forward" not in vars(module)


def _normalized(module: Any, inputs: Tensor, ranks: Ranks) -> Tensor:
    module._check_input_dim(inputs)
    outputs, mean, variance, count = _Normalize.apply(inputs, module.weight, module.bias, module.eps, ranks)
    if module.track_running_stats and module.running_mean is not None:
        with torch.no_grad():
            module.num_batches_tracked.add_(1)
            momentum = module.momentum
            factor = 1.0 / float(module.num_batches_tracked) if momentum is None else momentum
            unbiased = variance * (count / (count - 1.0).clamp_min(1.0))
            module.running_mean.lerp_(mean.to(module.running_mean.dtype), factor)
            module.running_var.lerp_(unbiased.to(module.running_var.dtype), factor)
    return outputs


class _Normalize(torch.autograd.Function):
    """Inputs [N, C, ...] normalized by mean and variance over all ranks, which it returns with the count."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        values, dims = _precise(inputs), _all_but_channels(inputs)
        variance, mean = torch.var_mean(values, dim=dims, correction=0)
        number = inputs.numel() // inputs.shape[1] if ranks.counts else 0
        own = torch.cat([mean, variance, mean.new_full((1,), number)])
        gathered = [torch.empty_like(own) for _ in range(ranks.size)]
        dist.all_gather(gathered, own)
        # Chan et al. 1983: parts are put together without the cancellation of a sum of squares.
        means, variances, counts = torch.stack(gathered).split([len(mean), len(mean), 1], dim=1)
        count = counts.sum()
        mean = (means * counts).sum(0) / count
        variance = ((variances + (means - mean) ** 2) * counts).sum(0) / count
        deviation = torch.rsqrt(variance + eps)
        scale = deviation if weight is None else deviation * weight
        outputs = F.batch_norm(values, mean, variance, weight, bias, False, 0.0, eps)
        ctx.save_for_backward(inputs, mean, deviation, scale, count)
        ctx.counts = number > 0
        ctx.has_weight, ctx.has_bias = weight is not None, bias is not None
        ctx.mark_non_differentiable(mean, variance, count)
        return outputs.to(inputs.dtype), mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *unused: Any) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        inputs, mean, deviation, scale, count = ctx.saved_tensors
        shape, dims = (1, -1, *[1] * (inputs.dim() - 2)), _all_but_channels(inputs)
        gradient = _precise(gradient)
        normalized = (_precise(inputs) - mean.view(shape)) * deviation.view(shape)
        of_bias, of_weight = gradient.sum(dims), (gradient * normalized).sum(dims)
        sums = torch.stack([of_bias, of_weight])
        dist.all_reduce(sums)
        sums = sums / count
        centred = gradient - sums[0].view(shape) - normalized * sums[1].view(shape)
        # What only stands in has no part in the statistics, and so none in their gradient.
        of_inputs = (centred * scale.view(shape) * float(ctx.counts)).to(inputs.dtype)
        # Those of weight and bias are this rank's own: the step adds them up as all others.
        return of_inputs, of_weight if ctx.has_weight else None, of_bias if ctx.has_bias else None, None, None


def _all_but_channels(inputs: Tensor) -> tuple[int, ...]:
    return (0, *range(2, inputs.dim()))


def _precise(values: Tensor) -> Tensor:
    """Statistics are not taken in half precision."""
    return values if values.dtype == torch.float64 else values.float()
