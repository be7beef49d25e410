"""Gradients added up over the ranks of a trial while the backward pass still runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

_BUCKET_BYTES = 25 * 2**20
"""As DistributedDataParallel has it (Li et al. 2020, arXiv:2006.15704)."""


class GradientSum:
    """Adds the gradients of a model up over all ranks, bucket by bucket as they become ready.

    DistributedDataParallel takes their mean, which is wrong where ranks have different numbers of valid
    targets, and wraps the model; here each rank's loss is weighted beforehand, and the model stays itself.
    Buckets are filled and sent in the order of the parameters from last to first, the same on every rank. A
    parameter without a gradient on any rank keeps none.

    Args:
        model: on its device. Parameters that require no gradient are not sent; that may change between steps.
        group: of torch.distributed, and of this alone: what else the ranks exchange during a backward pass is
            in no order with it.
    """

    def __init__(self, model: nn.Module, group: dist.ProcessGroup | None = None) -> None:
        self._group = group
        self._parameters = list(model.parameters())
        self._hooks: list[Any] = []
        self._trained: list[bool] = []
        self._buckets: list[_Bucket] = []
        self._of: dict[Tensor, _Bucket] = {}
        self._sent = 0
        self._expecting = False
        self._loss: Tensor | None = None
        self._loss_work: Any = None

    def expect(self, loss: Tensor) -> None:
        """Called before the last backward pass of a step: what it completes is sent.

        Args:
            loss: this rank's share of the step's loss, a scalar.
        """
        self._bucket_up()
        for bucket in self._buckets:
            bucket.begin()
        self._sent, self._expecting = 0, True
        self._loss = loss.detach().float().clone()
        self._loss_work = dist.all_reduce(self._loss, group=self._group, async_op=True)

    def finish(self) -> Tensor:
        """Called after it: every gradient is the sum over all ranks; returns the loss of the step, a scalar.

        Raises:
            RuntimeError: a parameter has got a gradient twice in one backward pass.
        """
        self._expecting = False
        for bucket in self._buckets[self._sent :]:
            bucket.send(self._group)
        for bucket in self._buckets:
            bucket.finish()
        assert self._loss is not None
        self._loss_work.wait()
        return self._loss

    def _bucket_up(self) -> None:
        trained = [parameter.requires_grad for parameter in self._parameters]
        if trained == self._trained:
            return
        self._trained = trained
        for hook in self._hooks:
            hook.remove()
        chosen = [parameter for parameter in reversed(self._parameters) if parameter.requires_grad]
        self._buckets = [_Bucket(parameters) for parameters in _cut(chosen)]
        self._of = {each: bucket for bucket in self._buckets for each in bucket.parameters}
        self._hooks = [each.register_post_accumulate_grad_hook(self._is_ready) for each in chosen]

    def _is_ready(self, parameter: Tensor) -> None:
        if not self._expecting:
            return
        self._of[parameter].is_ready(parameter)
        while self._sent < len(self._buckets) and self._buckets[self._sent].is_complete:
            self._buckets[self._sent].send(self._group)
            self._sent += 1


class _Bucket:
    """Parameters whose gradients travel together, each with a flag of whether there is one."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        number, first = len(parameters), parameters[0]
        self._flat = torch.zeros(
            number + sum(each.numel() for each in parameters), dtype=first.dtype, device=first.device
        )
        lengths = [number, *(each.numel() for each in parameters)]
        self._flags, *self._parts = self._flat.split(lengths)
        self._ready: set[Tensor] = set()
        self._work: Any = None

    @property
    def is_complete(self) -> bool:
        return len(self._ready) == len(self.parameters)

    def begin(self) -> None:
        self._ready, self._work = set(), None

    def is_ready(self, parameter: Tensor) -> None:
        if parameter in self._ready or self._work is not None:
            raise RuntimeError(
                "a parameter got a gradient twice in one backward pass, after it was sent to the other "
                "processes of the trial, as with torch.utils.checkpoint(use_reentrant=True); give it "
                "use_reentrant=False, or train with resources.workers_per_trial: 1"
            )
        self._ready.add(parameter)

    def send(self, group: dist.ProcessGroup | None) -> None:
        with torch.no_grad():
            for number, (parameter, part) in enumerate(zip(self.parameters, self._parts, strict=True)):
                gradient = parameter.grad
                if gradient is None:
                    part.zero_()
                elif gradient.is_sparse:
                    raise RuntimeError(
                        f"a parameter of shape {list(parameter.shape)} has a sparse gradient, which several "
                        "processes cannot add up; use sparse=False, or resources.workers_per_trial: 1"
                    )
                else:
                    part.view(gradient.shape).copy_(gradient)
                self._flags[number] = 0.0 if gradient is None else 1.0
        self._work = dist.all_reduce(self._flat, group=group, async_op=True)

    def finish(self) -> None:
        self._work.wait()
        with torch.no_grad():
            for number, (parameter, part) in enumerate(zip(self.parameters, self._parts, strict=True)):
                if parameter.grad is not None:
                    parameter.grad.copy_(part.view(parameter.shape))
                elif self._flags[number] > 0:  # the host waits for a device here only
                    parameter.grad = part.view(parameter.shape).clone()


def _cut(parameters: Sequence[Tensor]) -> list[list[Tensor]]:
    """Buckets of one type and device each, up to a size."""
    buckets: list[list[Tensor]] = []
    size = 0
    for parameter in parameters:
        last = buckets[-1][-1] if buckets else None
        alike = last is not None and (last.dtype, last.device) == (parameter.dtype, parameter.device)
        if not alike or size + parameter.nbytes > _BUCKET_BYTES:
            buckets.append([])
            size = 0
        buckets[-1].append(parameter)
        size += parameter.nbytes
    return buckets
