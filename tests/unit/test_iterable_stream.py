"""Training data without a length: each sample once in an epoch, exact resume, errors instead of hangs."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from iterable_data import Numbers, OneShot, Unhandy, Wrong
from properties import for_all
from tiny_tasks import DigitsTask
from torch.utils.data import IterableDataset

from trainables.build import build_trainer
from trainables.data.iterable_stream import IterableStream
from trainables.data.same_contents import digest
from trainables.data.source import as_source


def stream_of(dataset, **options):
    return IterableStream(dataset, **{"batch_size": 4, "seed": 0, **options})


def drawn(stream, num_batches):
    """Samples and random numbers of the next batches, batch by batch."""
    return [[part.tolist() for part in stream.next_step(1)[0]] for _ in range(num_batches)]


def epochs_of(batches, length):
    numbers = [number for batch in batches for number in batch[0]]
    return [numbers[start : start + length] for start in range(0, len(numbers), length)]


@for_all(
    examples=15,
    many=300,
    length=st.integers(1, 30),
    batch_size=st.integers(1, 6),
    shuffle=st.integers(0, 12),
    before=st.integers(0, 14),
    after=st.integers(1, 8),
)
def test_resuming_is_exact_at_any_place_whatever_the_sizes(length, batch_size, shuffle, before, after):
    batch_size = min(batch_size, length)
    whole = stream_of(Numbers(length), batch_size=batch_size, shuffle=shuffle)
    drawn(whole, before)
    resumed = stream_of(Numbers(length), batch_size=batch_size, shuffle=shuffle)
    resumed.load_state_dict(whole.state_dict())
    assert drawn(resumed, after) == drawn(whole, after)
    assert resumed.state_dict() == whole.state_dict()


@for_all(examples=10, many=200, length=st.integers(1, 30), shuffle=st.integers(0, 12))
def test_every_epoch_has_every_sample_once_in_an_order_of_its_own(length, shuffle):
    stream = stream_of(Numbers(length), batch_size=1, shuffle=shuffle)
    orders = epochs_of(drawn(stream, 3 * length), length)
    assert [sorted(order) for order in orders] == [list(range(length))] * 3
    if length > 10:
        assert len(set(map(tuple, orders))) == 3


def test_samples_of_a_single_number_with_an_odd_stride_are_compared_too():
    column = torch.from_numpy(np.arange(3, dtype=np.float32)[:, None])
    assert column[0].stride() == (0,)
    assert digest(column[0]) == digest(torch.zeros(1)) != digest(column[1])


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Numbers(0), r"\(Numbers\) gave no sample; its __iter__ must"),
        (OneShot([]), r"\(OneShot\) gave no sample"),
        (OneShot([torch.zeros(1)] * 5), r"gave no sample in epoch 2: it can be read only once"),
        (Numbers(3), r"batch_size is 4 and the training data \(Numbers\) is shorter: it has only 3 samples"),
        (Wrong(), r"^row 5 of table\.csv: received 'x'; it must be a number$"),
    ],
    ids=["empty", "empty iterator", "one-shot", "short", "wrong"],
)
def test_what_cannot_be_trained_on_is_an_error_and_never_a_hang(dataset, message):
    with pytest.raises(ValueError, match=message):
        drawn(stream_of(dataset), 3)


@pytest.mark.filterwarnings("ignore:Got pickle error")
def test_what_cannot_be_copied_to_a_worker_is_said_and_can_be_read_without():
    with pytest.raises(ValueError, match=r"\(Unhandy\) cannot be copied to worker processes"):
        drawn(stream_of(Unhandy(8), num_workers=1), 1)
    assert len(drawn(stream_of(Unhandy(8)), 1)[0][0]) == 4


def test_reading_in_the_trials_process_leaves_its_random_states_alone():
    torch.manual_seed(5)
    alone = torch.rand(3)
    torch.manual_seed(5)
    stream = stream_of(Numbers(10))
    found = []
    for _ in range(3):
        drawn(stream, 2)
        found.append(torch.rand(()))
    assert torch.equal(torch.stack(found), alone)


def test_a_position_of_another_number_of_workers_is_refused():
    state = stream_of(Numbers(10), num_workers=2).state_dict()
    with pytest.raises(ValueError, match=r"'num_workers': \(2, 1\).*resume with the same"):
        stream_of(Numbers(10), num_workers=1).load_state_dict(state)


class Rows(IterableDataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __iter__(self):
        return zip(self.x, self.y, strict=True)


class StreamTask(DigitsTask):
    shuffle_buffer = 50

    def train_data(self) -> Any:
        return Rows(self.arrays["x"][:100], self.arrays["y"][:100])


def trainer_of(**arguments):
    options = StreamTask.Options(batch_size=8)
    arrays = StreamTask.load_data(options)
    unit = {"unit": "steps", "count": 10, "num_virtual_epochs": 2, "device": torch.device("cpu")}
    return build_trainer(StreamTask, options, arrays, **{**unit, **arguments})


def test_a_task_may_return_an_iterable_dataset_and_resumes_bit_for_bit():
    whole = trainer_of()
    first = whole.run_virtual_epoch()
    weights, state = copy.deepcopy((whole.weights(), whole.state_dict()))
    second = whole.run_virtual_epoch()
    assert second["epoch"] == 1.0
    resumed = trainer_of()
    resumed.load(weights, state)
    again = resumed.run_virtual_epoch()
    times = {"samples_per_second"}
    assert again.keys() == second.keys()
    assert all(again[name] == value for name, value in second.items() if name not in times)
    assert all(torch.equal(resumed.weights()[name], value) for name, value in whole.weights().items())
    assert np.isfinite(first["train_loss"])


def test_epochs_of_data_without_a_length_are_a_clear_error():
    with pytest.raises(
        ValueError, match=r"\{epochs: 1\} but the training data has no length; use \{steps: N\}"
    ):
        trainer_of(unit="epochs", count=1)


def test_validation_data_without_a_length_is_a_clear_error():
    with pytest.raises(TypeError, match=r"an IterableDataset: that can only be train_data\(\)"):
        as_source(Numbers(5))
