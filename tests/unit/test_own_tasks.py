"""Tasks of the user's own: all of a model is trained, and no trial begins with what another has changed."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from tiny_tasks import DigitsTask
from torch import nn
from torch.nn import functional

from search.commands.check_own import doubts, gradients_seen
from trainables.build import build_trainer, load_arrays
from trainables.networks.own import begin_with, check_model
from trainables.options import TrialOptions
from trainables.task import Task
from trainables.training.trainer import Trainer


class Net(nn.Module):
    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        self.head = nn.Linear(2, 1)
        for name, value in attributes.items():
            setattr(self, name, value)


@pytest.mark.parametrize(
    ("returned", "said"), [(None, "nothing: its `return` may be missing"), ([nn.Linear(1, 1)], "a list")]
)
def test_what_is_no_model_is_said(returned: Any, said: str) -> None:
    with pytest.raises(TypeError, match=rf"build_model\(\) returned {said}; it must return a torch"):
        check_model(returned)


@pytest.mark.parametrize(
    ("layers", "instead"),
    [
        ([nn.Linear(2, 2)], "layers of the model is a list of layers, .*: make it an nn.ModuleList"),
        ((nn.Linear(2, 2),), "is a tuple of layers"),
        ({"a": nn.Linear(2, 2)}, "is a dict of layers, .*: make it an nn.ModuleDict"),
    ],
)
def test_layers_that_would_not_be_trained_are_named(layers: Any, instead: str) -> None:
    for model in (Net(layers=layers), nn.Sequential(nn.ReLU(), Net(layers=layers))):
        with pytest.raises(ValueError, match=rf"Net\.{instead}" if "layers of" in instead else instead):
            check_model(model)


def test_lists_without_layers_of_their_own_are_the_models_business() -> None:
    teacher, known = nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2)
    for model in (
        Net(sizes=[1, 2], teacher=[teacher], empty=(), names={"a": 1}),
        Net(known=known, again=[known]),
        Net(layers=nn.ModuleList([nn.Linear(2, 2)])),
        nn.LSTM(2, 2),
    ):
        assert check_model(model) is model


def test_a_model_whose_weights_another_trial_has_trained_is_refused() -> None:
    shared, frozen = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
    begin_with(nn.Sequential(frozen, shared, nn.Linear(2, 1)))
    begin_with(nn.Sequential(frozen, copy.deepcopy(shared)))
    begin_with(nn.Sequential(frozen, nn.Linear(2, 1)))
    with pytest.raises(ValueError, match=r"weights of the trial before \(0\.weight\): make them"):
        begin_with(nn.Sequential(shared, nn.Linear(2, 1)))


class Listing(Task):
    @classmethod
    def load_data(cls, options: Any) -> Any:
        return [1, 2]


def test_what_load_data_returns_is_a_dict_whose_arrays_no_trial_can_change() -> None:
    with pytest.raises(TypeError, match=r"load_data\(\) of Listing returned a list; it must return a dict"):
        load_arrays(Listing, TrialOptions())
    arrays = load_arrays(DigitsTask, TrialOptions())
    with pytest.raises(ValueError, match="read-only"):
        arrays["x"] -= 1


class Summing(DigitsTask):
    def loss(self, outputs: Any, batch: Any) -> Any:
        return functional.cross_entropy(outputs, batch[1], reduction="sum")


class Detaching(DigitsTask):
    def loss(self, outputs: Any, batch: Any) -> Any:
        return super().loss(outputs, batch).detach().requires_grad_()


class Validating(DigitsTask):
    def valid_data(self) -> Any:
        return self.train_data()


class Caching(DigitsTask):
    model: Any = None

    def build_model(self) -> nn.Module:
        Caching.model = Caching.model or super().build_model()
        return Caching.model


def trainer_of(task: type[Task]) -> Trainer:
    options = TrialOptions()
    arrays = load_arrays(task, options)
    return build_trainer(
        task, options, arrays, unit="steps", count=1, num_virtual_epochs=1, device=torch.device("cpu")
    )


@pytest.mark.parametrize(
    ("task", "doubt"),
    [
        (DigitsTask, None),
        (Summing, r"loss\(\) grows with the number of samples, as a sum does: return the mean"),
        (Detaching, r"no gradient reaches (\d+) of \1 parameters \(.*\): the loss does not depend on them"),
        (Validating, r"train_data\(\) and valid_data\(\) are the same: metrics of samples"),
    ],
)
def test_what_looks_wrong_is_noted(task: type[Task], doubt: str | None) -> None:
    trainer = trainer_of(task)
    with gradients_seen(trainer.model) as seen:
        trainer.take_steps(1)
    found = list(doubts(trainer, seen))
    assert len(found) == (0 if doubt is None else 1)
    assert doubt is None or re.match(doubt, found[0])


def test_a_model_that_is_made_once_is_found_before_the_second_trial() -> None:
    with pytest.raises(ValueError, match="weights of the trial before"):
        list(doubts(trainer_of(Caching), ()))
