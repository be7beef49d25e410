"""A user's own loader resumes exactly, for any kind and size of loader."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from properties import for_all
from stream_properties import SIZES, SMALL, assert_same, drawn
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler

from trainables.data.loader_stream import LoaderStream, known_length
from trainables.data.virtual_epoch import VirtualEpochs


class Rows(Dataset[Any]):
    """Samples 0, 1, 2, … with a random number drawn by whoever reads them where `noisy`."""

    def __init__(self, num_samples: int, noisy: bool = False) -> None:
        self.num_samples, self.noisy = num_samples, noisy

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> Any:
        return (index, torch.rand(())) if self.noisy else (index, torch.tensor(float(index)))


class RowStream(IterableDataset[Any]):
    """The same rows, without a length; each worker reads its part."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Any]:
        worker = torch.utils.data.get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return (self.rows[index] for index in range(first, len(self.rows), step))


class ClaimedStream(RowStream):
    """With a length that need not be the right one."""

    def __init__(self, rows: Rows, claimed: int) -> None:
        super().__init__(rows)
        self.claimed = claimed

    def __len__(self) -> int:
        return self.claimed


class Batches:
    """No DataLoader, only something to iterate again and again."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        return iter(self.loader)


@dataclass(frozen=True)
class Brought:
    """A loader of one kind; every call makes it afresh, as a new process would."""

    kind: str
    num_samples: int
    batch_size: int
    drop_last: bool
    noisy: bool
    claimed: int = 1
    num_workers: int = 0
    persistent: bool = False

    def __call__(self) -> Iterable[Any]:
        return KINDS[self.kind](self, torch.Generator().manual_seed(7))

    @property
    def rows(self) -> Rows:
        return Rows(self.num_samples, self.noisy)

    @property
    def batches(self) -> dict[str, Any]:
        return {"batch_size": min(self.batch_size, self.num_samples), "drop_last": self.drop_last}

    @property
    def workers(self) -> dict[str, Any]:
        if not self.num_workers:
            return {}
        how = {"multiprocessing_context": "fork", "persistent_workers": self.persistent}
        return {"num_workers": self.num_workers, **how}

    @property
    def options(self) -> dict[str, Any]:
        return self.batches | self.workers


def with_batch_sampler(made: Brought, generator: torch.Generator) -> Iterable[Any]:
    sampler = RandomSampler(made.rows, generator=generator)
    return DataLoader(made.rows, batch_sampler=BatchSampler(sampler, **made.batches), **made.workers)


def with_replacement(made: Brought, generator: torch.Generator) -> Iterable[Any]:
    sampler = RandomSampler(made.rows, replacement=True, generator=generator)
    return DataLoader(made.rows, sampler=sampler, **made.options)


KINDS: dict[str, Callable[[Brought, torch.Generator], Iterable[Any]]] = {
    "in order": lambda made, _: DataLoader(made.rows, **made.options),
    "shuffled by the global state": lambda made, _: DataLoader(made.rows, shuffle=True, **made.options),
    "shuffled by its own generator": lambda made, generator: DataLoader(
        made.rows, shuffle=True, generator=generator, **made.options
    ),
    "with a batch sampler": with_batch_sampler,
    "with replacement": with_replacement,
    "without a length": lambda made, _: DataLoader(RowStream(made.rows), **made.options),
    "with a claimed length": lambda made, _: DataLoader(
        ClaimedStream(made.rows, made.claimed), **made.options
    ),
    "any iterable": lambda made, _: Batches(DataLoader(made.rows, shuffle=True, **made.options)),
    "list": lambda made, _: list(DataLoader(Rows(made.num_samples), **made.batches)),
}


LOADERS = st.builds(
    Brought,
    kind=st.sampled_from(list(KINDS)),
    num_samples=SIZES,
    batch_size=SIZES,
    drop_last=st.booleans(),
    noisy=st.booleans(),
    claimed=SIZES,
)


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_resumes(
    make: Callable[[], LoaderStream], num_before: int, num_after: int, accumulate: int
) -> None:
    """Cut after some steps, and go on in a new object as a trial does: position first, random state last."""
    torch.manual_seed(0)
    whole = make()
    drawn(whole, num_before, accumulate)
    state, random = through_a_file(whole.state_dict()), torch.get_rng_state()
    expected = drawn(whole, num_after, accumulate)
    torch.manual_seed(99)
    resumed = make()
    resumed.load_state_dict(state)
    torch.set_rng_state(random)
    assert_same(drawn(resumed, num_after, accumulate), expected)
    assert resumed.epochs == whole.epochs


@pytest.mark.filterwarnings("ignore:Length of IterableDataset:UserWarning")
@for_all(
    examples=120,
    many=2500,
    made=LOADERS,
    accumulate=SMALL,
    whole_epochs=st.booleans(),
    num_before=st.integers(0, 30),
)
def test_a_loader_goes_on_in_a_new_object_as_if_it_had_not_been_cut(
    made: Brought, accumulate: int, whole_epochs: bool, num_before: int
) -> None:
    whole_epochs = whole_epochs and known_length(made()) is not None
    assert_resumes(lambda: LoaderStream(made(), whole_epochs=whole_epochs), num_before, 12, accumulate)


@for_all(
    examples=4,
    many=150,
    kind=st.sampled_from(list(KINDS)),
    num_samples=st.integers(4, 12),
    batch_size=st.integers(1, 2),
    noisy=st.booleans(),
    num_workers=st.integers(1, 2),
    persistent=st.booleans(),
    num_before=st.integers(0, 9),
)
def test_a_loader_with_workers_goes_on_too(
    kind: str,
    num_samples: int,
    batch_size: int,
    noisy: bool,
    num_workers: int,
    persistent: bool,
    num_before: int,
) -> None:
    """Random numbers drawn inside persistent workers are not repeated.

    Persistent workers inside another iterable are not seen, and the order is not repeated either.
    """
    persistent = persistent and kind != "any iterable"
    made = Brought(
        kind=kind,
        num_samples=num_samples,
        batch_size=batch_size,
        drop_last=False,
        noisy=noisy and not persistent,
        claimed=num_samples,
        num_workers=num_workers,
        persistent=persistent,
    )
    assert_resumes(lambda: LoaderStream(made()), num_before, 5, 1)


@pytest.mark.filterwarnings("ignore:Length of IterableDataset:UserWarning")
@for_all(
    examples=80,
    many=2500,
    made=LOADERS,
    num_steps=st.integers(1, 20),
    accumulate=SMALL,
)
def test_steps_of_a_loader_cut_its_stream_and_change_nothing_in_it(
    made: Brought, num_steps: int, accumulate: int
) -> None:
    torch.manual_seed(0)
    stream = LoaderStream(made())
    steps = [stream.next_step(accumulate) for _ in range(num_steps)]
    assert [len(step) for step in steps] == [accumulate] * num_steps
    found = list(itertools.chain(*steps))

    torch.manual_seed(0)
    source = made()
    epochs = itertools.chain.from_iterable(iter(source) for _ in itertools.count())
    assert_same(found, list(itertools.islice(epochs, len(found))))


@for_all(
    examples=80,
    many=2500,
    made=LOADERS,
    accumulate=SMALL,
    count=st.integers(1, 3),
)
def test_a_virtual_epoch_of_epochs_over_a_sized_loader_has_every_sample_so_often(
    made: Brought, accumulate: int, count: int
) -> None:
    num_batches = known_length(made())
    if num_batches is None or made.kind == "with replacement":
        return
    step_samples, epoch_samples = made.batch_size * accumulate, made.batch_size * num_batches
    epochs = VirtualEpochs(unit="epochs", count=count, step_samples=step_samples, epoch_samples=epoch_samples)
    stream = LoaderStream(made(), whole_epochs=True)
    in_each = num_batches * made.batches["batch_size"] if made.drop_last else made.num_samples
    for number in (1, 2):
        steps = drawn(stream, epochs.end_step(number) - epochs.end_step(number - 1), accumulate)
        found = torch.cat([batch[0] for batch in itertools.chain(*steps)]).reshape(count, in_each)
        assert all(len(set(row.tolist())) == in_each for row in found)
        assert stream.epochs == number * count
