"""Streams and virtual epochs of any size: nothing twice, nothing missing, and resuming is exact anywhere."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from hypothesis import strategies as st
from properties import for_all
from stream_properties import SIZES, SMALL, assert_same, drawn

from trainables.data.stream import SampleStream
from trainables.data.virtual_epoch import Unit, VirtualEpochs


class Recorded:
    """A source whose batches are what it was asked for: (indices, randoms)."""

    def __init__(self, length: int, num_randoms: int) -> None:
        self._length, self.num_randoms = length, num_randoms

    def __len__(self) -> int:
        return self._length

    def batch(self, indices: Any, randoms: Any) -> Any:
        return torch.from_numpy(indices.copy()), torch.from_numpy(randoms.copy())


def joined(steps: list[list[Any]]) -> list[torch.Tensor]:
    """Indices and random numbers of all steps, sample by sample."""
    batches = list(itertools.chain(*steps))
    return [torch.cat(parts) for parts in zip(*batches, strict=True)]


@for_all(
    examples=120,
    many=2500,
    length=SIZES,
    sizes=st.tuples(SIZES, SIZES),
    accumulate=SMALL,
    num_randoms=st.integers(0, 9),
    seed=st.integers(0, 2**64),
    whole_epochs=st.booleans(),
    num_before=st.integers(0, 30),
)
def test_a_stream_goes_on_in_a_new_object_as_if_it_had_not_been_cut(
    length: int,
    sizes: tuple[int, int],
    accumulate: int,
    num_randoms: int,
    seed: int,
    whole_epochs: bool,
    num_before: int,
) -> None:
    def stream(size: int) -> SampleStream:
        source = Recorded(length, num_randoms)
        return SampleStream(source, batch_size=min(size, length), seed=seed, whole_epochs=whole_epochs)

    whole, resumed, resumed_with_other_size = stream(sizes[0]), stream(sizes[0]), stream(sizes[1])
    drawn(whole, num_before, accumulate)
    for other in (resumed, resumed_with_other_size):
        other.load_state_dict(whole.state_dict())
    expected = drawn(whole, 12, accumulate)
    assert_same(drawn(resumed, 12, accumulate), expected)
    assert resumed.state_dict() == whole.state_dict()
    samples = joined(expected), joined(drawn(resumed_with_other_size, 12, 1))
    num_common = min(len(part[0]) for part in samples)
    assert_same(*([part[:num_common] for part in parts] for parts in samples))


@for_all(
    examples=120,
    many=2500,
    unit=st.sampled_from(["steps", "samples", "epochs"]),
    count=st.integers(1, 100),
    length=SIZES,
    batch_size=SIZES,
    accumulate=SMALL,
)
def test_virtual_epochs_draw_the_samples_that_they_say(
    unit: Unit, count: int, length: int, batch_size: int, accumulate: int
) -> None:
    count, batch_size = 1 + count % 3 if unit == "epochs" else count, min(batch_size, length)
    source = Recorded(length, 0)
    stream = SampleStream(source, batch_size=batch_size, seed=0, whole_epochs=unit == "epochs")
    epochs = VirtualEpochs(unit=unit, count=count, step_samples=batch_size * accumulate, epoch_samples=length)
    for number in range(1, 4):
        steps = drawn(stream, epochs.end_step(number) - epochs.end_step(number - 1), accumulate)
        assert stream.position == epochs.samples_at(number)
        if unit == "epochs":
            indices = joined(steps)[0].reshape(count, length)
            assert all(sorted(row.tolist()) == list(range(length)) for row in indices)


LENGTHS = st.one_of(st.integers(1, 100), st.integers(1, 2**80))


@for_all(
    examples=300,
    many=10_000,
    unit=st.sampled_from(["steps", "samples", "epochs"]),
    count=LENGTHS,
    step_samples=LENGTHS,
    epoch_samples=LENGTHS,
    number=LENGTHS,
)
def test_every_virtual_epoch_has_a_step_and_ends_with_the_first_one_that_is_enough(
    unit: Unit, count: int, step_samples: int, epoch_samples: int, number: int
) -> None:
    epochs = VirtualEpochs(unit=unit, count=count, step_samples=step_samples, epoch_samples=epoch_samples)
    start, end = epochs.end_step(number - 1), epochs.end_step(number)
    assert end > start >= number - 1
    assert epochs.samples_at(number) > epochs.samples_at(number - 1)
    if unit == "samples":
        assert end * step_samples >= number * count
        assert end == number or (end - 1) * step_samples < number * count
