"""`retrain --fold`: each fold is trained on alone, continued after a kill, and told together."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fold_data import class_folder, table
from in_process import resume_locally, search_locally
from safetensors.torch import load_file
from several import all_together

import search
from search.cli.main import main
from search.errors import ConfigError, RefusedError, SearchError
from search.retraining.folds import FoldReport, retrain_folds
from search.retraining.out_of_fold import out_of_fold
from search.retraining.values import fold_members, read_folds
from search.run.data.record import DataChangedError
from trainables.folds.assign import fold_numbers

pytestmark = pytest.mark.usefixtures("no_fsync")


def config(data: dict[str, Any], task: str = "classification", metric: str = "accuracy") -> dict[str, Any]:
    images = task == "classification" and data["source"] in ("digits", "images")
    return {
        "name": "folds",
        "task": task,
        "objective": {"metric": metric, "mode": "min" if metric == "mse" else "max"},
        "trial": {
            "data": data,
            "model": {"name": "cnn", "width": 4} if images else {"name": "mlp"},
            "optimizer": {"lr": {"loguniform": [1e-3, 1e-2]}},
        },
        "virtual_epoch": {"steps": 4},
        "budget": {"trials": 1, "max_virtual_epochs": 3},
        "scheduler": {"name": "none"},
    }


def exported(folder: Path, data: dict[str, Any], **sections: Any) -> Path:
    search_locally(config(data, **sections), results=folder, name="run")
    return search.export(folder / "run").folder


@pytest.fixture(scope="module")
def of_table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A table, and the run of a search that sees fold 1 of it."""
    folder = tmp_path_factory.mktemp("folds")
    data = {"source": "csv", "path": str(table(folder)), "target": "kind", "group": "patient"}
    exported(folder, {**data, "folds": 3, "fold": 1})
    return folder / "table.csv", folder / "run"


@pytest.fixture
def run(of_table: tuple[Path, Path], tmp_path: Path) -> Path:
    shutil.copytree(of_table[1], tmp_path / "run")
    return tmp_path / "run"


def test_all_folds_are_trained_and_told_with_their_mean_and_deviation(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["retrain", str(run / "export"), "--fold", "all"])
    values = json.loads((run / "retrain/folds.json").read_text())
    each = [value["value"] for value in values["values"]]
    assert values["complete"] is True
    assert values["mean"] == pytest.approx(np.mean(each))
    assert values["std"] == pytest.approx(np.std(each, ddof=1))
    assert sum(value["samples"]["validation"] for value in values["values"]) == 60
    out = capsys.readouterr().out
    assert "(mean ± standard deviation) over 3 folds by group patient" in out
    for fold in range(3):
        metrics = json.loads((run / f"retrain/fold_{fold}/export/metrics.json").read_text())
        assert metrics["objective"]["value"] == each[fold]
        search.load(run / f"retrain/fold_{fold}/export")
    search.report(run)
    assert "over 3 folds by group patient" in (run / "report.html").read_text()
    card = (run / "export/README.md").read_text()
    assert "trained anew on each of 3 folds" in card
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=run / "export", check=True)
    assert "the validation samples are fold 2 of 3" in (run / "retrain/fold_2/export/README.md").read_text()


def test_an_export_of_a_fold_predicts_its_samples_with_its_value(
    of_table: tuple[Path, Path], run: Path, tmp_path: Path
) -> None:
    retrain_folds(run / "export")
    header, *lines = of_table[0].read_text().splitlines()
    seen: set[str] = set()
    values = read_folds(run / "retrain")
    assert values is not None
    for value in values.values:
        validated = _validated(of_table[0], value.fold)
        file = tmp_path / f"fold_{value.fold}.csv"
        file.write_text("\n".join([header, *validated]) + "\n")
        out = tmp_path / f"out_{value.fold}"
        search.predict(run / f"retrain/fold_{value.fold}/export", file, out=out)
        predicted = next(out.glob("*.csv")).read_text().splitlines()
        column = predicted[0].split(",").index("class")
        right = [
            row.split(",")[column] == known.split(",")[3]
            for row, known in zip(predicted[1:], validated, strict=True)
        ]
        assert np.mean(right) == pytest.approx(value.value)
        seen |= set(validated)
    assert seen == set(lines)


def _validated(file: Path, fold: int) -> list[str]:
    from trainables.classification.data import read_class_sheets
    from trainables.classification.options import ClassCSVOptions

    options = ClassCSVOptions(
        source="csv", path=str(file), target="kind", group="patient", folds=3, fold=fold
    )
    return [",".join(row) for row in zip(*read_class_sheets(options).valid.columns.values(), strict=True)]


def test_a_killed_training_on_folds_goes_on_as_if_undisturbed(run: Path, tmp_path: Path) -> None:
    def kill(report: FoldReport) -> None:
        if (report.fold, report.record["virtual_epoch"]) == (1, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrain_folds(run / "export", progress=kill)
    first = (run / "retrain/fold_0/export/metrics.json").stat().st_mtime_ns
    held = read_folds(run / "retrain")
    assert held is not None
    assert [value.fold for value in held.values] == [0]
    trained: list[tuple[int, int]] = []
    done = retrain_folds(
        run / "export", progress=lambda each: trained.append((each.fold, each.record["virtual_epoch"]))
    )
    assert trained == [(1, 3), (2, 1), (2, 2), (2, 3)]
    assert (run / "retrain/fold_0/export/metrics.json").stat().st_mtime_ns == first
    undisturbed = retrain_folds(run / "export", out=tmp_path / "other")
    assert done.values == undisturbed.values
    for fold in range(3):
        one, other = (
            load_file(folder / f"fold_{fold}/export/model.safetensors")
            for folder in (run / "retrain", tmp_path / "other")
        )
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert retrain_folds(run / "export").trained == 0


def test_folds_that_are_trained_one_by_one_are_told_together(run: Path) -> None:
    for fold in (2, 0):
        done = retrain_folds(run / "export", fold=fold)
    assert done.values is not None
    assert [value.fold for value in done.values.values] == [0, 2]
    assert not done.values.complete
    with pytest.raises(SearchError, match="2 of 3 folds"):
        out_of_fold(run / "retrain")
    retrain_folds(run / "export", virtual_epochs=2, fold=1, out=run / "retrain")
    found = read_folds(run / "retrain")
    assert found is not None
    assert [value.fold for value in found.values] == [1], "others were trained for another length"


def test_the_checksums_of_an_ensemble_hold_what_its_members_card_tells_of_the_folds(
    of_table: tuple[Path, Path], tmp_path: Path
) -> None:
    data = {"source": "csv", "path": str(of_table[0]), "target": "kind", "folds": 2}
    run = tmp_path / "results" / "run"
    search_locally(
        {**config(data), "budget": {"trials": 2, "max_virtual_epochs": 1}}, results=run.parent, name="run"
    )
    all_together(run, run / "export")
    done = retrain_folds(run / "export" / "members" / "1")
    assert not done.note
    assert "## Folds" in (run / "export/members/1/README.md").read_text()
    assert "## Folds" not in (run / "export/members/2/README.md").read_text()
    assert search.verify(run).damages == []
    assert search.load(run / "export").counts == [2, 1]


def test_the_fold_of_the_search_gives_its_value_again(run: Path) -> None:
    """The same weights, seed, data and length."""
    done = retrain_folds(run / "export", fold=1)
    value = json.loads((run / "export/metrics.json").read_text())["objective"]["value"]
    assert done.values is not None
    assert done.values.values[0].value == value


def test_out_of_fold_accuracy_is_that_of_all_samples_together(run: Path) -> None:
    retrain_folds(run / "export")
    values = read_folds(run / "retrain")
    assert values is not None
    right = [
        each.metrics["accuracy"] * each.samples["validation"]
        for each in values.values
        if each.metrics["accuracy"]
    ]
    assert out_of_fold(run / "retrain")["accuracy"] == pytest.approx(sum(right) / 60)
    members = fold_members(run / "retrain")
    assert [member.fold for member in members] == [0, 1, 2]
    assert all((member.checkpoint / "model.safetensors").is_file() for member in members)


def test_a_fold_whose_files_are_gone_is_named(run: Path) -> None:
    retrain_folds(run / "export", virtual_epochs=1)
    shutil.rmtree(run / "retrain/fold_2/training")
    with pytest.raises(SearchError, match=r"fold_2 has no checkpoint of virtual epoch 1, .* --fold 2`"):
        out_of_fold(run / "retrain")
    (run / "retrain/fold_0/retrain.json").unlink()
    done = retrain_folds(run / "export", virtual_epochs=1, fold=1)
    assert done.values is not None
    assert [value.fold for value in done.values.values] == [1, 2]


def test_out_of_fold_errors_of_numbers_are_in_their_own_units(tmp_path: Path) -> None:
    export = exported(tmp_path, {"source": "diabetes", "folds": 2}, task="regression", metric="mse")
    retrain_folds(export)
    values = read_folds(tmp_path / "run/retrain")
    assert values is not None
    squared = [(each.value or 0.0) * each.samples["validation"] for each in values.values]
    assert out_of_fold(tmp_path / "run/retrain")["mse"] == pytest.approx(sum(squared) / 442, rel=1e-5)


@pytest.mark.parametrize("change", ["trial.data.folds=4", "trial.data.fold=0", "trial.data.group=a"])
def test_another_fold_is_another_search(run: Path, change: str) -> None:
    with pytest.raises(RefusedError, match=r"trial\.data"):
        resume_locally(run, overrides=[change, "budget.trials=2"])


def test_what_cannot_be_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"--fold is 3 and .* has 3 folds; they are numbered from 0 to 2"):
        retrain_folds(run / "export", fold=3)
    with pytest.raises(RefusedError, match="--data is train\\+val"):
        search.retrain(run / "export", fold=0, data="train+val")
    without = exported(tmp_path / "without", {"source": "breast_cancer"})
    with pytest.raises(RefusedError, match=r"has no trial\.data\.folds"):
        retrain_folds(without)


def test_new_data_are_refused_before_a_fold_is_trained(of_table: tuple[Path, Path], tmp_path: Path) -> None:
    root = class_folder(tmp_path / "images", 30)
    export = exported(tmp_path, {"source": "images", "root": str(root), "folds": 2})
    shutil.copy(root / "cat/0.png", root / "cat/new.png")
    with pytest.raises(SearchError, match="the data have changed"):
        retrain_folds(export)
    retrain_folds(export, accept_new_data=True)


def test_other_data_are_not_what_was_out_of_fold(of_table: tuple[Path, Path], tmp_path: Path) -> None:
    file = Path(shutil.copy(of_table[0], tmp_path / "table.csv"))
    data = {"source": "csv", "path": str(file), "target": "kind", "folds": 2}
    source = exported(tmp_path, data)
    retrain_folds(source, virtual_epochs=1)
    assert out_of_fold(tmp_path / "run/retrain")["accuracy"] > 0
    rows = file.read_text()
    file.write_text(rows.replace(",ill", ",WELL").replace(",well", ",ill").replace(",WELL", ",well"))
    with pytest.raises(DataChangedError, match=r"changed since .*fold_0 was .*table: "):
        out_of_fold(tmp_path / "run/retrain")
    with pytest.raises(
        DataChangedError, match=r"retrain \S* --virtual-epochs 1 --fold all --accept-new-data"
    ):
        retrain_folds(source, virtual_epochs=1)
    with pytest.raises(DataChangedError, match=r"retrain \S* --fold 0 --out other --accept-new-data"):
        retrain_folds(source, fold=0, out="other")


def test_check_data_tells_the_folds_and_their_classes(of_table: tuple[Path, Path], tmp_path: Path) -> None:
    from search.screen.texts.data import data_check_text

    data = {"source": "csv", "path": str(of_table[0]), "target": "kind", "group": "patient", "folds": 3}
    for found, total in (
        (search.check_data(config(data)), 60),
        (
            search.check_data(
                config({"source": "images", "root": str(class_folder(tmp_path / "i")), "folds": 3})
            ),
            24,
        ),
    ):
        assert [fold.chosen for fold in found.folds] == [True, False, False]
        assert sum(fold.samples for fold in found.folds) == total
        assert sum(sum(fold.counts) for fold in found.folds) == total
        text = data_check_text(found, width=120)
        assert "for validation" in text
        assert json.dumps(found.as_dict())


def test_a_fold_that_is_searched_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"trial\.data\.fold: is searched, and values on different validation data"
    ):
        search_locally(config({"source": "digits", "folds": 3, "fold": {"choice": [0, 1]}}), results=tmp_path)


def test_a_fold_that_leaves_less_than_a_batch_is_refused_before_the_first_is_trained(tmp_path: Path) -> None:
    groups = ["p5"] * 5 + ["p1"] * 45
    assert fold_numbers(["p5", "p1"], 2).tolist() == [0, 1]
    rows = [f"{group},{number},{number % 2}" for number, group in enumerate(groups)]
    file = tmp_path / "table.csv"
    file.write_text("\n".join(["patient,a,kind", *rows]) + "\n")
    data = {"source": "csv", "path": str(file), "target": "kind", "group": "patient", "folds": 2}
    settings = config(data)
    settings["trial"]["batch_size"] = 16
    search_locally(settings, results=tmp_path, name="run")
    source = search.export(tmp_path / "run").folder
    with pytest.raises(
        RefusedError, match=r"fold 1: batch_size is 16, .* only 5 of 50 samples are left"
    ) as e:
        retrain_folds(source)
    assert "Source" not in str(e.value)
    assert not (tmp_path / "run/retrain").exists()
    assert retrain_folds(source, fold=0, virtual_epochs=1).exports


def test_a_folder_of_somebodys_is_not_written_into(run: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "a.txt").write_text("mine")
    for call in (
        lambda: retrain_folds(run / "export", fold=0, out=mine),
        lambda: search.retrain(run / "export", out=mine),
    ):
        with pytest.raises(RefusedError, match=r"mine holds a\.txt, and no retraining"):
            call()
    (mine / "a.txt").rename(mine / "folds.json")
    with pytest.raises(RefusedError, match=r"folds\.json was not written by"):
        retrain_folds(run / "export", out=mine)
    assert [(path.name, path.read_text()) for path in mine.iterdir()] == [("folds.json", "mine")]
    with pytest.raises(SearchError, match="choose another with --out"):
        retrain_folds(run / "export", out=mine / "folds.json")


def test_check_data_tells_the_same_content_in_any_two_folds(tmp_path: Path) -> None:
    root = class_folder(tmp_path / "images")
    folds = fold_numbers([f"cat/{name}.png" for name in range(100)], 3).tolist()
    seen, trained = (next(n for n in range(12) if folds[n] == fold) for fold in (0, 1))
    other, third = (next(n for n in range(12, 100) if folds[n] == fold) for fold in (1, 2))
    for file, copy in ((seen, other), (trained, third)):
        shutil.copy(root / f"cat/{file}.png", root / f"cat/{copy}.png")
    found = search.check_data(config({"source": "images", "root": str(root), "folds": 3}))
    told = {finding.kind.name: finding for finding in found.findings}
    assert set(told) == {"data leakage", "data leakage between folds"}
    between = told["data leakage between folds"]
    assert Path(between.where).stem in (str(trained), str(third))
    assert between.message.endswith(("in folds 2 and 1", "in folds 1 and 2"))
