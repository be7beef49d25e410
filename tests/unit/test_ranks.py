"""How the samples of a micro-batch are shared out to the processes of a trial."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables.data.source import ArraySource
from trainables.data.stream import SampleStream
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.networks.normalization import BatchNorm2d
from trainables.process.failure import RankError
from trainables.ranks.batch_norm import synchronize
from trainables.ranks.group import Ranks, part_of
from trainables.ranks.join import find_store, interface_of, open_store
from trainables.ranks.team import Answer, LostPeerError, Team


class Noted(ArraySource):
    """Batches of sample numbers with their random numbers."""

    num_randoms = 3

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[torch.Tensor, ...]:
        assert randoms is not None
        return torch.from_numpy(indices), torch.from_numpy(randoms)


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("num_samples", range(1, 12))
def test_each_sample_is_in_the_part_of_one_rank_that_counts(num_samples: int, size: int) -> None:
    ranks = [Ranks(rank=rank, size=size, num_samples=num_samples) for rank in range(size)]
    parts = [part_of(num_samples, ranks_.rank, size) for ranks_ in ranks if ranks_.counts]
    assert [sample for start, stop in parts for sample in range(start, stop)] == list(range(num_samples))
    assert max(stop - start for start, stop in parts) - min(stop - start for start, stop in parts) <= 1
    assert [part_of(num_samples, each.rank, size) for each in ranks if not each.counts] == [
        (0, 1) for each in ranks if not each.counts
    ]


@pytest.mark.parametrize("whole_epochs", [False, True])
def test_the_ranks_together_draw_the_samples_of_one_process(whole_epochs: bool) -> None:
    source = Noted(np.arange(11))
    arguments = {"batch_size": 4, "seed": 5, "whole_epochs": whole_epochs}
    one = SampleStream(source, **arguments)
    ranks = [SampleStream(source, **arguments, rank=rank, num_ranks=2) for rank in range(2)]
    for _ in range(7):
        (whole,) = one.next_step(1)
        parts = [stream.next_step(1)[0] for stream in ranks]
        for number, values in enumerate(whole):
            assert torch.equal(torch.cat([part[number] for part in parts]), values)
    assert [stream.state_dict() for stream in ranks] == [one.state_dict()] * 2


def test_micro_batches_of_a_step_end_with_what_is_left_of_the_epoch() -> None:
    lengths = VirtualEpochs(unit="epochs", count=1, step_samples=8, epoch_samples=13)
    assert [lengths.micro_batch_sizes(step, 4) for step in range(3)] == [[4, 4], [4, 1], [4, 4]]


def test_the_interface_of_an_address_is_found() -> None:
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("203.0.113.77") == ""


class Activated(nn.BatchNorm2d):
    """As some libraries have it: the activation is part of the normalization."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs).relu()


@pytest.mark.parametrize(
    "normalization", [BatchNorm2d(3), nn.BatchNorm2d(3)], ids=lambda n: type(n).__module__
)
def test_the_networks_own_normalization_is_synchronized_as_torchs(normalization: nn.Module) -> None:
    model = nn.Sequential(normalization)
    synchronize(model, Ranks(rank=0, size=2))
    assert "forward" in vars(model[0])


@pytest.mark.parametrize("normalization", [Activated(3), nn.SyncBatchNorm(3)], ids=lambda n: type(n).__name__)
def test_a_normalization_with_a_forward_pass_of_its_own_is_refused(normalization: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 1), normalization)
    with pytest.raises(ValueError, match=r"1 of the model, a \w+, has a forward pass"):
        synchronize(model, Ranks(rank=0, size=2))


class DiesMeanwhile:
    """A process, and its call, that is there when it is first asked for, and is gone after that."""

    def __init__(self) -> None:
        self.asked = 0

    def call(self, method: str, *arguments: Any) -> DiesMeanwhile:
        return self

    def close(self) -> None:
        """It is gone."""

    def is_done(self) -> bool:
        self.asked += 1
        return self.asked > 1

    def answer(self, seconds: float) -> Answer:
        raise LostPeerError("the actor died")


def test_a_process_that_dies_between_two_questions_is_named_too() -> None:
    team = Team([DiesMeanwhile()], "127.0.0.1")
    team._store = open_store("127.0.0.1", 1)
    team._beats = find_store("127.0.0.1", team._store.port, 1)
    team._call("train")
    with pytest.raises(RankError, match="the process of rank 1 of 2 died"):
        team._answers()
