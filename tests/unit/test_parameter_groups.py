"""Groups of an optimizer by layer and kind: every learning rate exact, every parameter in one group."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_tasks import DigitsTask, search_config
from torch import nn

import search
from search.errors import ConfigError
from trainables.build import build_trainer
from trainables.networks.segformer import build_segformer
from trainables.networks.unet import UNet
from trainables.optim.lr_schedules import set_lr
from trainables.optim.optimizers import build_optimizer, parameter_groups
from trainables.options import OptimizerOptions
from trainables.segmentation import SegmentationOptions, SegmentationTask


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(4, 2))


def layers_of(model: nn.Sequential) -> list[list[nn.Module]]:
    return [[model[0], model[1]], [model[2]], [model[3]]]


def groups(model: nn.Module, layers: Any = (), layer_decay: float = 1.0) -> list[dict[str, Any]]:
    return parameter_groups(model, lr=0.1, weight_decay=0.3, layers=layers, layer_decay=layer_decay)


def rate_of(model: nn.Module, found: list[dict[str, Any]]) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: group["lr"] for group in found for parameter in group["params"]}


def test_each_layer_has_its_power_of_the_decay_and_its_own_weight_decay() -> None:
    model = mlp()
    found = groups(model, layers_of(model), 0.5)
    shown = [(group["lr"], group["weight_decay"], [p.shape for p in group["params"]]) for group in found]
    assert shown == [
        (0.1, 0.3, [(2, 4)]),
        (0.1, 0.0, [(2,)]),
        (0.05, 0.3, [(4, 4)]),
        (0.05, 0.0, [(4,)]),
        (0.025, 0.3, [(4, 3)]),
        (0.025, 0.0, [(4,), (4,), (4,)]),
    ]


def test_without_layer_decay_there_are_two_groups_and_layers_are_not_looked_at() -> None:
    model = mlp()
    assert [len(group["params"]) for group in groups(model, [[model[0]]])] == [3, 5]


def test_layer_decay_0_gives_all_but_the_head_a_learning_rate_of_0() -> None:
    model = mlp()
    assert [group["lr"] for group in groups(model, layers_of(model), 0.0)] == [0.1, 0.1, 0, 0, 0, 0]


def test_frozen_layers_count_as_layers_and_have_no_group() -> None:
    model = mlp()
    model[2].requires_grad_(False)
    assert {group["lr"] for group in groups(model, layers_of(model), 0.5)} == {0.1, 0.025}


def test_layers_may_be_of_parameters() -> None:
    model = nn.Linear(3, 2)
    assert rate_of(model, groups(model, [[model.weight], [model.bias]], 0.5)) == {"weight": 0.05, "bias": 0.1}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            lambda m: [],
            r"layer_decay is 0.5, but there are no layers of model Sequential.*take layer_decay 1",
        ),
        (lambda m: [[m[0]], [m[3]]], r"1\.weight, 1\.bias, 2\.weight and 1 more of model Sequential in no"),
        (
            lambda m: [*layers_of(m), [m[2].bias]],
            r"^2\.bias of model Sequential in two layers; .*exactly once",
        ),
    ],
)
def test_layers_that_do_not_hold_each_parameter_once_are_refused(layers: Any, message: str) -> None:
    model = mlp()
    with pytest.raises(ValueError, match=message):
        groups(model, layers(model), 0.5)


@pytest.mark.parametrize("name", ["sgd", "adamw", "radam", "adafactor"])
def test_a_schedule_scales_every_layer_from_its_own_peak(name: str) -> None:
    model = mlp()
    optimizer = build_optimizer(
        model,
        OptimizerOptions(name=name, lr=0.1, layer_decay=0.5),
        torch.device("cpu"),
        layers_of(model),
    )
    for factor in (0.5, 0.25):
        set_lr(optimizer, factor)
    assert [group["lr"] for group in optimizer.param_groups] == [
        peak * 0.25 for peak in (0.1, 0.1, 0.05, 0.05, 0.025, 0.025)
    ]


def test_a_step_of_sgd_moves_each_layer_by_its_own_rate() -> None:
    model = mlp()
    optimizer = build_optimizer(
        model,
        OptimizerOptions(name="sgd", lr=0.5, layer_decay=0.5),
        torch.device("cpu"),
        layers_of(model),
    )
    before = [model[index].bias.detach().clone() for index in (0, 2, 3)]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = [old - model[index].bias for old, index in zip(before, (0, 2, 3), strict=True)]
    for move, rate in zip(moved, (0.125, 0.25, 0.5), strict=True):
        torch.testing.assert_close(move, torch.full_like(move, rate))


def test_layers_of_a_unet_are_its_levels_its_decoder_and_its_head() -> None:
    model = UNet(in_channels=1, num_classes=3, width=4, depth=2)
    rates = rate_of(model, groups(model, model.layers(), 0.5))
    assert rates["head.weight"] == rates["head.bias"] == 0.1
    assert rates["up.0.0.weight"] == rates["up.1.0.weight"] == rates["shrink.0.weight"] == 0.05
    assert [rates[f"down.{level}.0.weight"] for level in (2, 1, 0)] == [0.025, 0.0125, 0.00625]
    assert set(rates) == {name for name, _ in model.named_parameters()}


def test_layers_of_a_segformer_are_its_stages_and_its_decode_head() -> None:
    model = build_segformer(in_channels=1, num_classes=3, size="tiny")
    rates = rate_of(model, groups(model, model.layers(), 0.5))
    assert set(rates) == {name for name, _ in model.named_parameters()}
    for name, rate in rates.items():
        expected = {f"stages.{stage}.": 0.1 * 0.5 ** (4 - stage) for stage in range(4)} | {"decode_head": 0.1}
        assert rate == next(value for part, value in expected.items() if part in name), name


def trainer_with(layer_decay: float) -> Any:
    options = SegmentationOptions.model_validate(
        {
            "data": {"source": "digits", "size": 16, "num_train": 8, "num_valid": 4},
            "model": {"name": "segformer", "size": "tiny"},
            "optimizer": {"name": "adamw", "lr": 0.01, "layer_decay": layer_decay},
            "lr_schedule": {"name": "linear", "final_factor": 0.5},
            "batch_size": 4,
        }
    )
    arrays = SegmentationTask.load_data(options)
    return build_trainer(
        SegmentationTask,
        options,
        arrays,
        unit="steps",
        count=2,
        num_virtual_epochs=2,
        device=torch.device("cpu"),
    )


def test_the_learning_rate_of_the_head_is_reported_and_a_checkpoint_goes_on_exactly() -> None:
    whole = trainer_with(0.5)
    reports = [whole.run_virtual_epoch() for _ in range(2)]
    assert reports[-1]["lr"] == 0.005
    first = trainer_with(0.5)
    first.run_virtual_epoch()
    weights, state = first.weights(), first.state_dict()
    second = trainer_with(0.5)
    second.load(weights, state)
    second.run_virtual_epoch()
    for name, tensor in whole.weights().items():
        assert torch.equal(tensor, second.weights()[name]), name


def test_layer_decay_for_a_task_without_layers_is_an_error_at_its_line_before_anything_runs() -> None:
    config = search_config()
    config["trial"]["optimizer"] = {"name": "adamw", "layer_decay": {"choice": [1.0, 0.75]}}
    with pytest.raises(ConfigError, match=r"layer_decay: received 0\.75, but DigitsTask has no layers"):
        search.check(config)
    assert DigitsTask.layers is not SegmentationTask.layers
