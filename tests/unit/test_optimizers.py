"""Optimizers by name: groups, implementation, and errors that say what to do."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from trainables.optim.optimizers import (
    REFUSED,
    build_optimizer,
    check_options,
    optimizer_class,
    optimizer_names,
)
from trainables.options import OptimizerOptions

CPU = torch.device("cpu")


class Mixed(nn.Module):
    """Every kind of parameter: kernels, biases, normalization, an embedding and a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.conv = nn.Conv1d(4, 4, 3)
        self.norm = nn.BatchNorm1d(4)
        self.plane_norm = nn.LayerNorm((4, 2))
        self.head = nn.Linear(4, 2)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def build(model: nn.Module, name: str, extra: dict[str, Any] | None = None, **options: Any) -> Optimizer:
    return build_optimizer(model, OptimizerOptions(name=name, **{"lr": 0.1, **options, **(extra or {})}), CPU)


def step(model: nn.Module, optimizer: Optimizer) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def test_weight_decay_acts_on_kernels_and_matrices_only() -> None:
    model = Mixed()
    decay, no_decay = build(model, "adamw", weight_decay=0.3).param_groups
    assert decay["weight_decay"] == 0.3
    assert {id(p) for p in decay["params"]} == {id(model.conv.weight), id(model.head.weight)}
    assert no_decay["weight_decay"] == 0.0
    plain = [model.embedding.weight, model.conv.bias, model.head.bias]
    plain += [*model.norm.parameters(), *model.plane_norm.parameters()]
    assert {id(p) for p in no_decay["params"]} == {id(p) for p in plain}


def test_frozen_parameters_are_left_out() -> None:
    model = Mixed()
    held = {id(p) for group in build(model, "sgd").param_groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}


def test_no_group_is_empty() -> None:
    assert len(build(nn.Linear(2, 2, bias=False), "sgd").param_groups) == 1
    assert len(build(nn.BatchNorm1d(2), "sgd").param_groups) == 1


def test_groups_carry_the_peak_learning_rate() -> None:
    assert [group["initial_lr"] for group in build(Mixed(), "nadam", lr=0.25).param_groups] == [0.25, 0.25]


@pytest.mark.parametrize("name", optimizer_names())
def test_every_known_optimizer_takes_a_step(name: str) -> None:
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    step(model, build(model, name))
    assert not torch.equal(model.weight, before)
    assert torch.isfinite(model.weight).all()


def test_names_are_taken_in_any_case() -> None:
    assert optimizer_class("AdamW") is optimizer_class("adamw") is torch.optim.AdamW


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adagrad"])
def test_fused_is_used_where_it_works_and_gives_the_same_step(name: str) -> None:
    torch.manual_seed(0)
    model, plain = nn.Linear(3, 2), nn.Linear(3, 2)
    plain.load_state_dict(model.state_dict())
    fused, loop = build(model, name), build(plain, name, {"fused": False, "foreach": False})
    assert [group["fused"] for group in fused.param_groups] == [True, True]
    step(model, fused)
    step(plain, loop)
    torch.testing.assert_close(model.weight, plain.weight)


def test_foreach_is_used_where_there_is_no_fused_implementation() -> None:
    assert build(nn.Linear(2, 2), "radam").param_groups[0]["foreach"] is True


@pytest.mark.parametrize("extra", [{"foreach": True}, {"foreach": False}, {"fused": False}])
def test_the_implementation_asked_for_is_kept(extra: dict[str, bool]) -> None:
    group = build(nn.Linear(2, 2), "adamw", extra).param_groups[0]
    assert {key: group[key] for key in extra} == extra
    assert not group["fused"]


def test_parameters_without_a_fused_kernel_fall_back() -> None:
    model = nn.Linear(2, 2, dtype=torch.complex64)
    group = build(model, "adamw").param_groups[0]
    assert not group["fused"]
    assert not group["foreach"]


def test_sparse_gradients_fall_back() -> None:
    model = nn.Embedding(4, 2, sparse=True)
    optimizer = build(model, "sgd")
    model(torch.tensor([1])).sum().backward()
    optimizer.step()
    assert not optimizer.param_groups[0]["fused"]


def test_lists_become_tuples_of_floats() -> None:
    assert build(nn.Linear(2, 2), "adam", {"betas": [0, 0.99]}).param_groups[0]["betas"] == (0.0, 0.99)


def test_unknown_optimizer_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'adamm'.*nearest is 'adam'"):
        check_options("adamm", [])


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_optimizers_that_cannot_be_used_say_why(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' cannot be used: .*; take"):
        check_options(name, [])


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="SGD has no option 'momentun'; nearest is 'momentum'"):
        check_options("sgd", ["nesterov", "momentun"])


@pytest.mark.parametrize("option", ["lr", "weight_decay", "params"])
def test_fields_of_their_own_are_not_options(option: str) -> None:
    with pytest.raises(ValueError, match=f"no option '{option}'"):
        check_options("adamw", [option])


def test_a_value_that_the_class_refuses_is_shown() -> None:
    with pytest.raises(ValueError, match=r"Adam refuses .*1\.5.*Invalid beta"):
        build(nn.Linear(2, 2), "adam", {"betas": [1.5, 0.9]})
    with pytest.raises(ValueError, match=r"SGD refuses .*'much'"):
        build(nn.Linear(2, 2), "sgd", {"momentum": "much"})


def test_weight_decay_for_a_class_without_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Rprop has no weight decay, got weight_decay 0\.1"):
        build(nn.Linear(2, 2), "rprop", weight_decay=0.1)


def test_a_model_without_trainable_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="ReLU has no trainable parameter"):
        build(nn.ReLU(), "sgd")
