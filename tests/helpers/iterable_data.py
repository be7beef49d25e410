"""Data without a length for tests; worker processes import this, so it imports little."""

from __future__ import annotations

import torch
from torch.utils.data import IterableDataset, get_worker_info


class Numbers(IterableDataset):
    """0, 1, 2, … each with a random number, in an order drawn at the start.

    With `split` each worker gives every W-th of that order.
    """

    def __init__(self, length, split=True):
        self.length, self.split = length, split

    def __iter__(self):
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info is not None and self.split else (0, 1)
        for number in torch.randperm(self.length)[first::step].tolist():
            yield number, torch.rand(())


class OneShot(IterableDataset):
    """Gives its samples once."""

    def __init__(self, samples):
        self.samples = iter(samples)

    def __iter__(self):
        return self.samples


class Unhandy(Numbers):
    """Holds what cannot be copied."""

    def __init__(self, length):
        super().__init__(length)
        self.opened = (number for number in range(length))


class Wrong(IterableDataset):
    """Finds something wrong at its fifth sample."""

    def __iter__(self):
        yield from range(4)
        raise ValueError("row 5 of table.csv: received 'x'; it must be a number")


class InOrder(IterableDataset):
    """0, 1, 2, … as lists of one number, all for each worker."""

    def __init__(self, length):
        self.length = length

    def __iter__(self):
        return iter([[number] for number in range(self.length)])
