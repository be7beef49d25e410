"""Ends of virtual epochs: whole steps, and no drift."""

import itertools
import math

import pytest

from trainables.data.virtual_epoch import VirtualEpochs


def lengths(unit, count, step_samples, epoch_samples=None):
    return VirtualEpochs(unit=unit, count=count, step_samples=step_samples, epoch_samples=epoch_samples)


def test_steps_are_steps_whatever_the_size_of_the_data():
    for epoch_samples in (None, 7, 10**9):
        epochs = lengths("steps", 50, 12, epoch_samples)
        assert [epochs.end_step(n) for n in (1, 2, 27)] == [50, 100, 1350]
        assert epochs.samples_at(2) == 1200


@pytest.mark.parametrize(("count", "step_samples"), [(100, 16), (1600, 48), (1000, 7), (64, 64), (33, 32)])
def test_ends_counted_in_samples_do_not_drift(count, step_samples):
    epochs = lengths("samples", count, step_samples)
    for number in (*range(200), 10**4, 10**6):
        excess = epochs.samples_at(number) - number * count
        assert 0 <= excess < step_samples
        assert epochs.samples_at(number) == epochs.end_step(number) * step_samples


def test_ends_are_exact_where_a_float_is_not():
    assert lengths("samples", 67_153, 1).end_step(141_845_098_761) == 67_153 * 141_845_098_761
    assert lengths("samples", 10**400, 3).end_step(1) == 10**400 // 3 + 1
    assert lengths("epochs", 1, 1, 2**53 + 1).steps_per_epoch == 2**53 + 1


def test_a_virtual_epoch_shorter_than_a_step_is_one_step():
    epochs = lengths("samples", 5, 32)
    assert [epochs.end_step(n) for n in range(4)] == [0, 1, 2, 3]


def test_ends_rise_strictly():
    for count in range(1, 40):
        for step_samples in range(1, 40):
            ends = [lengths("samples", count, step_samples).end_step(n) for n in range(20)]
            assert all(before < after for before, after in itertools.pairwise(ends))


@pytest.mark.parametrize(("epoch_samples", "step_samples"), [(100, 16), (96, 16), (10, 10), (11, 10)])
def test_an_epoch_is_every_sample_once_with_a_last_step_of_what_is_left(epoch_samples, step_samples):
    epochs = lengths("epochs", 2, step_samples, epoch_samples)
    assert epochs.steps_per_epoch == math.ceil(epoch_samples / step_samples)
    assert epochs.end_step(3) == 6 * epochs.steps_per_epoch
    assert epochs.samples_at(3) == 6 * epoch_samples


def test_nothing_is_done_before_the_first_virtual_epoch():
    for unit in ("steps", "samples", "epochs"):
        epochs = lengths(unit, 3, 4, 100)
        assert (epochs.end_step(0), epochs.samples_at(0)) == (0, 0)


def test_epochs_over_data_without_a_length_are_refused_with_the_way_out():
    with pytest.raises(
        ValueError, match=r"\{epochs: 1\} but the training data has no length; use \{steps: N\}"
    ):
        lengths("epochs", 1, 16)


@pytest.mark.parametrize("unit", ["steps", "samples", "epochs"])
@pytest.mark.parametrize("count", [0, -3])
def test_a_virtual_epoch_of_nothing_is_refused(unit, count):
    with pytest.raises(ValueError, match=rf"\{{{unit}: {count}\}}; it must be 1 or more"):
        lengths(unit, count, 16, 100)


def test_lengths_survive_being_written_as_json():
    epochs = lengths("samples", 100, 16, 1000)
    assert VirtualEpochs(**epochs.as_dict()) == epochs


def test_only_the_last_step_of_an_epoch_is_smaller():
    epochs = lengths("epochs", 2, 16, 40)
    assert [epochs.step_size(step) for step in range(7)] == [16, 16, 8, 16, 16, 8, 16]
    assert sum(epochs.step_size(step) for step in range(epochs.end_step(3))) == epochs.samples_at(3)
    for even in (lengths("epochs", 1, 20, 40), lengths("steps", 5, 20, 30), lengths("samples", 5, 20, 30)):
        assert {even.step_size(step) for step in range(9)} == {20}


@pytest.mark.parametrize("epoch_samples", [1, 7, 10, 12, 40])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize(("unit", "count"), [("steps", 3), ("samples", 11), ("samples", 1)])
def test_the_short_last_batch_of_a_loader_counts_what_it_has(epoch_samples, accumulate, unit, count):
    sizes = itertools.cycle([*[4] * (epoch_samples // 4), *[epoch_samples % 4] * (epoch_samples % 4 > 0)])
    epochs = VirtualEpochs(
        unit=unit, count=count, step_samples=4 * accumulate, epoch_samples=epoch_samples, batch_samples=4
    )
    steps = [sum(itertools.islice(sizes, accumulate)) for _ in range(400)]
    assert [epochs.step_size(step) for step in range(400)] == steps
    for number in range(1, 9):
        end = epochs.end_step(number)
        assert epochs.samples_at(number) == sum(steps[:end])
        if unit == "samples":
            assert sum(steps[:end]) >= number * count
            assert end == number or sum(steps[: end - 1]) < number * count
    assert VirtualEpochs(**epochs.as_dict()) == epochs
    assert "batch_samples" not in lengths(unit, count, 4).as_dict()
