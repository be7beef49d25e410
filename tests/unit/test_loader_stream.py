"""A user's DataLoader: one stream over its epochs, exact resume, and errors that name the source."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from small_trials import small_trainer
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from trainables.data.loader_stream import LoaderStream
from trainables.regression.task import RegressionTask


class Numbers(Dataset[int]):
    """The samples 0, 1, 2, …"""

    def __init__(self, num_samples: int) -> None:
        self.num_samples = num_samples

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> int:
        return index


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


def drawn(stream: LoaderStream, num_batches: int) -> list[Any]:
    """The next batches, tensors as lists."""
    batches = [stream.next_step(1)[0] for _ in range(num_batches)]
    return [batch.tolist() if isinstance(batch, torch.Tensor) else batch for batch in batches]


def shuffled(seed: int = 7, **options: Any) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(Numbers(10), batch_size=3, shuffle=True, generator=generator, **options)


def test_a_new_epoch_begins_where_the_data_ends() -> None:
    assert drawn(LoaderStream(DataLoader(Numbers(2))), 4) == [[0], [1], [0], [1]]


def test_every_epoch_has_an_order_of_its_own_and_every_sample() -> None:
    loader = LoaderStream(shuffled())
    epochs = [list(itertools.chain(*drawn(loader, 4))) for _ in range(3)]
    assert [sorted(each) for each in epochs] == [list(range(10))] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_epochs_and_batches_are_counted() -> None:
    loader = LoaderStream(DataLoader(Numbers(3)))
    counts = []
    for _ in range(7):
        loader.next_step(1)
        counts.append((loader.epochs, loader.state_dict()["batches"]))
    assert counts == [(0, 1), (0, 2), (1, 3), (1, 4), (1, 5), (2, 6), (2, 7)]


def test_data_of_unknown_length_is_repeated() -> None:
    loader = LoaderStream(DataLoader(NumberStream(3), batch_size=2))
    assert drawn(loader, 3) == [[0, 1], [2], [0, 1]]
    assert loader.epochs == 1


def test_a_loader_with_more_batches_than_its_length_gives_them_all() -> None:
    class Understated(list[int]):
        def __len__(self) -> int:
            return 2

    loader = LoaderStream(Understated([0, 1, 2]))
    assert drawn(loader, 7) == [0, 1, 2, 0, 1, 2, 0]


def test_a_list_of_batches_is_a_loader() -> None:
    assert drawn(LoaderStream(["a", "b"]), 3) == ["a", "b", "a"]


def test_drop_last_with_too_few_samples_is_refused() -> None:
    loader = DataLoader(Numbers(3), batch_size=8, drop_last=True)
    with pytest.raises(
        ValueError, match=r"over Numbers of 3 samples gave no batch; drop_last .* batch_size 8: take"
    ):
        LoaderStream(loader)


def test_an_empty_loader_is_refused() -> None:
    with pytest.raises(ValueError, match="loader of type list gave no batch"):
        LoaderStream([])
    empty = DataLoader(Numbers(0), sampler=SequentialSampler(Numbers(0)))
    with pytest.raises(ValueError, match="over Numbers of 0 samples gave no batch"):
        LoaderStream(empty)


def test_empty_data_of_unknown_length_is_an_error_each_time_and_not_an_epoch_without_steps() -> None:
    loader = LoaderStream(DataLoader(NumberStream(0)))
    for _ in range(2):
        with pytest.raises(ValueError, match="DataLoader over NumberStream gave no batch"):
            drawn(loader, 1)


@pytest.mark.parametrize("source", [(n for n in range(3)), iter([1, 2])])
def test_a_generator_or_iterator_is_refused(source: Iterator[int]) -> None:
    with pytest.raises(ValueError, match=f"type {type(source).__name__} can be read only once"):
        LoaderStream(source)


def test_data_that_can_be_read_only_once_is_an_error_in_the_second_epoch() -> None:
    loader = LoaderStream(DataLoader(OneShotStream()))
    assert drawn(loader, 4) == [[0], [1], [2], [3]]
    with pytest.raises(
        ValueError, match="over OneShotStream gave no batch in epoch 2, after 4 batches before"
    ):
        drawn(loader, 12)


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

    def draw(loader: LoaderStream, num: int) -> list[list[int]]:
        found = []
        for _ in range(num):
            found += drawn(loader, 1)
            torch.rand(3)
        return found

    torch.manual_seed(5)
    whole = LoaderStream(LOADERS[kind]())
    draw(whole, num_before)
    state, global_state = whole.state_dict(), torch.get_rng_state()
    expected = draw(whole, 12 - num_before)

    torch.manual_seed(99)
    resumed = LoaderStream(LOADERS[kind]())
    resumed.load_state_dict(state)
    torch.set_rng_state(global_state)
    assert draw(resumed, 12 - num_before) == expected
    assert resumed.epochs == whole.epochs
    assert resumed.state_dict()["batches"] == 12


def test_loading_leaves_the_global_random_state_as_it_is() -> None:
    whole = LoaderStream(LOADERS["global state"]())
    whole.next_step(1)
    state = whole.state_dict()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    LoaderStream(LOADERS["global state"]()).load_state_dict(state)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_state_is_saved_and_loaded_as_weights_only(tmp_path: Any) -> None:
    whole = LoaderStream(shuffled())
    drawn(whole, 5)
    torch.save(whole.state_dict(), tmp_path / "state.pt")
    resumed = LoaderStream(shuffled(seed=0))
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert drawn(resumed, 5) == drawn(whole, 5)


def test_a_state_after_a_complete_epoch_is_loaded_without_reading_data() -> None:
    class Unreadable(Numbers):
        def __getitem__(self, index: int) -> int:
            raise AssertionError("read")

    whole = LoaderStream(DataLoader(Numbers(4)))
    drawn(whole, 4)
    resumed = LoaderStream(DataLoader(Unreadable(4)))
    resumed.load_state_dict(whole.state_dict())
    assert resumed.epochs == 1


@pytest.mark.parametrize("num_samples", [2, 3])
def test_a_position_beyond_the_data_is_refused(num_samples: int) -> None:
    whole = LoaderStream(DataLoader(Numbers(4)))
    drawn(whole, 3)
    other = LoaderStream(DataLoader(Numbers(num_samples)))
    with pytest.raises(ValueError, match="after batch 3 of an epoch, but DataLoader over Numbers ended"):
        other.load_state_dict(whole.state_dict())


def test_a_state_with_other_names_is_refused_with_both_differences() -> None:
    loader = LoaderStream([1])
    state = loader.state_dict()
    del state["epochs"]
    with pytest.raises(ValueError, match=r"lacks \['epochs'\] and has unknown \['rounds'\]"):
        loader.load_state_dict({**state, "rounds": 1})


def test_a_state_of_another_version_is_refused() -> None:
    loader = LoaderStream([1])
    with pytest.raises(ValueError, match="version 0; it must be 1"):
        loader.load_state_dict({**loader.state_dict(), "version": 0})


def test_a_state_of_another_kind_of_loader_is_refused() -> None:
    state = LoaderStream(shuffled()).state_dict()
    with pytest.raises(ValueError, match="has 1 generators and loader of type list has 0"):
        LoaderStream([1]).load_state_dict(state)


class StillTask(RegressionTask):
    """Twelve rows from a DataLoader in batches of 5, 5 and 2, and a learning rate that changes no weight."""

    drop_last = False

    def train_data(self) -> Any:
        rows = [torch.tensor(self.arrays[f"train_{name}"][:12]) for name in ("inputs", "targets")]
        return DataLoader(TensorDataset(*rows), batch_size=5, drop_last=self.drop_last)

    def valid_data(self) -> Any:
        return self.arrays["train_inputs"][:12], self.arrays["train_targets"][:12]


@pytest.mark.parametrize(("unit", "count"), [("epochs", 2), ("steps", 6), ("samples", 24)])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("batch_size", [5, 3])
def test_a_short_last_batch_counts_by_its_samples(
    unit: str, count: int, accumulate: int, batch_size: int
) -> None:
    """The loader's batch size counts, also where the trial's `batch_size` is another."""
    count = count // accumulate if unit == "steps" else count
    options = {"batch_size": batch_size, "accumulate": accumulate, "optimizer": {"name": "sgd", "lr": 1e-30}}
    trainer = small_trainer(StillTask, options, unit=unit, count=count)
    metrics = trainer.run_virtual_epoch()
    assert trainer.num_samples == 24
    assert metrics["epoch"] == 2
    assert metrics["train_loss"] == pytest.approx(metrics["valid_loss"], rel=1e-6)


def test_a_loader_of_full_batches_counts_them_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StillTask, "drop_last", True)
    lengths = small_trainer(StillTask, {"batch_size": 5}, unit="epochs", count=3).virtual_epochs
    assert lengths.as_dict() == {"unit": "epochs", "count": 3, "step_samples": 5, "epoch_samples": 10}
