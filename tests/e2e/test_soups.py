"""Soups: averaged weights that are exported where they are better than the best trial."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from several import NOISY, diabetes_valid, rmse, several

import search
from search.cli.main import main
from search.ensembles.batch_norm import BATCHES, estimate, to_estimate
from search.ensembles.candidates import candidates_of
from search.ensembles.predictions import restored
from search.ensembles.soup import export_soup
from search.errors import RefusedError
from search.text import number_text
from trainables.classification.task import ClassificationTask

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return several(tmp_path_factory.mktemp("noisy"), "regression", {**NOISY, "seed": {"choice": [*range(5)]}})


@pytest.fixture(scope="module")
def normalized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classifications from equal initial weights, with batch normalization, that have just begun."""
    trial = {"optimizer": {"lr": {"choice": [0.01, 0.008, 0.006]}}, "batch_size": 32}
    return several(tmp_path_factory.mktemp("normalized"), "classification", trial)


def test_the_soup_is_that_of_a_greedy_average_by_hand(noisy: Path, tmp_path: Path) -> None:
    """Of a linear model the mean of weights predicts the mean of predictions, which NumPy averages."""
    raw, truth = diabetes_valid()
    alone = [
        search.load(search.export(noisy, trial=number, out=tmp_path / str(number)).folder).predict(raw)
        for number in range(5)
    ]
    in_order = [each.trial for each in candidates_of(noisy, "--soup").found]
    kept = in_order[:1]
    values = [rmse(alone[kept[0]], truth)]
    for number in in_order[1:]:
        values.append(rmse(np.mean([alone[each] for each in (*kept, number)], axis=0), truth))
        if values[-1] <= rmse(np.mean([alone[each] for each in kept], axis=0), truth):
            kept.append(number)
    assert len(kept) > 1
    found = export_soup(noisy, out=tmp_path / "soup")
    assert found.trials == kept
    said = json.loads((tmp_path / "soup" / "soup.json").read_text())
    assert [each["trial"] for each in said["candidates"]] == in_order
    assert [each["value_of_average"] for each in said["candidates"]] == pytest.approx(values, rel=1e-4)
    weights = [load_file(tmp_path / str(number) / "model.safetensors") for number in kept]
    for name, tensor in load_file(tmp_path / "soup" / "model.safetensors").items():
        torch.testing.assert_close(tensor, torch.stack([each[name] for each in weights]).mean(dim=0))
    assert rmse(search.load(tmp_path / "soup").predict(raw), truth) == pytest.approx(
        found.export.value, rel=1e-5
    )
    assert found.export.value < found.best_value


def test_a_soup_with_batch_normalization_predicts_the_value_that_was_measured(
    normalized: Path, tmp_path: Path
) -> None:
    found = export_soup(normalized, out=tmp_path / "soup")
    assert found.export.value > found.best_value
    assert found.estimated > 0
    arrays = ClassificationTask.load_data(ClassificationTask.Options.parse({}))
    model = search.load(tmp_path / "soup")
    right = model.predict(arrays["valid_inputs"]) == arrays["valid_targets"]
    assert np.mean(right) == pytest.approx(found.export.value, abs=1e-12)
    card = (tmp_path / "soup" / "README.md").read_text()
    assert f"average of {len(found.trials)} trials" in card
    assert "history" not in json.loads((tmp_path / "soup" / "metrics.json").read_text())


def test_statistics_are_the_means_over_the_same_training_batches_each_time(normalized: Path) -> None:
    candidates = candidates_of(normalized, "--soup").found
    trainer = restored(candidates[0])
    model, stream = trainer.evaluated_model, trainer.stream.state_dict()
    weights = [each.checkpoint.weights() for each in candidates]
    modules = to_estimate(model, weights)
    names = [name for name, module in model.named_modules() if module in modules]
    assert len(modules) == len([name for name in weights[0] if name.endswith("running_mean")])
    estimate(trainer, model, modules, stream, lambda done, of: None)
    first = modules[0].running_mean.clone(), modules[0].running_var.clone()  # type: ignore[union-attr,operator]
    taken: list[torch.Tensor] = []
    hook = modules[0].register_forward_pre_hook(lambda module, inputs: taken.append(inputs[0].detach()))
    estimate(trainer, model, modules, stream, lambda done, of: None)
    hook.remove()
    assert len(taken) == BATCHES
    torch.testing.assert_close((modules[0].running_mean, modules[0].running_var), first, rtol=0, atol=0)
    means = torch.stack([each.mean(dim=(0, 2, 3)) for each in taken]).mean(dim=0)
    variances = torch.stack([each.var(dim=(0, 2, 3)) for each in taken]).mean(dim=0)
    torch.testing.assert_close(first, (means, variances))
    assert not any(module.training for module in model.modules())
    assert to_estimate(model, [weights[0], weights[0]]) == []
    assert names
    trainer.close()


def test_the_command_says_which_trials_are_averaged_and_what_they_have_alone(
    normalized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["export", str(normalized), "--soup", "--out", str(tmp_path / "soup")])
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "soup" / "soup.json").read_text())
    kept = [each["trial"] for each in found["candidates"] if each["kept"]]
    assert f"average of the weights of {len(kept)} trials ({', '.join(map(str, kept))}) of 3 of this" in said
    number = found["batch_norm"]["modules"]
    assert f"statistics of {number} batch normalizations were estimated anew from {BATCHES} batches" in said
    assert f"trial {kept[0]}, the best one alone, has {number_text(found['candidates'][0]['value'])}" in said
    assert f"tune-search retrain {tmp_path / 'soup'}" in said


def test_the_weights_that_validation_uses_are_averaged(tmp_path: Path) -> None:
    run = several(tmp_path, "regression", {**NOISY, "ema": 0.5})
    found = export_soup(run, out=tmp_path / "soup")
    averaged = [
        load_file(search.export(run, trial=number, out=tmp_path / str(number)).folder / "model.safetensors")
        for number in found.trials
    ]
    for name, tensor in load_file(tmp_path / "soup" / "model.safetensors").items():
        torch.testing.assert_close(tensor, torch.stack([each[name] for each in averaged]).mean(dim=0))


def test_no_soup_is_written_where_none_is_better_than_the_best_trial(tmp_path: Path) -> None:
    same = several(tmp_path, "regression", {**NOISY, "seed": 0, "ema": {"choice": [0.5, 0.5000001]}})
    with pytest.raises(RefusedError, match=r"no average of .* 1 other trial .* alone: rmse .* exports trial"):
        export_soup(same)
    assert not list(same.glob("*export*"))


def test_other_architectures_are_left_out_and_alone_they_are_refused(tmp_path: Path) -> None:
    widths = several(tmp_path, "regression", {"model": {"name": "mlp", "width": {"choice": [8, 16]}}})
    with pytest.raises(RefusedError, match=r"averages weights of one architecture, and of the 2 trials"):
        export_soup(widths)


def test_a_soup_is_retrained_verified_and_has_a_graph(noisy: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(noisy, tmp_path / "run"))
    found = export_soup(run, formats=["pt2"])
    assert found.export.graphs["pt2"]["objective"]["value"] == pytest.approx(found.export.value, rel=1e-4)
    assert search.verify(run).damages == []
    assert search.retrain(found.export.folder, virtual_epochs=1).before == found.export.value
    (found.export.folder / "soup.json").write_text("{}")
    assert [damage.path for damage in search.verify(run).damages] == ["export/soup.json"]
