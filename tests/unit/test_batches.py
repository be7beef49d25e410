"""Batches of any form, and what is said where a task has to say more."""

from __future__ import annotations

from collections import UserDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from trainables.data.batches import collated, inputs_of, num_samples, to_device
from trainables.data.source import DatasetSource
from trainables.options import TrialOptions
from trainables.task import Task

X, Y = torch.zeros(4, 3), torch.ones(4)


@dataclass
class Sample:
    image: Any
    label: Any


class Pair(NamedTuple):
    image: Any
    label: Any


class Movable(UserDict[str, Any]):
    """As a batch of transformers: a mapping that moves itself."""

    def to(self, device: torch.device) -> Movable:
        return Movable({key: value.to(device) for key, value in self.items()})


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ((X, Y), 4),
        ([X], 4),
        (X, 4),
        ({"x": X, "y": Y}, 4),
        (Sample(X, Y), 4),
        (Pair(X, Y), 4),
        (Movable(x=X), 4),
        (([X, X], Y), 4),
        (({"ids": X, "mask": X, "more": X}, Y), 4),
        ([[torch.zeros(3, 5, 5)] * 6, [{"boxes": X}] * 6], 6),
        ((torch.tensor(1.0), Y), 4),
    ],
    ids=repr,
)
def test_samples_of_a_batch_are_counted_whatever_its_form(batch: Any, expected: int) -> None:
    assert num_samples(batch) == expected


def test_a_model_gets_the_whole_of_a_batch_that_is_a_tensor() -> None:
    assert inputs_of(X, "MyTask") is X
    assert inputs_of((X, Y), "MyTask") is X


@pytest.mark.parametrize(
    ("batch", "first", "second"),
    [
        ({"pixel_values": X, "labels": Y}, 'batch["pixel_values"]', 'batch["labels"]'),
        (Movable(ids=X, labels=Y), 'batch["ids"]', 'batch["labels"]'),
        (Sample(X, Y), "batch.image", "batch.label"),
    ],
    ids=["dict", "mapping", "dataclass"],
)
def test_what_to_write_for_a_batch_with_names_is_shown_and_works(batch: Any, first: str, second: str) -> None:
    task = Task(TrialOptions.model_construct(), {})
    with pytest.raises(TypeError) as caught:
        task.forward(torch.nn.Linear(3, 1), batch)
    text = str(caught.value)
    assert f"take {second} for batch[1] in loss()" in text
    assert first in text
    scope: dict[str, Any] = {"Task": Task}
    exec("class MyTask(Task):\n" + text.partition("\n")[2], scope)
    made = scope["MyTask"](TrialOptions.model_construct(), {})
    assert made.forward(torch.nn.Linear(3, 1), batch).shape == (4, 1)
    assert made.loss_weight(batch) == 4


def test_samples_that_are_dataclasses_become_one_of_batches() -> None:
    batch = collated([Sample(np.ones(3, np.float32), 1), Sample(np.zeros(3, np.float32), 0)])
    assert isinstance(batch, Sample)
    assert (batch.image.shape, batch.label.tolist()) == ((2, 3), [1, 0])
    found = DatasetSource([Sample(1.0, 2.0), Sample(3.0, 4.0)]).batch(np.array([1, 0]), None)
    assert found.image.tolist() == [3.0, 1.0]


def test_every_form_moves_to_the_device() -> None:
    meta = torch.device("meta")
    for batch in ({"x": X}, Movable(x=X), UserDict(x=X)):
        assert to_device(batch, meta)["x"].device == meta
    assert to_device(Sample(X, "name"), meta).image.device == meta
    assert to_device(Pair(X, Y), meta).label.device == meta
