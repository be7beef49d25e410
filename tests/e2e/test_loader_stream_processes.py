"""A user's DataLoader: one stream over its epochs, exact resume, and errors that name the source."""

import multiprocessing
import os
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


class NoisyNumbers(Numbers):
    """With a random number of the process that reads them."""

    def __getitem__(self, index: int) -> Any:
        return index, torch.rand(())


class ProcessNumbers(Numbers):
    """Which process reads a sample."""

    def __getitem__(self, index: int) -> int:
        return os.getpid()


class RefusedNumbers(Numbers):
    """The connection that they come from breaks."""

    def __getitem__(self, index: int) -> int:
        raise ConnectionResetError("the server of the numbers has gone")


def drawn(stream: LoaderStream, num_batches: int) -> list[Any]:
    """The next batches, tensors as lists."""
    batches = [stream.next_step(1)[0] for _ in range(num_batches)]
    return [batch.tolist() if isinstance(batch, torch.Tensor) else batch for batch in batches]


def shuffled(seed: int = 7, **options: Any) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(Numbers(10), batch_size=3, shuffle=True, generator=generator, **options)


@pytest.mark.parametrize(
    ("workers", "seconds"), [({}, 1000), ({"num_workers": 1, "multiprocessing_context": "fork"}, 0.1)]
)
def test_a_broken_connection_of_a_dataset_is_told_as_it_is(
    workers: dict[str, Any], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without workers there is none to wait for."""
    monkeypatch.setattr("trainables.data.workers.DYING_SECONDS", seconds)
    loader = LoaderStream(DataLoader(RefusedNumbers(3), **workers))
    with pytest.raises(ConnectionResetError, match="the server of the numbers has gone"):
        drawn(loader, 12)


def test_a_closed_stream_has_ended_the_workers_of_its_epoch() -> None:
    loader = LoaderStream(DataLoader(Numbers(9), num_workers=2, multiprocessing_context="fork"))
    drawn(loader, 3)
    assert len(multiprocessing.active_children()) == 2
    loader.close()
    assert multiprocessing.active_children() == []


def test_persistent_workers_are_started_once() -> None:
    workers = {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": "forkserver"}
    loader = LoaderStream(DataLoader(ProcessNumbers(2), **workers))  # type: ignore[arg-type]
    readers = {pid for batch in drawn(loader, 9) for pid in batch}
    assert len(readers) == 1
    assert os.getpid() not in readers


@pytest.mark.parametrize("num_before", [0, 2, 4, 6, 9])
def test_resume_with_persistent_workers_is_exact(num_before: int) -> None:
    workers = {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": "fork"}
    whole = LoaderStream(shuffled(**workers))
    drawn(whole, num_before)
    state = whole.state_dict()
    resumed = LoaderStream(shuffled(seed=0, **workers))
    resumed.load_state_dict(state)
    assert drawn(resumed, 8) == drawn(whole, 8)


@pytest.mark.parametrize("num_before", [2, 6])
def test_resume_with_new_workers_in_each_epoch_repeats_their_random_numbers(num_before: int) -> None:
    def draw(loader: LoaderStream, num: int) -> list[Any]:
        return [[part.tolist() for part in loader.next_step(1)[0]] for _ in range(num)]

    def loader(seed: int) -> DataLoader:
        generator = torch.Generator().manual_seed(seed)
        workers = {"num_workers": 1, "multiprocessing_context": "fork"}
        return DataLoader(NoisyNumbers(10), batch_size=3, shuffle=True, generator=generator, **workers)  # type: ignore[arg-type]

    whole = LoaderStream(loader(7))
    draw(whole, num_before)
    state = whole.state_dict()
    resumed = LoaderStream(loader(0))
    resumed.load_state_dict(state)
    assert draw(resumed, 5) == draw(whole, 5)
