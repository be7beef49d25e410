"""The regression task: targets, losses and metrics, and an export that plain PyTorch can use."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import search_locally
from pydantic import ValidationError
from safetensors.torch import load_file
from sklearn import metrics as reference
from small_trials import assert_identical, everything, run, segmentation_plan, small_trainer

import search
from trainables.regression.metrics import RegressionMetrics
from trainables.regression.options import RegressionOptions
from trainables.regression.task import RegressionTask


def csv_task(folder: Path, text: str, **data: Any) -> RegressionTask:
    file = folder / "data.csv"
    file.write_text(text)
    section = {"source": "csv", "path": str(file), "target": "y", **data}
    options = RegressionOptions.model_validate({"data": section})
    return RegressionTask(options, RegressionTask.load_data(options))


# Data


def test_targets_are_standardized_by_the_training_rows() -> None:
    options = RegressionOptions()
    task = RegressionTask(options, RegressionTask.load_data(options))
    rows, targets = task.train_data()
    assert (rows.shape, targets.shape) == ((354, 10), (354, 1))
    assert (rows.dtype, targets.dtype) == (np.float32, np.float32)
    np.testing.assert_allclose([rows.mean(), targets.mean()], 0.0, atol=1e-5)
    np.testing.assert_allclose([rows.std(axis=0).max(), targets.std()], 1.0, rtol=1e-5)
    of_valid = (
        task.valid_data()[1] * task.preprocessing()["target"]["std"] + task.preprocessing()["target"]["mean"]
    )
    from sklearn.datasets import load_diabetes

    whole = np.sort(load_diabetes().target)
    assert np.isin(np.round(of_valid.ravel()), whole).all()


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("nan", "is 'nan', which data.missing holds; every row must have a target: data.missing_targets"),
        ("", "is empty; every row must have a target: data.missing_targets: drop leaves such rows out"),
        ("inf", "received 'inf'; must be a finite number; use task: classification for names"),
        ("high", "received 'high'; must be a finite number; use task: classification for names"),
        ("3,5", "received '3,5'; must be a finite number; it holds numbers in two notations, such as '3,5' "),
    ],
)
def test_a_target_that_is_no_number_is_named_by_line(tmp_path: Path, cell: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"data.csv:3: column 'y': {message}")):
        csv_task(tmp_path, f'a,y\n1,1.5\n2,"{cell}"\n3,1\n4,2\n')


def test_a_target_without_variation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"column 'y' is 0\.1 in each training row; a target must vary"):
        csv_task(tmp_path, "a,y\n" + "".join(f"{n},0.1\n" for n in range(9)))


# Metrics and losses


def test_metrics_are_those_of_scikit_learn_in_the_units_of_the_target() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(1e4, 250.0, 300)
    predicted = truth + rng.normal(20.0, 100.0, 300)
    mean, std = truth[:200].mean(), truth[:200].std()
    metrics = RegressionMetrics(std)
    for chosen in torch.arange(300).split(47):
        standardized = [
            torch.tensor((values[chosen] - mean) / std)[:, None].float() for values in (predicted, truth)
        ]
        metrics.update(standardized[0], (None, standardized[1]))
    found = metrics.compute()
    assert found["mse"] == pytest.approx(reference.mean_squared_error(truth, predicted), rel=1e-5)
    assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(truth, predicted), rel=1e-5)
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(truth, predicted), rel=1e-5)
    assert found["r2"] == pytest.approx(reference.r2_score(truth, predicted), rel=1e-5)


@pytest.mark.parametrize("error", [0.0, 0.5])
def test_equal_targets_have_the_r2_of_scikit_learn(error: float) -> None:
    targets = torch.full((7, 1), 0.25)
    metrics = RegressionMetrics(2.0)
    metrics.update(targets + error, (None, targets))
    assert metrics.compute()["r2"] == reference.r2_score(targets, targets + error)
    assert all(np.isnan(value) for value in RegressionMetrics(1.0).compute().values())


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ({"name": "mse"}, (0.25 + 4.0) / 2),
        ({"name": "mae"}, (0.5 + 2.0) / 2),
        ({"name": "huber", "delta": 1.0}, (0.125 + 1.5) / 2),
        ({"name": "huber", "delta": 0.5}, (0.125 + 0.875) / 2),
    ],
)
def test_losses_are_those_of_their_definitions(loss: Mapping[str, Any], expected: float) -> None:
    options = RegressionOptions.model_validate({"loss": loss})
    task = RegressionTask(options, RegressionTask.load_data(options))
    batch = None, torch.tensor([[1.0], [2.0]])
    assert float(task.loss(torch.tensor([[1.5], [4.0]]), batch)) == pytest.approx(expected)


def test_wrong_losses_are_refused_with_their_place() -> None:
    with pytest.raises(ValidationError, match=r"loss\.huber\.delta"):
        RegressionOptions.model_validate({"loss": {"name": "huber", "delta": 0}})
    with pytest.raises(ValidationError, match=r"loss\.mse\.delta"):
        RegressionOptions.model_validate({"loss": {"name": "mse", "delta": 1.0}})


# Trials

OPTIONS = {
    "model": {"name": "mlp", "width": 16, "normalization": "batch", "dropout": 0.1},
    "loss": {"name": "huber"},
    "optimizer": {"name": "adamw", "lr": 0.01, "layer_decay": 0.9},
    "batch_size": 8,
    "accumulate": 2,
}


def test_a_diabetes_trial_learns_and_is_the_same_when_it_is_resumed(tmp_path: Path) -> None:
    task = "trainables.regression.task:RegressionTask"
    fields: dict[str, Any] = {"task": task, "options": OPTIONS, "metric": "rmse", "mode": "min", "count": 15}
    whole = run(segmentation_plan(tmp_path / "whole", **fields))
    assert whole.best is not None
    assert whole.best["rmse"] < 65.0
    run(segmentation_plan(tmp_path / "cut", **fields), 2)
    assert_identical(
        everything(run(segmentation_plan(tmp_path / "cut", reported=2, **fields))), everything(whole)
    )


def test_accumulated_micro_batches_are_the_large_batch() -> None:
    plain = {"loss": {"name": "huber"}, "optimizer": {"name": "sgd", "lr": 0.1}}
    cut = small_trainer(RegressionTask, {**plain, "batch_size": 4, "accumulate": 4})
    whole = small_trainer(RegressionTask, {**plain, "batch_size": 16})
    assert cut.run_virtual_epoch()["rmse"] == pytest.approx(whole.run_virtual_epoch()["rmse"], rel=1e-5)
    for name, weight in whole.weights().items():
        torch.testing.assert_close(cut.weights()[name], weight)


# The export


def houses(file: Path, number: int, seed: int) -> None:
    """Rows of numbers with gaps, a text and a constant column; the price depends on all but the last."""
    rng = np.random.default_rng(seed)
    with file.open("w", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["area", "city", "age", "price", "country"])
        for _ in range(number):
            area, age = rng.uniform(30, 200), rng.integers(0, 90)
            city = rng.choice(
                ["Bern", "Basel, town", "Chur"] if seed else ["Bern", "Basel, town", "Chur", "Genf"]
            )
            price = 5000 * area - 1000 * age + (90000 if city == "Bern" else 0) + rng.normal(0, 5000)
            row = [
                f"{area:.1f}",
                city,
                age if rng.random() > 0.1 else rng.choice(["", "NA"]),
                round(price),
                "CH",
            ]
            writer.writerow(row)


def encoded_by_hand(file: Path, preprocessing: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Raw rows as `preprocessing.json` says, without this program; and the raw target."""
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    encoded = []
    for row in rows:
        values: list[float] = []
        for column in preprocessing["columns"]:
            cell = row[column["name"]]
            if column["kind"] == "number":
                values.append(
                    0.0
                    if cell in preprocessing["missing"]
                    else (float(cell) - column["mean"]) / column["std"]
                )
            else:
                own = [float(cell == category) for category in column["categories"]]
                values += [*own, float(not any(own))]
        encoded.append(values)
    target = preprocessing["target"]
    return np.array(encoded, np.float32), np.array([float(row[target["name"]]) for row in rows])


@pytest.fixture(scope="module")
def houses_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The summary of a search on houses in two CSV files, and the file of its validation rows."""
    folder = tmp_path_factory.mktemp("houses")
    houses(folder / "train.csv", 120, 1)
    houses(folder / "valid.csv", 40, 0)
    data = {"source": "csv", "path": str(folder / "train.csv"), "target": "price"}
    config = {
        "name": "houses",
        "task": "regression",
        "objective": {"metric": "rmse", "mode": "min"},
        "trial": {
            "data": {**data, "valid_path": str(folder / "valid.csv")},
            "model": {"name": "mlp", "width": 8, "depth": 1},
            "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-2, 1e-1]}},
        },
        "virtual_epoch": {"epochs": 1},
        "budget": {"trials": 2, "max_virtual_epochs": 4},
    }
    return search_locally(config, results=folder / "results"), folder / "valid.csv"


def test_an_export_gives_its_value_on_raw_rows_in_plain_pytorch(houses_run: tuple[Any, Path]) -> None:
    summary, valid = houses_run
    exported = search.export(summary.folder)
    preprocessing = json.loads((exported.folder / "preprocessing.json").read_text())
    assert [column["name"] for column in preprocessing["columns"]] == ["area", "city", "age"]
    rows, prices = encoded_by_hand(valid, preprocessing)
    weights = load_file(exported.folder / "model.safetensors")
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    places = {"hidden.0.0": "0", "head": "2"}
    model.load_state_dict(
        {f"{places[key[: key.rindex('.')]]}{key[key.rindex('.') :]}": w for key, w in weights.items()}
    )
    target = preprocessing["target"]
    predicted = model(torch.tensor(rows)).detach().numpy()[:, 0] * target["std"] + target["mean"]
    assert reference.root_mean_squared_error(prices, predicted) == pytest.approx(summary.best.value, rel=1e-4)
    assert summary.best.value < prices.std()


def test_preprocessing_is_part_of_the_sums_the_card_and_of_verify(houses_run: tuple[Any, Path]) -> None:
    exported = search.export(houses_run[0].folder)
    assert "  preprocessing.json\n" in (exported.folder / "SHA256SUMS").read_text()
    card = (exported.folder / "README.md").read_text()
    assert "a number is (value - mean) / std" in card
    assert "the prediction is the output * target.std + target.mean" in card
    assert search.verify(houses_run[0].folder).damages == []
    file = exported.folder / "preprocessing.json"
    file.write_text(file.read_text().replace("area", "aera"))
    damage = search.verify(houses_run[0].folder).damages[0]
    assert damage.path == "export/preprocessing.json"
    assert damage.what.startswith("SHA-256 is ")
    file.unlink()
    assert search.verify(houses_run[0].folder).damages[0].what == "is missing"


def test_an_export_of_a_task_without_preprocessing_has_no_such_file(
    finished_run: Any, tmp_path: Path
) -> None:
    exported = search.export(finished_run.folder, out=tmp_path / "export")
    assert not (exported.folder / "preprocessing.json").exists()
    assert "preprocessing" not in (exported.folder / "README.md").read_text()
