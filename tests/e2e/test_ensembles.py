"""Ensembles of a search's trials: chosen greedily, better than one, and predicting what was measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import overlapping
import predicted
import pytest
from in_process import search_locally
from PIL import Image
from predicted import DIGITS, PHOTOS, metrics, rows, write_images, write_photos
from several import NOISY, all_together, diabetes_valid, digit_trials, rmse, several
from small_disk import small_disk

import search
from search.cli.main import main
from search.ensembles.ensemble import Ensemble, export_ensemble
from search.errors import RefusedError, SearchError
from search.text import number_text
from trainables.classification.task import ClassificationTask
from trainables.segmentation.task import SegmentationTask

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return several(tmp_path_factory.mktemp("noisy"), "regression", NOISY)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return several(tmp_path_factory.mktemp("digits"), "segmentation", digit_trials())


@pytest.fixture(scope="module")
def of_digits(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    return export_ensemble(digits, 3, out=tmp_path_factory.mktemp("exported") / "export")


def whole(folder: Path) -> bool:
    return subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=folder).returncode == 0


def test_the_picks_are_those_of_a_greedy_selection_by_hand(noisy: Path, tmp_path: Path) -> None:
    """Each trial is exported alone, predicts the validation rows, and NumPy picks."""
    raw, truth = diabetes_valid()
    alone = {
        f"trial {number}": search.load(
            search.export(noisy, trial=number, out=tmp_path / str(number)).folder
        ).predict(raw)
        for number in range(4)
    }
    picked: list[str] = []
    values: list[float] = []
    for _ in range(4):
        tried = {
            name: rmse(np.mean([alone[each] for each in (*picked, name)], axis=0), truth) for name in alone
        }
        picked.append(min(tried, key=lambda name: tried[name]))
        values.append(tried[picked[-1]])
    kept = 1 + values.index(min(values))
    assert len(set(picked[:kept])) > 1
    found = export_ensemble(noisy, 4, out=tmp_path / "ensemble")
    assert [pick["picked"] for pick in found.selection] == picked
    assert [pick["value"] for pick in found.selection] == pytest.approx(values, rel=1e-5)
    assert [pick["kept"] for pick in found.selection] == [turn < kept for turn in range(4)]
    counts = {each["label"]: each["count"] for each in found.members}
    assert counts == {name: picked[:kept].count(name) for name in picked[:kept]}
    mean = np.average([alone[name] for name in counts], axis=0, weights=list(counts.values()))
    np.testing.assert_allclose(search.load(found.folder).predict(raw), mean, rtol=1e-6)


def test_a_regression_predicts_the_value_that_was_measured_which_is_better_than_the_best_trial(
    noisy: Path, tmp_path: Path
) -> None:
    found = export_ensemble(noisy, 3, out=tmp_path / "ensemble")
    raw, truth = diabetes_valid()
    assert rmse(search.load(found.folder).predict(raw), truth) == pytest.approx(found.value, rel=1e-5)
    best = search.export(noisy, out=tmp_path / "best")
    assert found.value < found.best_value == best.value
    assert metrics(found.folder)["rmse"] == found.value


def test_masks_of_a_segmentation_have_the_metrics_that_were_measured(
    of_digits: Ensemble, tmp_path: Path
) -> None:
    arrays = SegmentationTask.load_data(SegmentationTask.Options.parse(DIGITS))
    files = write_images(tmp_path / "images", arrays["valid_inputs"])
    masks = write_images(tmp_path / "masks", arrays["valid_targets"])
    search.predict(of_digits.folder, files, out=tmp_path / "out", masks=masks)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics(of_digits.folder)
    assert of_digits.value > of_digits.best_value
    model = search.load(of_digits.folder)
    image = np.asarray(Image.open(files / "000.png"))
    written = np.asarray(Image.open(tmp_path / "out" / "masks" / "000.png"))
    np.testing.assert_array_equal(model.predict(image), written)
    assert model.metrics["miou"] == of_digits.value


def test_probabilities_are_means_over_the_members_each_as_often_as_it_counts(of_digits: Ensemble) -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 1), np.uint8)
    alone = [
        search.load(of_digits.folder / "members" / str(each["member"])).predict_proba(image)
        for each in of_digits.members
    ]
    counts = [each["count"] for each in of_digits.members]
    found = search.load(of_digits.folder).predict_proba(image)
    np.testing.assert_allclose(found, np.average(alone, axis=0, weights=counts), atol=1e-6)


def test_windows_flips_and_ranges_of_values_are_each_members_own(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", predicted.deep_greys)
    trial = {
        **PHOTOS,
        "data": {"source": "folder", "root": str(photos), "range": {"choice": [[1000, 52000], [500, 60000]]}},
        "validation": {"window": {"choice": [16, 24]}, "flips": "horizontal"},
    }
    export = all_together(
        several(tmp_path, "segmentation", trial, virtual_epoch={"steps": 40}), tmp_path / "e"
    )
    members = [search.load(member).inference for member in sorted((export / "members").iterdir())]
    assert len({(each.images.range, each.windows.window) for each in members}) == 4
    val = photos / "val"
    folders = {"out": tmp_path / "out", "masks": val / "masks", "overlay": True}
    done = search.predict(export, val / "images", **folders)
    assert (done.written, done.failed) == (4, {})
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics(export)
    image = val / "images" / "night" / "0.png"
    written = np.asarray(Image.open(tmp_path / "out" / "masks" / "night" / "0.png"))
    assert len(np.unique(written)) > 1
    np.testing.assert_array_equal(search.load(export).predict(image), written)
    np.testing.assert_array_equal(search.load(export).predict(np.asarray(Image.open(image))), written)


def test_classes_that_overlap_are_means_of_sigmoids(tmp_path: Path) -> None:
    data = tmp_path / "data"
    overlapping.dataset(data, overlapping.as_folders)
    for name, stems in (("train", "0123"), ("val", "45")):
        (data / f"{name}.txt").write_text("\n".join(stems) + "\n")
    options = {
        "source": "folder",
        "root": str(data),
        "labels": "multilabel",
        "class_names": [*overlapping.NAMES],
    }
    trial = {**PHOTOS, "data": options, "augment": {}, "seed": {"choice": [0, 1]}}
    export = all_together(several(tmp_path, "segmentation", trial), tmp_path / "e")
    for stem in "45":
        (tmp_path / "images").mkdir(exist_ok=True)
        shutil.copy(data / "images" / f"{stem}.png", tmp_path / "images")
    search.predict(export, tmp_path / "images", out=tmp_path / "out", masks=data / "masks")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics(export)
    image = np.asarray(Image.open(tmp_path / "images" / "4.png"))
    alone = [search.load(export / "members" / each).predict_proba(image) for each in "112"]
    np.testing.assert_allclose(search.load(export).predict_proba(image), np.mean(alone, axis=0), atol=1e-6)


def test_classified_files_have_the_accuracy_that_was_measured(tmp_path: Path) -> None:
    trial = {
        "optimizer": {"lr": 0.01},
        "batch_size": 32,
        "seed": {"choice": [0, 1]},
        "model": {"choice": [{"name": "cnn", "width": 8, "depth": 1}, {"name": "resnet", "width": 8}]},
    }
    run = several(tmp_path, "classification", trial)
    found = export_ensemble(run, 3)
    arrays = ClassificationTask.load_data(ClassificationTask.Options.parse({}))
    files = write_images(tmp_path / "files", arrays["valid_inputs"])
    search.predict(found.folder, files, out=tmp_path / "out")
    right = [
        row["class"] == str(label)
        for row, label in zip(rows(tmp_path / "out"), arrays["valid_targets"], strict=True)
    ]
    assert np.mean(right) == pytest.approx(found.value, abs=1e-12)
    assert found.value > found.best_value
    model = search.load(found.folder)
    classes = model.classes[model.predict(arrays["valid_inputs"])]
    np.testing.assert_array_equal(classes, [row["class"] for row in rows(tmp_path / "out")])


def test_rows_of_a_file_are_predicted_by_members_of_different_columns(tmp_path: Path) -> None:
    raw, truth = diabetes_valid()
    names = [f"x{number}" for number in range(10)]
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    kept = ~np.isin(np.arange(len(data.target)), np.flatnonzero((data.data[:, None] == raw).all(2).any(1)))
    for part, (inputs, targets) in {
        "train": (data.data[kept], data.target[kept]),
        "valid": (raw, truth),
    }.items():
        lines = [
            ",".join([*names, "y"]),
            *(",".join(map(str, [*x, y])) for x, y in zip(inputs, targets, strict=True)),
        ]
        (tmp_path / f"{part}.csv").write_text("\n".join(lines) + "\n")
    paths = {"path": str(tmp_path / "train.csv"), "valid_path": str(tmp_path / "valid.csv")}
    ignored = {"choice": [["x0", "x1"], ["x2"]]}
    trial = {
        "data": {"source": "csv", "target": "y", "ignore_columns": ignored, **paths},
        "optimizer": {"lr": 0.01},
        "seed": {"choice": [0, 1]},
    }
    export = all_together(several(tmp_path, "regression", trial), tmp_path / "e")
    search.predict(export, tmp_path / "valid.csv", out=tmp_path / "out")
    predicted_values = np.array([float(row["y"]) for row in rows(tmp_path / "out")])
    assert rmse(predicted_values, truth) == pytest.approx(metrics(export)["rmse"], rel=1e-5)
    table = {name: raw[:, number] for number, name in enumerate(names)}
    np.testing.assert_allclose(search.load(export).predict(table), predicted_values, rtol=1e-6)


def test_no_ensemble_is_written_where_none_is_better_than_the_best_trial(tmp_path: Path) -> None:
    same = several(
        tmp_path, "regression", {**NOISY, "seed": 0, "accumulate": 1, "ema": {"choice": [0.5, 0.5000001]}}
    )
    with pytest.raises(
        RefusedError, match=r"no ensemble of up to 2 of the 2 trials .* alone: rmse .* exports trial"
    ):
        export_ensemble(same, 2)
    assert not list(same.glob("*export*"))


def test_members_are_exports_that_are_trained_on_and_the_whole_is_not(
    of_digits: Ensemble, digits: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(of_digits.folder, tmp_path / "run" / "export"))
    with pytest.raises(RefusedError, match=r"is an ensemble.*`tune-search retrain .*members/1`"):
        search.retrain(folder)
    done = search.retrain(folder / "members" / "1", virtual_epochs=1)
    assert done.folder == tmp_path / "run" / "retrain"
    assert whole(folder)
    assert whole(folder / "members" / "1")


def test_verify_finds_damage_in_a_member_and_a_new_export_leaves_no_file_of_a_persons_behind(
    digits: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(digits, tmp_path / "run"))
    found = export_ensemble(run, 3)
    assert search.verify(run).damages == []
    weights = found.folder / "members" / "2" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert [damage.path for damage in search.verify(run).damages] == ["export/members/2/model.safetensors"]
    with pytest.raises(RefusedError, match=r"holds members/2/model\.safetensors, edited since"):
        export_ensemble(run, 3)
    shutil.rmtree(found.folder)
    found = export_ensemble(run, 3)
    (found.folder / "members" / "1" / "notes.txt").write_text("mine")
    with pytest.raises(RefusedError, match=r"holds members/1/notes\.txt, which no export wrote"):
        search.export(run)
    (found.folder / "members" / "1" / "notes.txt").unlink()
    assert (search.export(run).folder / "model.safetensors").is_file()
    assert not (run / "export" / "members").exists()


def test_a_damaged_checkpoint_is_left_out_and_named(noisy: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(noisy, tmp_path / "run"))
    (weights,) = (run / "trials" / "0001").glob("checkpoint_*/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    found = export_ensemble(run, 3)
    assert found.candidates == 3
    assert "trial 1 is left out" in found.left_out[0]


def test_what_has_no_mean_is_refused_in_one_line(tmp_path: Path, run: Path) -> None:
    gan = several(tmp_path, "gan", {"model": {"name": "mlp"}, "batch_size": 8, "seed": {"choice": [0, 1]}})
    for folder, why in ((gan, "a mean of images is no sample"), (run, "only its own code knows")):
        for call in (lambda at: export_ensemble(at, 2), search.export_soup):
            with pytest.raises(RefusedError, match=why) as refused:
                call(folder)
            assert "\n" not in str(refused.value)


def test_the_command_says_what_was_picked_what_it_is_worth_and_what_to_type_next(
    noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["export", str(noisy), "--ensemble", "3", "--format", "pt2", "--out", str(tmp_path / "e")])
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "e" / "ensemble.json").read_text())
    first, objective = found["members"][0], found["objective"]
    assert f"ensemble of {len(found['members'])} of 4 trials with checkpoints, exported to" in said
    assert f"members/1  {first['label']}, rmse {number_text(first['value'])} alone, counts" in said
    assert "each member has its model.pt2, validated; there is no graph of the whole" in said
    assert (
        f"re-evaluated from these files: rmse {number_text(objective['value'])}; {first['label']}, the best "
        f"one alone, has {number_text(first['value'])}"
    ) in said
    assert "chosen on the validation data that the value is of, which flatters it" in said
    assert f"tune-search predict {tmp_path / 'e'} FILE.csv --out DIR" in said
    assert whole(tmp_path / "e")
    card = (tmp_path / "e" / "README.md").read_text()
    assert "library_name: pytorch" in card
    assert f"| `members/1` | {first['label']}, virtual epoch 1 | {first['value']:.4f} |" in card
    assert found["caveat"] in card


def test_trials_of_other_validation_data_do_not_belong_together(tmp_path: Path) -> None:
    lines = [f"{row % 7},{row % 5},{row}" for row in range(50)]
    for name, order in (("one", lines), ("other", lines[::-1])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["a,b,y", *order]) + "\n")
    paths = [str(tmp_path / f"{name}.csv") for name in ("one", "other")]
    data = {"source": "csv", "path": {"choice": paths}, "target": "y"}
    run = several(tmp_path, "regression", {"data": data, "model": {"name": "mlp"}})
    with pytest.raises(RefusedError, match=r"was validated on other data .*\(other targets\)"):
        export_ensemble(run, 2)


def test_of_several_objectives_none_says_which_members_are_best(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "name": "front",
        "task": "regression",
        "objectives": [{"metric": "rmse", "mode": "min"}, {"metric": "mae", "mode": "min"}],
        "virtual_epoch": {"steps": 2},
        "budget": {"trials": 2, "max_virtual_epochs": 1},
        "trial": NOISY,
    }
    run = search_locally(config, results=tmp_path).folder
    with pytest.raises(RefusedError, match=r"--ensemble: .* has several objectives.* by --trial N"):
        export_ensemble(run, 2)


def test_one_trial_with_a_checkpoint_is_no_ensemble(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "name": "one",
        "task": "regression",
        "objective": {"metric": "rmse", "mode": "min"},
        "virtual_epoch": {"steps": 2},
        "budget": {"trials": 3, "max_virtual_epochs": 1},
        "checkpoint": {"keep_trials": 1},
        "trial": NOISY,
    }
    run = search_locally(config, results=tmp_path).folder
    with pytest.raises(RefusedError, match=r"has 1 trial with .* exports one, .*keep_trials \(here 1\)"):
        export_ensemble(run, 2)
    for folder in Path(run).glob("trials/*/checkpoint_*"):
        shutil.rmtree(folder)
    with pytest.raises(
        RefusedError, match=r"has 0 trials with a value and a checkpoint, .* needed: a search"
    ):
        export_ensemble(run, 2)


def test_a_disk_that_is_too_small_is_told_before_it_is_full(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "small", "128k") as small:
        monkeypatch.setattr(tempfile, "tempdir", str(small))
        with pytest.raises(SearchError, match=r"need \d.* and .* are free: set TMPDIR"):
            export_ensemble(digits, 3, out=tmp_path / "out")
        assert not list(small.iterdir())
    assert not (tmp_path / "out").exists()
