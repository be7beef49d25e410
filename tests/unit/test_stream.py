"""The endless stream of samples: its order is a pure function, a position in it one number."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from trainables.data.loader_stream import LoaderStream
from trainables.data.source import ArraySource
from trainables.data.stream import SampleStream


class Recorded:
    """A source of `length` numbers whose batches are what it was asked for: (indices, randoms)."""

    def __init__(self, length, num_randoms=0):
        self._length, self.num_randoms = length, num_randoms

    def __len__(self):
        return self._length

    def batch(self, indices, randoms):
        return torch.from_numpy(indices.copy()), torch.from_numpy(randoms.copy())


def drawn(stream, num_batches):
    """Indices and random numbers of the next batches, sample by sample."""
    batches = [stream.next_step(1)[0] for _ in range(num_batches)]
    return [torch.cat(parts) for parts in zip(*batches, strict=True)]


def sizes(step):
    return [len(batch[0]) for batch in step]


def test_every_epoch_has_every_sample_once_in_an_order_of_its_own():
    order, _ = drawn(SampleStream(Recorded(12), batch_size=4, seed=0), 30)
    epochs = order.reshape(10, 12)
    assert all(sorted(row.tolist()) == list(range(12)) for row in epochs)
    assert len({tuple(row.tolist()) for row in epochs}) == 10


def test_seeds_give_different_orders_and_different_random_numbers():
    first, second = (drawn(SampleStream(Recorded(50, 3), batch_size=10, seed=s), 5) for s in (0, 1))
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


@pytest.mark.parametrize("num_randoms", [1, 4, 5, 8])
def test_order_and_random_numbers_do_not_depend_on_the_batch_size(num_randoms):
    by_size = [
        drawn(SampleStream(Recorded(10, num_randoms), batch_size=size, seed=5), 60 // size)
        for size in (1, 2, 3, 10)
    ]
    for indices, randoms in by_size[1:]:
        assert torch.equal(indices, by_size[0][0])
        assert torch.equal(randoms, by_size[0][1])


def test_random_numbers_are_uniform_and_never_those_of_another_sample():
    _, randoms = drawn(SampleStream(Recorded(100, 8), batch_size=100, seed=0), 50)
    assert randoms.shape == (5000, 8)
    assert randoms.unique().numel() == randoms.numel()
    assert 0 <= randoms.min() < randoms.max() < 1
    np.testing.assert_allclose(randoms.mean(0), 0.5, atol=0.02)
    np.testing.assert_allclose(np.corrcoef(randoms.T), np.eye(8), atol=0.05)


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 5, 9])
@pytest.mark.parametrize("whole_epochs", [False, True])
def test_resume_is_exact_within_a_epoch_and_across_its_end(cut, whole_epochs):
    def stream():
        return SampleStream(Recorded(10, 2), batch_size=4, seed=1, whole_epochs=whole_epochs)

    expected = drawn(stream(), 12)
    first, second = stream(), stream()
    before = drawn(first, cut) if cut else None
    second.load_state_dict(first.state_dict())
    after = drawn(second, 12 - cut)
    for position in (0, 1):
        parts = [after[position]] if before is None else [before[position], after[position]]
        assert torch.equal(torch.cat(parts), expected[position])


def test_resume_with_another_batch_size_goes_on_with_the_same_samples():
    first = SampleStream(Recorded(10, 2), batch_size=4, seed=1)
    drawn(first, 3)
    second = SampleStream(Recorded(10, 2), batch_size=6, seed=1)
    second.load_state_dict(first.state_dict())
    for found, expected in zip(drawn(second, 2), drawn(first, 3), strict=True):
        assert torch.equal(found, expected)


def test_batches_run_across_the_end_of_a_epoch():
    stream = SampleStream(Recorded(10), batch_size=4, seed=0)
    assert [sizes(stream.next_step(2)) for _ in range(4)] == [[4, 4]] * 4
    assert (stream.position, stream.epochs) == (32, 3.2)


def test_a_batch_may_be_as_large_as_the_data_and_span_epochs():
    stream = SampleStream(Recorded(5), batch_size=5, seed=0)
    drawn(stream, 1)
    stream.position = 3  # the next batch begins in the middle of the first epoch
    ((indices, _),) = stream.next_step(1)
    assert len(indices) == 5


def test_with_whole_epochs_micro_batches_and_steps_end_where_an_epoch_ends():
    stream = SampleStream(Recorded(10), batch_size=3, seed=0, whole_epochs=True)
    steps = [stream.next_step(2) for _ in range(4)]
    assert [sizes(step) for step in steps] == [[3, 3], [3, 1], [3, 3], [3, 1]]
    indices = torch.cat([batch[0] for step in steps for batch in step]).reshape(2, 10)
    assert all(sorted(row.tolist()) == list(range(10)) for row in indices)
    assert stream.epochs == 2.0


def test_whole_epochs_do_not_change_the_order():
    across = drawn(SampleStream(Recorded(10, 2), batch_size=5, seed=2), 8)
    whole = drawn(SampleStream(Recorded(10, 2), batch_size=3, seed=2, whole_epochs=True), 16)
    for one, other in zip(across, whole, strict=True):
        assert torch.equal(one, other)


def test_empty_data_is_refused():
    with pytest.raises(ValueError, match=r"the training data \(ArraySource\) is empty"):
        SampleStream(ArraySource(np.zeros((0, 3))), batch_size=1, seed=0)


def test_data_of_less_than_a_batch_is_refused_with_the_largest_batch():
    with pytest.raises(
        ValueError, match=r"batch_size is 16 .* has only 10 samples; choose a batch_size of at most 10"
    ):
        SampleStream(Recorded(10), batch_size=16, seed=0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 4}, "'seed': (4, 0)"),
        ({"num_samples": 11}, "'num_samples': (11, 10)"),
        ({"version": 9}, "'version': (9, 1)"),
    ],
)
def test_a_position_in_other_data_is_refused_with_both_sides(change, named):
    stream = SampleStream(Recorded(10), batch_size=2, seed=0)
    with pytest.raises(ValueError, match="the saved position belongs to other data") as caught:
        stream.load_state_dict({**stream.state_dict(), **change})
    assert named in str(caught.value)


def test_a_position_of_other_parts_is_refused_with_both_differences():
    stream = SampleStream(Recorded(10), batch_size=2, seed=0)
    state = {**stream.state_dict(), "place": 3}
    del state["position"]
    with pytest.raises(ValueError, match=r"lacks \['position'\] and has unknown \['place'\]"):
        stream.load_state_dict(state)


# A DataLoader of the user


def numbers(length):
    return TensorDataset(torch.arange(length))


def loader(length=14, batch_size=4, **arguments):
    return DataLoader(numbers(length), batch_size=batch_size, **arguments)


def test_a_loader_is_read_epoch_after_epoch():
    stream = LoaderStream(loader())
    batches = [batch[0].tolist() for step in (stream.next_step(3) for _ in range(2)) for batch in step]
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert stream.epochs == 1.0


def test_with_whole_epochs_a_step_ends_where_the_loaders_epoch_ends():
    stream = LoaderStream(loader(), whole_epochs=True)
    steps = [stream.next_step(3) for _ in range(4)]
    assert [sizes(step) for step in steps] == [[4, 4, 4], [2], [4, 4, 4], [2]]
    assert stream.epochs == 2.0


@pytest.mark.parametrize("own_generator", [True, False])
@pytest.mark.parametrize("cut", [1, 3, 4, 5])
def test_a_shuffled_loader_resumes_exactly(own_generator, cut):
    def stream():
        generator = torch.Generator().manual_seed(1) if own_generator else None
        return LoaderStream(loader(shuffle=True, generator=generator), whole_epochs=True)

    def draw(stream, num_steps):
        return [batch[0].tolist() for _ in range(num_steps) for batch in stream.next_step(3)]

    torch.manual_seed(0)
    whole = draw(stream(), 8)
    torch.manual_seed(0)
    first = stream()
    before = draw(first, cut)
    saved, random = first.state_dict(), torch.get_rng_state()
    torch.manual_seed(99)
    second = stream()
    second.load_state_dict(saved)
    torch.set_rng_state(random)
    assert before + draw(second, 8 - cut) == whole


def test_a_loader_without_a_length_never_ends_either():
    class Forever(IterableDataset):
        def __iter__(self):
            return iter(torch.arange(5))

    stream = LoaderStream(DataLoader(Forever(), batch_size=2))
    assert [len(batch) for batch in stream.next_step(7)] == [2, 2, 1, 2, 2, 1, 2]
