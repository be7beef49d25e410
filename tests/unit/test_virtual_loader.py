"""Virtual epochs: fixed length, continuation, exact resume, and errors that name the source."""

import itertools
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from trainables.data.virtual_loader import VirtualDataLoader


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


class DeadlyNumbers(Numbers):
    """Whoever reads the last one is killed."""

    def __getitem__(self, index: int) -> int:
        if index == self.num_samples - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


class RefusedNumbers(Numbers):
    """The connection that they come from breaks."""

    def __getitem__(self, index: int) -> int:
        raise ConnectionResetError("the server of the numbers has gone")


class NumberStream(IterableDataset[int]):
    """As many samples, without a length."""

    def __init__(self, num_samples: int) -> None:
        self.num_samples = num_samples

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.num_samples))


class OneShotStream(IterableDataset[int]):
    """Gives its samples to whoever asks first."""

    def __init__(self) -> None:
        self.samples = iter(range(4))

    def __iter__(self) -> Iterator[int]:
        return self.samples


def epoch(loader: VirtualDataLoader) -> list[Any]:
    """One virtual epoch, batches of tensors as lists."""
    return [batch.tolist() for batch in loader]


def shuffled(seed: int = 7, **options: Any) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(Numbers(10), batch_size=3, shuffle=True, generator=generator, **options)


def test_an_epoch_ends_at_the_given_number_of_steps() -> None:
    assert epoch(VirtualDataLoader(DataLoader(Numbers(2)), steps_per_epoch=1)) == [[0]]


def test_an_epoch_may_be_longer_than_the_data() -> None:
    assert epoch(VirtualDataLoader(DataLoader(Numbers(2)), steps_per_epoch=4)) == [[0], [1], [0], [1]]


def test_an_epoch_starts_where_the_last_one_ended() -> None:
    loader = VirtualDataLoader(DataLoader(Numbers(3)), steps_per_epoch=2)
    assert [epoch(loader) for _ in range(3)] == [[[0], [1]], [[2], [0]], [[1], [2]]]


def test_leaving_an_epoch_early_does_not_shorten_the_next() -> None:
    loader = VirtualDataLoader(DataLoader(Numbers(10)), steps_per_epoch=4)
    for batch in loader:
        if batch.item() == 1:
            break
    assert epoch(loader) == [[2], [3], [4], [5]]


def test_loops_inside_each_other_share_the_stream_but_not_the_count() -> None:
    loader = VirtualDataLoader(DataLoader(Numbers(6)), steps_per_epoch=2)
    pairs = [(outer.item(), [inner.item() for inner in loader]) for outer in loader]
    assert pairs == [(0, [1, 2]), (3, [4, 5])]


def test_length_is_that_of_an_epoch() -> None:
    assert len(VirtualDataLoader(DataLoader(Numbers(3)), steps_per_epoch=7)) == 7


def test_every_epoch_has_an_order_of_its_own_and_every_sample() -> None:
    loader = VirtualDataLoader(shuffled(), steps_per_epoch=4)
    epochs = [list(itertools.chain(*epoch(loader))) for _ in range(3)]
    assert [sorted(each) for each in epochs] == [list(range(10))] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_epochs_and_batches_are_counted() -> None:
    loader = VirtualDataLoader(DataLoader(Numbers(3)), steps_per_epoch=1)
    counts = []
    for _ in range(7):
        loader.next_batch()
        counts.append((loader.epochs, loader.batches))
    assert counts == [(0, 1), (0, 2), (1, 3), (1, 4), (1, 5), (2, 6), (2, 7)]


def test_data_of_unknown_length_is_repeated() -> None:
    loader = VirtualDataLoader(DataLoader(NumberStream(3), batch_size=2), steps_per_epoch=3)
    assert epoch(loader) == [[0, 1], [2], [0, 1]]
    assert loader.epochs == 1


def test_a_loader_with_more_batches_than_its_length_gives_them_all() -> None:
    class Understated(list[int]):
        def __len__(self) -> int:
            return 2

    loader = VirtualDataLoader(Understated([0, 1, 2]), steps_per_epoch=7)
    assert list(loader) == [0, 1, 2, 0, 1, 2, 0]


def test_a_list_of_batches_is_a_loader() -> None:
    assert list(VirtualDataLoader(["a", "b"], steps_per_epoch=3)) == ["a", "b", "a"]


@pytest.mark.parametrize("steps", [0, -1])
def test_an_epoch_without_steps_is_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"steps_per_epoch is {steps}; it must be 1 or more"):
        VirtualDataLoader([1], steps_per_epoch=steps)


def test_drop_last_with_too_few_samples_is_refused() -> None:
    loader = DataLoader(Numbers(3), batch_size=8, drop_last=True)
    with pytest.raises(
        ValueError, match=r"over Numbers of 3 samples gave no batch; drop_last .* batch_size 8: take"
    ):
        VirtualDataLoader(loader, steps_per_epoch=1)


def test_an_empty_loader_is_refused() -> None:
    with pytest.raises(ValueError, match="loader of type list gave no batch"):
        VirtualDataLoader([], steps_per_epoch=1)
    empty = DataLoader(Numbers(0), sampler=SequentialSampler(Numbers(0)))
    with pytest.raises(ValueError, match="over Numbers of 0 samples gave no batch"):
        VirtualDataLoader(empty, steps_per_epoch=1)


def test_empty_data_of_unknown_length_is_an_error_each_time_and_not_an_epoch_without_steps() -> None:
    loader = VirtualDataLoader(DataLoader(NumberStream(0)), steps_per_epoch=5)
    for _ in range(2):
        with pytest.raises(ValueError, match="DataLoader over NumberStream gave no batch"):
            epoch(loader)


@pytest.mark.parametrize("source", [(n for n in range(3)), iter([1, 2])])
def test_a_generator_or_iterator_is_refused(source: Iterator[int]) -> None:
    with pytest.raises(ValueError, match=f"type {type(source).__name__} can be read only once"):
        VirtualDataLoader(source, steps_per_epoch=1)


def test_data_that_can_be_read_only_once_is_an_error_in_the_second_epoch() -> None:
    loader = VirtualDataLoader(DataLoader(OneShotStream()), steps_per_epoch=4)
    assert epoch(loader) == [[0], [1], [2], [3]]
    with pytest.raises(
        ValueError, match="over OneShotStream gave no batch in epoch 2, after 4 batches before"
    ):
        epoch(loader)


@pytest.mark.parametrize("attempt", range(8))
def test_a_worker_that_is_killed_is_named_once_whatever_is_noticed_of_it_first(attempt: int) -> None:
    """Its process is gone, or the batch before cannot be fetched from it: a race, so it is run often."""
    workers = {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": "fork"}
    loader = VirtualDataLoader(DataLoader(DeadlyNumbers(12), **workers), steps_per_epoch=12)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"^DataLoader worker \(pid(\(s\))? \d+\)"):
        epoch(loader)


@pytest.mark.parametrize(
    ("workers", "seconds"), [({}, 1000), ({"num_workers": 1, "multiprocessing_context": "fork"}, 0.1)]
)
def test_a_broken_connection_of_a_dataset_is_told_as_it_is(
    workers: dict[str, Any], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without workers there is none to wait for."""
    monkeypatch.setattr("trainables.data.virtual_loader.DYING_SECONDS", seconds)
    loader = VirtualDataLoader(DataLoader(RefusedNumbers(3), **workers), steps_per_epoch=1)
    with pytest.raises(ConnectionResetError, match="the server of the numbers has gone"):
        epoch(loader)


def loader_with_own_sampler() -> DataLoader:
    generator = torch.Generator().manual_seed(3)
    sampler = WeightedRandomSampler([1.0] * 10, 10, generator=generator)
    return DataLoader(Numbers(10), batch_size=3, sampler=sampler)


def loader_with_batch_sampler() -> DataLoader:
    generator = torch.Generator().manual_seed(3)
    sampler = RandomSampler(range(10), generator=generator)
    return DataLoader(Numbers(10), batch_sampler=BatchSampler(sampler, 3, drop_last=False))


LOADERS = {
    "sequential": lambda: DataLoader(Numbers(10), batch_size=3),
    "generator": shuffled,
    "global state": lambda: DataLoader(Numbers(10), batch_size=3, shuffle=True),
    "own sampler": loader_with_own_sampler,
    "batch sampler": loader_with_batch_sampler,
    "unknown length": lambda: DataLoader(NumberStream(10), batch_size=3),
}


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("num_before", [0, 1, 3, 4, 5, 8, 11])
def test_resume_is_exact_at_any_cut_also_across_epochs(kind: str, num_before: int) -> None:
    """A pass has 4 batches; 12 are drawn in all, with random numbers drawn in between as training does."""

    def draw(loader: VirtualDataLoader, num: int) -> list[list[int]]:
        drawn = []
        for _ in range(num):
            drawn.append(loader.next_batch().tolist())
            torch.rand(3)
        return drawn

    torch.manual_seed(5)
    whole = VirtualDataLoader(LOADERS[kind](), steps_per_epoch=4)
    draw(whole, num_before)
    state, global_state = whole.state_dict(), torch.get_rng_state()
    expected = draw(whole, 12 - num_before)

    torch.manual_seed(99)
    resumed = VirtualDataLoader(LOADERS[kind](), steps_per_epoch=4)
    resumed.load_state_dict(state)
    torch.set_rng_state(global_state)
    assert draw(resumed, 12 - num_before) == expected
    assert (resumed.epochs, resumed.batches) == (whole.epochs, whole.batches)


def test_loading_leaves_the_global_random_state_as_it_is() -> None:
    whole = VirtualDataLoader(LOADERS["global state"](), steps_per_epoch=4)
    whole.next_batch()
    state = whole.state_dict()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    VirtualDataLoader(LOADERS["global state"](), steps_per_epoch=4).load_state_dict(state)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_state_is_saved_and_loaded_as_weights_only(tmp_path: Any) -> None:
    whole = VirtualDataLoader(shuffled(), steps_per_epoch=5)
    epoch(whole)
    torch.save(whole.state_dict(), tmp_path / "state.pt")
    resumed = VirtualDataLoader(shuffled(seed=0), steps_per_epoch=5)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert epoch(resumed) == epoch(whole)


def test_a_state_after_a_complete_epoch_is_loaded_without_reading_data() -> None:
    class Unreadable(Numbers):
        def __getitem__(self, index: int) -> int:
            raise AssertionError("read")

    whole = VirtualDataLoader(DataLoader(Numbers(4)), steps_per_epoch=4)
    epoch(whole)
    resumed = VirtualDataLoader(DataLoader(Unreadable(4)), steps_per_epoch=4)
    resumed.load_state_dict(whole.state_dict())
    assert (resumed.epochs, resumed.batches) == (1, 4)


@pytest.mark.parametrize("num_samples", [2, 3])
def test_a_position_beyond_the_data_is_refused(num_samples: int) -> None:
    whole = VirtualDataLoader(DataLoader(Numbers(4)), steps_per_epoch=3)
    epoch(whole)
    other = VirtualDataLoader(DataLoader(Numbers(num_samples)), steps_per_epoch=3)
    with pytest.raises(ValueError, match="after batch 3 of an epoch, but DataLoader over Numbers ended"):
        other.load_state_dict(whole.state_dict())


def test_a_state_with_other_names_is_refused_with_both_differences() -> None:
    loader = VirtualDataLoader([1], steps_per_epoch=1)
    state = loader.state_dict()
    del state["epochs"]
    with pytest.raises(ValueError, match=r"lacks \['epochs'\] and has unknown \['epochs'\]"):
        loader.load_state_dict({**state, "epochs": 1})


def test_a_state_of_another_version_is_refused() -> None:
    loader = VirtualDataLoader([1], steps_per_epoch=1)
    with pytest.raises(ValueError, match="version 0; it must be 1"):
        loader.load_state_dict({**loader.state_dict(), "version": 0})


def test_a_state_of_another_kind_of_loader_is_refused() -> None:
    state = VirtualDataLoader(shuffled(), steps_per_epoch=1).state_dict()
    with pytest.raises(ValueError, match="has 1 generators and loader of type list has 0"):
        VirtualDataLoader([1], steps_per_epoch=1).load_state_dict(state)


def test_persistent_workers_are_started_once() -> None:
    workers = {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": "forkserver"}
    loader = VirtualDataLoader(DataLoader(ProcessNumbers(2), **workers), steps_per_epoch=3)  # type: ignore[arg-type]
    readers = {batch.item() for _ in range(3) for batch in loader}
    assert len(readers) == 1
    assert os.getpid() not in readers


@pytest.mark.parametrize("num_before", [0, 2, 4, 6, 9])
def test_resume_with_persistent_workers_is_exact(num_before: int) -> None:
    workers = {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": "fork"}
    whole = VirtualDataLoader(shuffled(**workers), steps_per_epoch=4)
    [whole.next_batch() for _ in range(num_before)]
    state = whole.state_dict()
    resumed = VirtualDataLoader(shuffled(seed=0, **workers), steps_per_epoch=4)
    resumed.load_state_dict(state)
    assert [epoch(resumed) for _ in range(2)] == [epoch(whole) for _ in range(2)]


@pytest.mark.parametrize("num_before", [2, 6])
def test_resume_with_new_workers_in_each_epoch_repeats_their_random_numbers(num_before: int) -> None:
    def draw(loader: VirtualDataLoader, num: int) -> list[Any]:
        return [[part.tolist() for part in loader.next_batch()] for _ in range(num)]

    def loader(seed: int) -> DataLoader:
        generator = torch.Generator().manual_seed(seed)
        workers = {"num_workers": 1, "multiprocessing_context": "fork"}
        return DataLoader(NoisyNumbers(10), batch_size=3, shuffle=True, generator=generator, **workers)  # type: ignore[arg-type]

    whole = VirtualDataLoader(loader(7), steps_per_epoch=4)
    draw(whole, num_before)
    state = whole.state_dict()
    resumed = VirtualDataLoader(loader(0), steps_per_epoch=4)
    resumed.load_state_dict(state)
    assert draw(resumed, 5) == draw(whole, 5)
