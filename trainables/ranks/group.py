"""The processes of one trial: which samples each one takes, and what they add up."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from trainables.process.process_state import seed_everything

_DTYPES = (
    *(torch.bool, torch.uint8, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
)
_MOST_DIMS = 8


def part_of(num_samples: int, rank: int, size: int) -> tuple[int, int]:
    """Where the part of one of `size` ranks begins and ends, of samples that stand in a row.

    Parts differ by one sample at most. Where there are fewer samples than ranks, a rank without any gets the
    first one, which must then count for nothing, see `Ranks.counts`.
    """
    start, stop = num_samples * rank // size, num_samples * (rank + 1) // size
    return (start, stop) if start < stop else (0, 1)


@dataclass(eq=False, kw_only=True)
class Ranks:
    """One process's view of all that train a trial: collective operations of torch's default group.

    Every one of them must be called by all ranks, in the same order.
    """

    rank: int
    """From 0: the process that reports and saves."""
    size: int
    """Processes, 2 or more."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where the trial is trained."""
    gradients: dist.ProcessGroup | None = None
    """The same processes, for gradients alone."""
    num_samples: int = 0
    """Of the micro-batch that is being trained, over all ranks."""

    @property
    def counts(self) -> bool:
        """Whether this rank has samples of that micro-batch, and does not only stand in."""
        return self.counts_in(self.num_samples)

    def counts_in(self, num_samples: int) -> bool:
        """The same of a micro-batch of so many samples over all ranks."""
        return num_samples * self.rank // self.size < num_samples * (self.rank + 1) // self.size

    def seed(self, seed: int, num_virtual_epochs: int) -> None:
        """Begin a virtual epoch: ranks other than 0 seed their random states, which no checkpoint holds."""
        if self.rank:
            sequence = np.random.SeedSequence([seed, 2, self.rank, num_virtual_epochs])
            seed_everything(int(sequence.generate_state(1, np.uint32)[0]))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, a new tensor; the same bits on each of them."""
        total = tensor.detach().clone()
        dist.all_reduce(total)
        return total

    def total(self, tensor: Tensor | None) -> Tensor | None:
        """As `sum`, of a tensor that ranks without a batch do not have; None where no rank has one."""
        header = torch.zeros(2 + _MOST_DIMS, dtype=torch.int64)
        if tensor is not None:
            header[:2] = torch.tensor([1 + _DTYPES.index(tensor.dtype), tensor.dim()])
            header[2 : 2 + tensor.dim()] = torch.tensor(tensor.shape, dtype=torch.int64)
        device = torch.device("cpu") if tensor is None else tensor.device
        header = header.to(self.device)
        dist.all_reduce(header, op=dist.ReduceOp.MAX)
        kind, dims, *shape = header.tolist()
        if not kind:
            return None
        is_other = tensor is not None and list(tensor.shape) != shape[:dims]
        unlike = torch.tensor(int(is_other), device=self.device)
        dist.all_reduce(unlike, op=dist.ReduceOp.MAX)
        if unlike:
            received = "none" if tensor is None else str(list(tensor.shape))
            raise TypeError(
                f"total() received a tensor of shape {received} here and of another shape in another process "
                "of the trial; it adds up sums and counts, and not what was collected of samples"
            )
        if tensor is None:
            tensor = torch.zeros(shape[:dims], dtype=_DTYPES[kind - 1])
        return self.sum(tensor.to(self.device)).to(device)

    def from_rank_0(self, tensors: Iterable[Tensor]) -> None:
        """Give these, in place, the values that they have on rank 0."""
        with torch.no_grad():
            for tensor in tensors:
                values = tensor.detach().contiguous()
                dist.broadcast(values.flatten().view(torch.uint8), src=0)  # not every type can be sent
                tensor.copy_(values)

    def send(self, state: Mapping[str, Any]) -> None:
        """On rank 0: send tensors, numbers and strings to all others, which `receive` them."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        content = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
        dist.broadcast(torch.tensor([len(content)]), src=0)
        dist.broadcast(content, src=0)

    def receive(self) -> dict[str, Any]:
        """On any other rank: what rank 0 sends."""
        length = torch.zeros(1, dtype=torch.int64)
        dist.broadcast(length, src=0)
        content = torch.zeros(int(length), dtype=torch.uint8)
        dist.broadcast(content, src=0)
        buffer = io.BytesIO(content.numpy().tobytes())
        return torch.load(buffer, map_location="cpu", weights_only=True)
