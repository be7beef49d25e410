"""Training data without a length: each sample once in an epoch, exact resume, errors instead of hangs."""

from __future__ import annotations

import multiprocessing

import pytest
import torch
from iterable_data import InOrder, Numbers, OneShot
from torch.utils.data import DataLoader

from trainables.data.iterable_stream import IterableStream
from trainables.data.loader_stream import LoaderStream


def stream_of(dataset, **options):
    return IterableStream(dataset, **{"batch_size": 4, "seed": 0, **options})


def drawn(stream, num_batches):
    """Samples and random numbers of the next batches, batch by batch."""
    return [[part.tolist() for part in stream.next_step(1)[0]] for _ in range(num_batches)]


def epochs_of(batches, length):
    numbers = [number for batch in batches for number in batch[0]]
    return [numbers[start : start + length] for start in range(0, len(numbers), length)]


def test_two_workers_give_every_sample_once_and_resume_exactly_and_leave_no_process():
    whole = stream_of(Numbers(22), num_workers=2, shuffle=3)
    batches = drawn(whole, 6)  # 11 samples for each worker: batches of 4, 4, 4, 4, 3 and 3
    assert [len(batch[0]) for batch in batches] == [4, 4, 4, 4, 3, 3]
    assert sorted(epochs_of(batches, 22)[0]) == list(range(22))
    batches += drawn(whole, 3)
    state = whole.state_dict()
    rest = drawn(whole, 5)
    whole.close()
    resumed = stream_of(Numbers(22), num_workers=2, shuffle=3)
    resumed.load_state_dict(state)
    assert drawn(resumed, 5) == rest
    assert sorted(epochs_of(batches + rest, 22)[1]) == list(range(22))
    resumed.close()
    assert multiprocessing.active_children() == []


def test_workers_that_read_the_same_samples_are_refused_with_the_way_out():
    stream = stream_of(Numbers(20, split=False), num_workers=2)
    with pytest.raises(
        ValueError, match=r"workers 0 and 1 read the same samples .*\(Numbers\).*get_worker_info"
    ):
        drawn(stream, 2)
    assert multiprocessing.active_children() == []


def test_workers_of_a_dataloader_of_ones_own_that_read_the_same_samples_are_refused_too():
    same = DataLoader(InOrder(20), batch_size=4, num_workers=2, multiprocessing_context="forkserver")
    with pytest.raises(ValueError, match=r"two workers of the DataLoader over InOrder read the same"):
        drawn(LoaderStream(same), 2)
    one_batch = DataLoader(InOrder(4), batch_size=4)
    assert drawn(LoaderStream(one_batch), 2)[0] == drawn(LoaderStream(one_batch), 2)[1]


def test_data_that_can_be_read_once_are_an_error_in_a_worker_too():
    stream = stream_of(OneShot([torch.zeros(1)] * 5), num_workers=1)
    with pytest.raises(ValueError, match=r"gave no sample in epoch 2: it can be read only once"):
        drawn(stream, 3)
    assert multiprocessing.active_children() == []
