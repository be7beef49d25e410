"""Pretrained weights: what fits is loaded, the rest is told, and nothing else is executed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from trainables.build import build_trainer, load_arrays
from trainables.imported_options import ImportedModel, WeightsOptions
from trainables.networks.pretrained import load_pretrained
from trainables.segmentation.task import SegmentationTask


def net(classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, classes))


def saved(file: Path, content: Any) -> WeightsOptions:
    if file.suffix == ".safetensors":
        save_file(content, file)
    else:
        torch.save(content, file)
    return WeightsOptions(file=str(file))


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
def test_a_file_that_fits_is_loaded_whole(tmp_path: Path, name: str) -> None:
    source, target = net(), net()
    line = load_pretrained(target, saved(tmp_path / name, source.state_dict()))
    assert line == f"{tmp_path / name}: 9 of 9 weights loaded"
    assert all(torch.equal(value, target.state_dict()[key]) for key, value in source.state_dict().items())


@pytest.mark.parametrize("prefix", ["module.", "model.", "model.net."])
def test_a_prefix_of_all_names_is_left_out_and_a_checkpoint_is_opened(tmp_path: Path, prefix: str) -> None:
    source, target = net(), net()
    weights = {prefix + name: value for name, value in source.state_dict().items()}
    content = {"epoch": 3, "state_dict": weights}
    assert load_pretrained(target, saved(tmp_path / "a.ckpt", content)).endswith("9 of 9 weights loaded")
    assert torch.equal(source[0].weight, target[0].weight)


def test_another_head_is_left_as_it_was_and_told_with_both_shapes(tmp_path: Path) -> None:
    options = saved(tmp_path / "a.safetensors", {**net(5).state_dict(), "extra": torch.ones(1)})
    target = net()
    head = target[2].weight.clone()
    line = load_pretrained(target, options)
    assert line.endswith(
        "7 of 9 weights loaded; of another shape: 2.bias [5] for [3], 2.weight [5, 4] for [3, 4]; "
        "not in the model: extra"
    )
    assert torch.equal(head, target[2].weight)
    with pytest.raises(ValueError, match=r"strict is true, and .* does not fit; of another shape: 2\.bias"):
        load_pretrained(target, WeightsOptions(file=options.file, strict=True))


class Unsafe:
    def __reduce__(self) -> Any:
        return print, ("executed",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other.weight": torch.ones(1)}, "fits the model; not in it: 0.weight, 0.bias"),
        ({"epoch": 3}, "holds no weights but epoch; save model.state_dict() alone"),
        (3, "holds an int; save model.state_dict() instead"),
        ({"model": Unsafe()}, "it is no state dict of tensors alone, and code in it is not executed"),
    ],
)
def test_what_holds_no_weights_is_refused(
    tmp_path: Path, content: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        load_pretrained(net(), saved(tmp_path / "a.pt", content))
    assert "executed" not in capsys.readouterr().out


def test_no_file_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no file"):
        load_pretrained(net(), WeightsOptions(file=str(tmp_path / "none.pt")))
    for name in ("a.safetensors", "a.pt"):
        (tmp_path / name).write_bytes(b"damaged")
        with pytest.raises(ValueError, match="cannot be read"):
            load_pretrained(net(), WeightsOptions(file=str(tmp_path / name)))


def test_a_trial_begins_from_them_and_its_average_too(tmp_path: Path) -> None:
    trial: dict[str, Any] = {
        "data": {"source": "digits", "size": 16, "num_train": 8, "num_valid": 4},
        "model": {"name": "unet", "width": 2, "depth": 1},
        "ema": 0.9,
        "batch_size": 4,
    }

    def trainer_of(trial: dict[str, Any]) -> Any:
        options = SegmentationTask.Options.parse(trial)
        arrays = load_arrays(SegmentationTask, options)
        lengths: Any = {"unit": "steps", "count": 1, "num_virtual_epochs": 1}
        return build_trainer(SegmentationTask, options, arrays, device=torch.device("cpu"), **lengths)

    source = trainer_of(trial)
    source.run_virtual_epoch()
    file = tmp_path / "a.safetensors"
    save_file({name: value.contiguous() for name, value in source.model.state_dict().items()}, file)
    trainer = trainer_of({**trial, "seed": 1, "model": {**trial["model"], "weights": str(file)}})
    assert "weights loaded" in trainer.load_pretrained()
    for model in (trainer.model, trainer.evaluated_model):
        for name, value in source.model.state_dict().items():
            assert torch.equal(model.state_dict()[name], value)


def test_an_imported_model_keeps_an_argument_of_this_name() -> None:
    named = ImportedModel(name="torchvision.models:resnet18", weights="DEFAULT")
    assert named.arguments == {"weights": "DEFAULT"}
    assert ImportedModel(name="a:B", weights="a.pt").arguments == {}
    assert ImportedModel(name="a:B", weights={"file": "a", "strict": True}).weights.strict
