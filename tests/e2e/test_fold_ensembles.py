"""`export --ensemble folds`: the models of all folds as one, whose value is out of fold."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fold_data import table
from in_process import search_locally
from predicted import UNET

import search
from search.cli.main import main
from search.commands.verify import verify
from search.errors import RefusedError, SearchError
from search.retraining.fold_ensemble import FoldEnsemble
from search.retraining.folds import FoldReport, retrain_folds
from search.retraining.out_of_fold import out_of_fold
from search.retraining.values import fold_members
from search.run.data.record import DataChangedError
from search.text import number_text

pytestmark = pytest.mark.usefixtures("no_fsync")


def trained(folder: Path, task: str, metric: str, trial: dict[str, Any]) -> Path:
    """A run of one short trial, whose folds are trained."""
    config = {
        "name": "folds",
        "task": task,
        "objective": {"metric": metric, "mode": "min" if metric in ("rmse", "valid_loss") else "max"},
        "trial": trial,
        "virtual_epoch": {"steps": 4},
        "budget": {"trials": 1, "max_virtual_epochs": 2},
        "scheduler": {"name": "none"},
    }
    run = Path(search_locally(config, results=folder, name="run").folder)
    retrain_folds(search.export(run).folder)
    return run


@pytest.fixture(scope="module")
def of_table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A table, and a run whose folds are trained on it, each with its own means and deviations."""
    folder = tmp_path_factory.mktemp("table")
    data = {"source": "csv", "path": str(table(folder)), "target": "kind", "group": "patient", "folds": 3}
    return folder / "table.csv", trained(
        folder, "classification", "accuracy", {"data": data, "model": {"name": "mlp"}}
    )


@pytest.fixture
def run(of_table: tuple[Path, Path], tmp_path: Path) -> Path:
    shutil.copytree(of_table[1], tmp_path / "run")
    return tmp_path / "run"


def told(folder: Path, file: str = "metrics.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / file).read_text(encoding="utf-8"))
    return found


def test_the_value_is_out_of_fold_and_members_have_those_of_their_folds(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["export", str(run), "--ensemble", "folds"])
    said, values = capsys.readouterr().out, told(run / "retrain", "folds.json")
    report, export = told(run / "export"), run / "export"
    right = sum(each["value"] * each["samples"]["validation"] for each in values["values"])
    assert report["objective"]["value"] == report["metrics"]["accuracy"] == pytest.approx(right / 60)
    assert report["metrics"] == out_of_fold(run / "retrain")
    assert report["evaluation"].startswith("out of fold: each sample is predicted by the one member that has")
    assert (report["folds"]["mean"], report["folds"]["std"]) == (values["mean"], values["std"])
    assert [each["value"] for each in report["members"]] == [each["value"] for each in values["values"]]
    assert [(each["label"], each["count"]) for each in report["members"]] == [
        ("fold 0", 1),
        ("fold 1", 1),
        ("fold 2", 1),
    ]
    for number in range(3):
        metrics = told(export / f"members/{number + 1}")["metrics"]
        assert metrics == told(run / f"retrain/fold_{number}/export")["metrics"]
    assert "ensemble of 3 folds of trial 0, exported to" in said
    assert f"accuracy {number_text(report['objective']['value'])} out of fold" in said
    assert "the mean of the members is not measured" in said
    card = (export / "README.md").read_text(encoding="utf-8")
    assert f"accuracy **{report['objective']['value']:.4f}** out of fold" in card
    assert "on the validation data" not in card
    assert "split: out of fold" in card
    assert "was not measured" in card
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=export, check=True)
    assert not verify(run).damages
    (export / "members/3/model.safetensors").write_bytes(b"")
    assert [damage.path for damage in verify(run).damages] == ["export/members/3/model.safetensors"]


def test_rows_of_a_table_get_the_mean_of_members_that_encode_them_each_by_its_own_training_rows(
    of_table: tuple[Path, Path], tmp_path: Path
) -> None:
    export = search.export_ensemble(of_table[1], "folds", out=tmp_path / "export").folder
    members = sorted((export / "members").iterdir())
    means = [told(member, "preprocessing.json")["columns"][0] for member in members]
    assert len({json.dumps(mean) for mean in means}) == 3
    names, *lines = csv.reader(of_table[0].read_text().splitlines())
    rows = dict(zip(names, zip(*lines, strict=True), strict=True))
    alone = [search.load(member).predict_proba(rows) for member in members]
    assert np.ptp(alone, axis=0).max() > 1e-3
    np.testing.assert_allclose(search.load(export).predict_proba(rows), np.mean(alone, axis=0), atol=1e-6)
    search.predict(export, of_table[0], out=tmp_path / "out")
    with (tmp_path / "out/predictions.csv").open(newline="") as file:
        found = [row["class"] for row in csv.DictReader(file)]
    classes = search.load(export).classes
    assert found == [classes[number] for number in np.mean(alone, axis=0).argmax(axis=1)]


def test_masks_of_a_segmentation_are_of_the_mean_of_the_members(tmp_path: Path) -> None:
    data = {"source": "digits", "size": 16, "num_train": 40, "num_valid": 10, "folds": 2}
    run = trained(tmp_path, "segmentation", "miou", {"data": data, "model": UNET, "optimizer": {"lr": 0.02}})
    found = search.export_ensemble(run, "folds")
    assert isinstance(found, FoldEnsemble)
    assert found.value == found.metrics["miou"] == out_of_fold(run / "retrain")["miou"]
    assert found.value != found.folds.mean, "an IoU of all samples is not the mean of those of its parts"
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 1), np.uint8)
    alone = [
        search.load(member).predict_proba(image) for member in sorted((found.folder / "members").iterdir())
    ]
    probabilities = search.load(found.folder).predict_proba(image)
    np.testing.assert_allclose(probabilities, np.mean(alone, axis=0), atol=1e-6)
    assert search.load(found.folder).metrics == found.metrics


def test_numbers_are_means_in_their_own_units_and_a_loss_may_be_the_objective(tmp_path: Path) -> None:
    run = trained(
        tmp_path,
        "regression",
        "valid_loss",
        {"data": {"source": "diabetes", "folds": 2}, "model": {"name": "mlp"}},
    )
    found = search.export_ensemble(run, "folds", out=tmp_path / "export")
    assert isinstance(found, FoldEnsemble)
    assert found.value == found.metrics["valid_loss"]
    squared = [each.metrics["rmse"] ** 2 * each.samples["validation"] for each in found.folds.values]  # type: ignore[operator]
    assert found.metrics["rmse"] ** 2 == pytest.approx(sum(squared) / 442, rel=1e-5)
    rows = np.random.default_rng(0).normal(size=(5, 10)).astype(np.float32)
    alone = [search.load(member).predict(rows) for member in sorted((found.folder / "members").iterdir())]
    np.testing.assert_allclose(search.load(found.folder).predict(rows), np.mean(alone, axis=0), rtol=1e-5)


def test_folds_that_are_not_all_trained_are_refused_with_the_command(run: Path) -> None:
    shutil.rmtree(run / "retrain")

    def kill(report: FoldReport) -> None:
        if report.fold == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrain_folds(run / "export", progress=kill)
    with pytest.raises(RefusedError, match=r"holds 1 of 3 folds in folds\.json; `tune-search retrain .*all`"):
        search.export_ensemble(run, "folds")
    assert told(run / "export")["trial"] == 0, "what was there stays"


def test_folds_elsewhere_are_taken_where_they_are_named(run: Path, tmp_path: Path) -> None:
    (run / "retrain").rename(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="holds no folds"):
        search.export_ensemble(run, "folds")
    found = search.export_ensemble(run, "folds", folds=tmp_path / "elsewhere")
    assert len(found.members) == 3


def test_a_model_that_is_gone_or_damaged_is_named_with_its_way_out(run: Path) -> None:
    weights = fold_members(run / "retrain")[2].checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(SearchError, match=r"fold 2 cannot be exported: .* `tune-search retrain .* --fold 2`"):
        search.export_ensemble(run, "folds")
    shutil.rmtree(weights.parent)
    with pytest.raises(SearchError, match=r"fold_2 has no checkpoint of virtual epoch \d, which folds"):
        search.export_ensemble(run, "folds")
    assert not (run / "export/ensemble.json").exists()


def test_other_data_than_the_folds_were_trained_on_are_refused(tmp_path: Path) -> None:
    data = {"source": "csv", "path": str(table(tmp_path)), "target": "kind", "folds": 2}
    run = trained(tmp_path, "classification", "accuracy", {"data": data, "model": {"name": "mlp"}})
    with (tmp_path / "table.csv").open("a") as file:
        file.write("p0,0.1,0.2,ill\n")
    with pytest.raises(DataChangedError, match=r"the data have changed since .*fold_0 was trained"):
        search.export_ensemble(run, "folds")


def test_data_without_folds_are_refused_with_the_key(tmp_path: Path) -> None:
    config = {
        "name": "none",
        "task": "classification",
        "objective": {"metric": "accuracy", "mode": "max"},
        "trial": {"data": {"source": "breast_cancer"}, "model": {"name": "mlp"}},
        "virtual_epoch": {"steps": 2},
        "budget": {"trials": 1, "max_virtual_epochs": 1},
    }
    run = search_locally(config, results=tmp_path).folder
    with pytest.raises(RefusedError, match=r"has no trial\.data\.folds.* search with data"):
        search.export_ensemble(run, "folds")
