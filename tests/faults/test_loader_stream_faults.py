"""A user's DataLoader: one stream over its epochs, exact resume, and errors that name the source."""

import os
import signal
from typing import Any

import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
)

from trainables.data.loader_stream import LoaderStream


class Numbers(Dataset[int]):
    """The samples 0, 1, 2, …"""

    def __init__(self, num_samples: int) -> None:
        self.num_samples = num_samples

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> int:
        return index


class DeadlyNumbers(Numbers):
    """Whoever reads the last one is killed."""

    def __getitem__(self, index: int) -> int:
        if index == self.num_samples - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


def drawn(stream: LoaderStream, num_batches: int) -> list[Any]:
    """The next batches, tensors as lists."""
    batches = [stream.next_step(1)[0] for _ in range(num_batches)]
    return [batch.tolist() if isinstance(batch, torch.Tensor) else batch for batch in batches]


@pytest.mark.parametrize("attempt", range(8))
def test_a_worker_that_is_killed_is_named_once_whatever_is_noticed_of_it_first(attempt: int) -> None:
    """Its process is gone, or the batch before cannot be fetched from it: a race, so it is run often."""
    workers = {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": "fork"}
    loader = LoaderStream(DataLoader(DeadlyNumbers(12), **workers))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"^DataLoader worker \(pid(\(s\))? \d+\)"):
        drawn(loader, 12)
