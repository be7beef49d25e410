"""What a task may give as data, and how it becomes batches."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler

from trainables.data.source import ArraySource, BatchSource, DatasetSource, JoinedSource, as_source, to_device
from trainables.data.stream import SampleStream


class Squares(Dataset):
    """(n, n squared) as a dict, and a count of the samples read."""

    def __init__(self, length):
        self.length, self.num_read = length, 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        assert isinstance(index, int)
        self.num_read += 1
        return {"x": torch.tensor([float(index)]), "y": index**2}


class WholeBatches(Squares):
    def __getitems__(self, indices):
        return [{"x": torch.tensor([float(i)]), "y": i**2} for i in indices]


class Pair(NamedTuple):
    image: torch.Tensor
    mask: torch.Tensor


class Noted:
    """A source whose samples are (number, the random numbers given); `value` sets sources apart."""

    def __init__(self, length, num_randoms, value, kind=tuple):
        self.length, self.num_randoms, self.value, self.kind = length, num_randoms, value, kind

    def __len__(self):
        return self.length

    def batch(self, indices, randoms):
        assert randoms is None or randoms.shape == (len(indices), self.num_randoms)
        first = np.zeros(len(indices)) if randoms is None else randoms[:, :1].sum(1)
        x, y = torch.from_numpy(indices + self.value), torch.from_numpy(first)
        return (
            {"x": x, "y": [y]} if self.kind is dict else x if self.kind is torch.Tensor else self.kind((x, y))
        )


def test_arrays_become_tensors_row_by_row():
    source = as_source((np.arange(12.0).reshape(4, 3), torch.arange(4), np.arange(4, dtype=np.uint8)))
    assert isinstance(source, ArraySource)
    x, y, z = source.batch(np.array([3, 1]), None)
    assert (x.dtype, y.dtype, z.dtype) == (torch.float32, torch.int64, torch.uint8)
    assert x.tolist() == [[9.0, 10.0, 11.0], [3.0, 4.0, 5.0]]
    assert y.tolist() == z.tolist() == [3, 1]


def test_batches_of_shared_read_only_arrays_can_be_written_into():
    shared = np.arange(6.0, dtype=np.float32)
    shared.flags.writeable = False
    (batch,) = ArraySource(shared).batch(np.array([0, 1]), None)
    batch += 1
    assert shared[0] == 0


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"arrays have \[4, 5\] rows; they must have the same number"):
        as_source((np.zeros(4), np.zeros(5)))


def test_an_empty_tuple_is_refused():
    with pytest.raises(ValueError, match="must hold at least one array"):
        as_source(())


def test_a_dataset_is_read_by_index_and_collated():
    dataset = Squares(10)
    source = as_source(dataset)
    assert isinstance(source, DatasetSource)
    batch = source.batch(np.array([7, 2]), None)
    assert batch["x"].tolist() == [[7.0], [2.0]]
    assert batch["y"].tolist() == [49, 4]
    assert (len(source), dataset.num_read) == (10, 2)


def test_a_dataset_that_reads_whole_batches_is_asked_for_them():
    dataset = WholeBatches(10)
    batch = as_source(dataset).batch(np.array([7, 2]), None)
    assert batch["y"].tolist() == [49, 4]
    assert dataset.num_read == 0


def test_arrays_that_are_no_pairs_are_said_with_the_method_that_returned_them():
    with pytest.raises(
        ValueError, match=r"^train_data\(\): arrays have \[4, 5\] rows; they must have the same"
    ):
        as_source((np.zeros(4), np.zeros(5)), "train_data()")


def test_a_source_stays_what_it_is():
    source = Noted(3, 2, 0)
    assert isinstance(source, BatchSource)
    assert as_source(source) is source


@pytest.mark.parametrize(
    ("data", "name", "instead"),
    [
        ([1, 2], "list", ""),
        (None, "NoneType", ""),
        ((pair for pair in [(1, 2)]), "generator", r": return list\(\.\.\.\) of it"),
        ([np.zeros(2), np.zeros(2)], "list", r": return a tuple of arrays or tensors alone, such as"),
        ((np.zeros(2), [1, 2]), "tuple", r": return a tuple of arrays or tensors alone, such as"),
    ],
)
def test_other_data_is_refused_with_what_it_may_be(data, name, instead):
    message = rf"valid_data\(\) is a {name}; it must be a BatchSource, .*DataLoader{instead}"
    with pytest.raises(TypeError, match=message):
        as_source(data, "valid_data()")


def test_a_list_of_samples_is_a_dataset():
    x, y = as_source([(number, number**2) for number in range(5)]).batch(np.array([4, 2]), None)
    assert (x.tolist(), y.tolist()) == ([4, 2], [16, 4])
    assert as_source([{"x": 1}, {"x": 2}]).batch(np.array([1]), None)["x"].tolist() == [2]


@pytest.mark.parametrize("shuffle", [False, True])
def test_of_a_loader_the_dataset_and_the_way_to_make_batches_are_taken(shuffle):
    loader = DataLoader(Squares(5), batch_size=2, shuffle=shuffle, drop_last=True)
    source = as_source(loader)
    assert len(source) == 5
    assert source.batch(np.array([3, 1]), None)["y"].tolist() == [9, 1]
    own = as_source(DataLoader(Squares(5), collate_fn=len, shuffle=shuffle))
    assert own.batch(np.arange(3), None) == 3
    with pytest.raises(TypeError, match="is a DataLoader; it must be"):
        as_source(DataLoader(Squares(5), sampler=SubsetRandomSampler([1])))


@pytest.mark.parametrize(
    "samples", [[(1, 2), (3, None)], [None, (1, 2)], [{"a": 1}, {"a": None}], [(1, {"a": [None]})]]
)
def test_samples_that_are_none_are_named(samples):
    with pytest.raises(TypeError, match=rf"1 of {len(samples)} samples of a batch are None or hold None"):
        DatasetSource(samples).batch(np.arange(len(samples)), None)


def test_joined_sources_are_one_after_the_other_in_the_order_asked_for():
    joined = JoinedSource(Noted(4, 2, 100), Noted(3, 2, 200))
    assert len(joined) == 7
    randoms = np.arange(10.0).reshape(5, 2)
    x, y = joined.batch(np.array([5, 0, 6, 3, 4]), randoms)
    assert x.tolist() == [201, 100, 202, 103, 200]
    assert y.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_each_joined_source_gets_as_many_random_numbers_as_it_wants():
    joined = JoinedSource(Noted(4, 3, 0), Noted(4, 0, 0))
    assert joined.num_randoms == 3
    _, y = joined.batch(np.array([1, 6]), np.full((2, 3), 0.5))
    assert y.tolist() == [0.5, 0.0]
    assert joined.batch(np.array([1, 6]), None)[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("indices", [[0, 1], [5, 4], [5, 0]])
def test_batches_of_one_joined_source_alone(indices):
    joined = JoinedSource(Noted(4, 1, 0), Noted(4, 1, 0))
    x, _ = joined.batch(np.array(indices), None)
    assert x.tolist() == [index - 4 * (index >= 4) for index in indices]


@pytest.mark.parametrize("kind", [tuple, list, dict, lambda pair: Pair(*pair), torch.Tensor])
def test_joined_batches_keep_their_form(kind):
    joined = JoinedSource(Noted(2, 1, 0, kind), Noted(2, 1, 10, kind))
    batch, alone = joined.batch(np.array([2, 1]), None), Noted(2, 1, 0, kind).batch(np.array([0]), None)
    assert type(batch) is type(alone)
    x = batch if isinstance(batch, torch.Tensor) else batch["x"] if isinstance(batch, dict) else batch[0]
    assert x.tolist() == [10, 1]


def test_a_stream_over_joined_sources_draws_every_sample_of_both():
    stream = SampleStream(JoinedSource(Noted(5, 1, 0), Noted(4, 2, 100)), batch_size=3, seed=0)
    x = torch.cat([stream.next_step(1)[0][0] for _ in range(3)])
    assert sorted(x.tolist()) == [0, 1, 2, 3, 4, 100, 101, 102, 103]
    assert x.tolist() != sorted(x.tolist())


def test_to_device_goes_through_every_form():
    batch = {"a": torch.ones(2), "b": [torch.ones(2), (torch.ones(2), "name")], "c": Pair(torch.ones(1), 3)}
    moved = to_device(batch, torch.device("meta"))
    assert moved["a"].is_meta
    assert moved["b"][0].is_meta
    assert moved["b"][1][0].is_meta
    assert moved["b"][1][1] == "name"
    assert isinstance(moved["c"], Pair)
    assert moved["c"].image.is_meta
    assert moved["c"].mask == 3


def test_channels_last_is_for_images_only():
    batch = to_device(
        (torch.rand(2, 3, 4, 4), torch.ones(2, 3, 4, 4, dtype=torch.int64), torch.rand(2, 3, 4)),
        torch.device("cpu"),
        channels_last=True,
    )
    assert batch[0].is_contiguous(memory_format=torch.channels_last)
    assert batch[1].is_contiguous()
    assert batch[2].is_contiguous()
