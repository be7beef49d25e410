"""Sources that worker processes read in tests; little is imported with them."""

from __future__ import annotations

import os
import signal

import numpy as np
import torch

from trainables.data.threads import num_threads


class Asked:
    """A source of 22 numbers whose batches are what it was asked for."""

    num_randoms = 3

    def __len__(self) -> int:
        return 22

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[torch.Tensor, ...]:
        assert randoms is not None
        return torch.from_numpy(indices.copy()), torch.from_numpy(randoms.copy())


class Signed(Asked):
    """With who made the batch: its process, torch's threads and those that decode."""

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[torch.Tensor, ...]:
        maker = torch.tensor([os.getpid(), torch.get_num_threads(), num_threads()])
        return *super().batch(indices, randoms), maker


class Faulty(Asked):
    """Does something when it is asked for sample 7."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[torch.Tensor, ...]:
        if 7 in indices:
            if self.fault == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise {"value": ValueError, "type": TypeError}[self.fault]("sample 7 is cursed")
        return super().batch(indices, randoms)
