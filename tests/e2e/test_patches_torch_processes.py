"""Private names of torch: each still is there and does what it is used for."""

from __future__ import annotations

import multiprocessing
from typing import Any

from torch.utils.data import DataLoader

from trainables.process.patches import loader_workers, shut_down_workers


def numbers(num_workers: int) -> Any:
    context = multiprocessing.get_context("fork") if num_workers else None
    data: Any = range(100)
    return DataLoader(data, num_workers=num_workers, multiprocessing_context=context)


def test_the_workers_of_a_loader_are_found_and_end_when_they_are_told_to() -> None:
    iterator = iter(numbers(2))
    next(iterator)
    workers = list(loader_workers(iterator))
    assert len(workers) == 2
    assert all(worker.is_alive() and worker.sentinel for worker in workers)
    shut_down_workers(iterator)
    assert not any(worker.is_alive() for worker in workers)
