"""Groups of an optimizer and frozen parameters, by the names of a model's parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from trainables.optim.optimizers import build_optimizer
from trainables.optim.parts import Freezing
from trainables.options import OptimizerOptions, TrialOptions

CPU = torch.device("cpu")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.head = nn.Linear(4, 2)

    def layers(self) -> list[list[nn.Module]]:
        return [[self.encoder], [self.head]]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x))


def settings_of(net: Net, layers: bool = False, **options: Any) -> dict[str, tuple[float, float]]:
    """Peak learning rate and weight decay by the name of a parameter."""
    optimizer = build_optimizer(
        net, OptimizerOptions(name="adamw", lr=1.0, **options), CPU, net.layers() if layers else ()
    )
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    return {
        names[id(parameter)]: (round(group["initial_lr"], 9), group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_groups_scale_the_rate_and_replace_the_decay_and_a_later_one_decides_each_by_itself() -> None:
    groups = [
        {"match": "encoder.*", "lr_factor": 0.1},
        {"match": ["*.0.weight"], "weight_decay": 0.5},
        {"match": "encoder.1.*", "lr_factor": 0.01},
    ]
    assert settings_of(Net(), weight_decay=0.2, groups=groups) == {
        "encoder.0.weight": (0.1, 0.5),
        "encoder.0.bias": (0.1, 0.0),
        "encoder.1.weight": (0.01, 0.0),
        "encoder.1.bias": (0.01, 0.0),
        "head.weight": (1.0, 0.2),
        "head.bias": (1.0, 0.0),
    }


def test_groups_multiply_what_layer_decay_gives() -> None:
    groups = [{"match": "*.bias", "lr_factor": 2.0}]
    found = settings_of(Net(), layers=True, layer_decay=0.5, groups=groups)
    assert found["head.weight"][0] == 1.0
    assert found["head.bias"][0] == 2.0
    assert found["encoder.0.weight"][0] == 0.5
    assert found["encoder.0.bias"][0] == 1.0


def test_without_groups_the_groups_are_those_of_before() -> None:
    optimizer = build_optimizer(Net(), OptimizerOptions(name="sgd", weight_decay=0.1), CPU)
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 4]


@pytest.mark.parametrize("key", ["groups", "freeze"])
def test_a_pattern_that_matches_nothing_is_refused_with_the_names(key: str) -> None:
    message = "'encodr.*' matches no parameter of Net, which has encoder.0.weight, encoder.0.bias"
    tries: dict[str, Callable[[], Any]] = {
        "groups": lambda: settings_of(Net(), groups=[{"match": "encodr.*"}]),
        "freeze": lambda: Freezing(Net(), TrialOptions(freeze=["encodr.*"]).freeze),
    }
    with pytest.raises(ValueError, match=re.escape(message)):
        tries[key]()


def trained(net: Net, freeze: list[Any], steps: int, at: int = 0, again: bool = False) -> dict[str, bool]:
    """Which of the weights and statistics change in these steps; `again`: a virtual epoch begins at each."""
    freezing = Freezing(net, TrialOptions(freeze=freeze).freeze)
    optimizer = build_optimizer(net, OptimizerOptions(name="adamw", lr=0.1, weight_decay=0.1), CPU)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    freezing.apply(at, again=True)
    for step in range(at, at + steps):
        if again:
            net.eval()
            net.train()
            freezing.apply(step, again=True)
        freezing.apply(step)
        net(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return {name: not torch.equal(value, before[name]) for name, value in net.state_dict().items()}


def test_what_is_frozen_stays_with_its_running_statistics() -> None:
    changed = trained(Net(), ["encoder.*"], steps=3)
    assert {name for name, is_changed in changed.items() if is_changed} == {"head.weight", "head.bias"}
    partly = trained(Net(), ["encoder.0.*"], steps=3)
    assert partly["encoder.1.running_mean"]
    assert not partly["encoder.0.weight"]


def test_what_is_frozen_until_a_step_is_trained_from_it_on() -> None:
    rule = {"match": "encoder.*", "until": 3}
    assert not trained(Net(), [rule], steps=3)["encoder.0.weight"]
    assert all(trained(Net(), [rule], steps=4).values())
    assert all(trained(Net(), [rule], steps=1, at=3).values())


def test_where_virtual_epochs_begin_changes_nothing() -> None:
    results = []
    for again in (False, True):
        torch.manual_seed(0)
        net = Net()
        freeze = [{"match": "encoder.0.*", "until": 2}, {"match": "encoder.1.*", "until": 4}]
        torch.manual_seed(1)
        trained(net, freeze, steps=6, again=again)
        results.append(net.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_a_frozen_part_is_not_in_the_optimizer_and_one_frozen_for_a_time_is() -> None:
    for freeze, number in (["encoder.*"], 2), ([{"match": "encoder.*", "until": 5}], 6):
        net = Net()
        Freezing(net, TrialOptions(freeze=freeze).freeze)
        optimizer = build_optimizer(net, OptimizerOptions(), CPU)
        assert sum(len(group["params"]) for group in optimizer.param_groups) == number


def test_a_freeze_that_leaves_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="freeze matches every parameter"):
        Freezing(Net(), TrialOptions(freeze=[{"match": "*", "until": 9}]).freeze)


def test_unknown_keys_and_empty_patterns_are_refused() -> None:
    for wrong in ([{"mach": "a"}], [{"match": []}], [""], [{"match": "a", "until": 0}]):
        with pytest.raises(ValidationError):
            TrialOptions(freeze=wrong)
