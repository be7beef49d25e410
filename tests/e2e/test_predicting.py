"""What an export predicts for the files of the validation data is what the search has measured on them."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import overlapping
import predicted
import pytest
import torch
from PIL import Image
from predicted import DIGITS, PHOTOS, exported, metrics, rows, write_images, write_photos
from safetensors.numpy import load_file, save_file

import search
from search.errors import RefusedError
from trainables.classification.task import ClassificationTask
from trainables.gan.classifier import classifier_from
from trainables.gan.frechet import frechet_distance, mean_and_covariance
from trainables.predicting.generator import Generator
from trainables.segmentation.task import SegmentationTask
from trainables.tables.read import split_rows

CHANGES = {"virtual_epoch": {"steps": 20}}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("digits"), "segmentation", DIGITS)


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    arrays = SegmentationTask.load_data(SegmentationTask.Options.parse(DIGITS))
    write_images(folder / "images", arrays["valid_inputs"])
    write_images(folder / "masks", arrays["valid_targets"])
    return folder


def test_the_iou_of_written_masks_is_that_of_the_search(
    digits: Path, digit_files: Path, tmp_path: Path
) -> None:
    search.predict(digits, digit_files / "images", out=tmp_path / "out")
    truth, found = (
        np.stack([np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))])
        for folder in (digit_files / "masks", tmp_path / "out" / "masks")
    )
    iou = {
        k: ((truth == k) & (found == k)).sum() / ((truth == k) | (found == k)).sum()
        for k in range(11)
        if ((truth == k) | (found == k)).any()
    }
    assert np.mean(list(iou.values())) == metrics(digits)["miou"]
    names = search.load(digits).classes
    assert {f"iou/{names[k]}": value for k, value in iou.items()} == {
        name: value for name, value in metrics(digits).items() if name.startswith("iou/")
    }
    picture = Image.open(tmp_path / "out" / "masks" / "000.png")
    assert picture.mode == "P"
    assert json.loads(picture.text["classes"]) == names.tolist()  # type: ignore[attr-defined]


@pytest.mark.parametrize("draw", ["colours", "deep_greys"])
def test_images_of_any_size_by_windows_and_flips_are_exactly_those_of_the_search(
    draw: str, tmp_path: Path
) -> None:
    photos = write_photos(tmp_path / "photos", getattr(predicted, draw))
    validation = {"window": 16, "overlap": 0.5, "flips": "both", "boundary_iou": 0.05}
    trial = {**PHOTOS, "data": {"source": "folder", "root": str(photos)}, "validation": validation}
    export = exported(tmp_path, "segmentation", trial, **CHANGES)
    val = photos / "val"
    done = search.predict(export, val / "images", out=tmp_path / "out", masks=val / "masks", overlay=True)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics(export)
    assert (done.written, done.num_scored, done.failed) == (4, 4, {})
    assert (tmp_path / "out" / "masks" / "day" / "1.png").is_file()
    assert Image.open(tmp_path / "out" / "overlays" / "night" / "0.png").size == predicted.SIZES[0][::-1]


def test_windows_of_a_raw_array_are_those_of_its_file(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", predicted.deep_greys)
    trial = {**PHOTOS, "data": {"source": "folder", "root": str(photos)}, "validation": {"window": 16}}
    export = exported(tmp_path, "segmentation", trial)
    file = photos / "val" / "images" / "night" / "0.png"
    search.predict(export, file, out=tmp_path / "out", probabilities=True)
    model = search.load(export)
    image = np.asarray(Image.open(file))
    assert image.dtype == np.uint16
    written = np.asarray(Image.open(tmp_path / "out" / "masks" / "0.png"))
    np.testing.assert_array_equal(model.predict(image), written)
    probabilities = np.load(tmp_path / "out" / "probabilities" / "0.npy")
    np.testing.assert_array_equal(model.predict_proba(image).astype(np.float16), probabilities)
    np.testing.assert_array_equal(model.predict_proba(image).argmax(axis=-1), written)


@pytest.mark.parametrize("labels", ["binary", "multilabel"])
def test_classes_that_overlap_are_exactly_those_of_the_search(labels: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    truths = overlapping.dataset(data, overlapping.as_folders)
    if labels == "binary":
        shutil.rmtree(data / "masks")
        write_images(data / "masks", [truth[0].astype(np.uint8) for truth in truths])
        for number, file in enumerate(sorted((data / "masks").iterdir())):
            file.rename(data / "masks" / f"{number}.png")
    (data / "train.txt").write_text("0\n1\n2\n3\n")
    (data / "val.txt").write_text("4\n5\n")
    options: dict[str, Any] = {"source": "folder", "root": str(data), "labels": labels}
    if labels == "multilabel":
        options["class_names"] = list(overlapping.NAMES)
    export = exported(tmp_path, "segmentation", {**PHOTOS, "data": options, "augment": {}}, **CHANGES)
    (tmp_path / "images").mkdir()
    for name in "45":
        shutil.copy(data / "images" / f"{name}.png", tmp_path / "images")
    search.predict(export, tmp_path / "images", out=tmp_path / "out", masks=data / "masks")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics(export)
    masks = tmp_path / "out" / "masks"
    file = masks / "4.png" if labels == "binary" else masks / overlapping.NAMES[2] / "4.png"
    image = np.asarray(Image.open(data / "images" / "4.png"))
    np.testing.assert_array_equal(search.load(export).predict(image)[..., -1], np.asarray(Image.open(file)))


def test_the_accuracy_of_classified_files_is_that_of_the_search(tmp_path: Path) -> None:
    trial = {"optimizer": {"lr": 0.01}, "batch_size": 32}
    export = exported(tmp_path, "classification", trial, **CHANGES)
    arrays = ClassificationTask.load_data(ClassificationTask.Options.parse(trial))
    files = write_images(tmp_path / "files", arrays["valid_inputs"])
    search.predict(export, files, out=tmp_path / "out")
    found = rows(tmp_path / "out")
    right = [row["class"] == str(label) for row, label in zip(found, arrays["valid_targets"], strict=True)]
    assert np.mean(right) == pytest.approx(metrics(export)["accuracy"], abs=1e-12)
    assert found[0]["file"] == "000.png"
    model = search.load(export)
    probabilities = model.predict_proba(arrays["valid_inputs"])
    np.testing.assert_array_equal(
        model.classes[probabilities.argmax(axis=1)], [row["class"] for row in found]
    )
    assert [row["probability/3"] for row in found] == [str(each) for each in probabilities[:, 3]]


def test_photographs_are_resized_as_in_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("val", 8)):
        for number in range(count):
            name, size = ("dark", "light")[number % 2], tuple(rng.integers(20, 40, 2))
            pixels = rng.integers(0, 160, (*size, 3)) + 90 * (number % 2)
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    data = {"source": "images", "root": str(tmp_path / "data"), "resize": 16}
    trial = {"data": data, "model": {"name": "cnn", "width": 4}, "batch_size": 4, "optimizer": {"lr": 0.003}}
    export = exported(tmp_path, "classification", trial)
    done = search.predict(export, tmp_path / "data" / "val", out=tmp_path / "out")
    found = rows(tmp_path / "out")
    assert done.written == len(found) == 8
    right = [row["file"].startswith(f"{row['class']}/") for row in found]
    assert np.mean(right) == pytest.approx(metrics(export)["accuracy"], abs=1e-12)


def _table(folder: Path, target: str) -> dict[str, Any]:
    """Training and validation rows with a number, a text and a target that follows from them."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 60), ("valid", 30)):
        lines = [f"id,size;district;{target}".replace(",", ";")]
        for number in range(count):
            size, district = rng.normal(50, 20), rng.choice(["north", "south", "west"])
            value = size * (2 if district == "north" else 1) + rng.normal()
            shown = f"{value:.2f}".replace(".", ",") if target == "price" else ("yes" if value > 70 else "no")
            missing = "" if number % 7 == 3 else f"{size:.3f}".replace(".", ",")
            lines.append(f"{number + 100};{missing};{district};{shown}")
        (folder / f"{part}.csv").write_text("\n".join(lines) + "\n")
    paths = {"path": str(folder / "train.csv"), "valid_path": str(folder / "valid.csv")}
    return {"source": "csv", "target": target, "decimal": ",", **paths}


def test_the_rows_of_a_table_are_classified_as_in_the_search(tmp_path: Path) -> None:
    data = _table(tmp_path, "sold")
    trial = {"data": data, "model": {"name": "mlp", "width": 8}, "optimizer": {"lr": 0.01}}
    export = exported(tmp_path, "classification", trial, **CHANGES)
    search.predict(export, tmp_path / "valid.csv", out=tmp_path / "out")
    truth = list(csv.DictReader((tmp_path / "valid.csv").open(), delimiter=";"))
    found = rows(tmp_path / "out")
    right = [row["class"] == true["sold"] for row, true in zip(found, truth, strict=True)]
    assert np.mean(right) == pytest.approx(metrics(export)["accuracy"], abs=1e-12)
    assert [row["id"] for row in found] == [true["id"] for true in truth]
    raw = {"size": [row["size"] for row in truth], "district": [row["district"] for row in truth]}
    model = search.load(export)
    assert model.classes[model.predict(raw)].tolist() == [row["class"] for row in found]
    first = np.array([float(raw["size"][0].replace(",", ".")), raw["district"][0]], object)
    np.testing.assert_allclose(model.predict_proba(first), model.predict_proba(raw)[0], rtol=1e-6)


def test_values_are_in_the_units_of_the_target_and_their_error_is_that_of_the_search(tmp_path: Path) -> None:
    """But for the rounding of float32, in which the search has its targets."""
    trial = {"data": _table(tmp_path, "price"), "optimizer": {"lr": 0.01}}
    export = exported(tmp_path, "regression", trial, **CHANGES)
    search.predict(export, tmp_path / "valid.csv", out=tmp_path / "out")
    truth = [row["price"] for row in csv.DictReader((tmp_path / "valid.csv").open(), delimiter=";")]
    errors = [
        float(row["price"]) - float(true.replace(",", "."))
        for row, true in zip(rows(tmp_path / "out"), truth, strict=True)
    ]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(metrics(export)["rmse"], rel=1e-5)


def test_an_array_of_raw_columns_is_predicted_as_in_the_search(tmp_path: Path) -> None:
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    export = exported(tmp_path, "regression", {"model": {"name": "mlp", "width": 8}}, **CHANGES)
    _, valid = split_rows(len(data.target), valid_fraction=0.2, seed=0)
    model = search.load(export)
    found = model.predict(data.data[valid])
    with pytest.raises(TypeError, match="of task regression, which has no classes"):
        model.predict_proba(data.data)
    rmse = np.sqrt(np.mean(np.square(found - data.target[valid])))
    assert rmse == pytest.approx(metrics(export)["rmse"], rel=1e-5)


def test_samples_of_a_generator_are_those_that_were_measured(tmp_path: Path) -> None:
    """Exactly in Python; in PNG files but for their 8 bits."""
    trial = {
        "model": {"name": "mlp", "latent_size": 6, "width": 2},
        "evaluation": {"num_samples": 100, "seed": 3},
        "batch_size": 8,
    }
    export = exported(tmp_path, "gan", trial)
    arrays = load_file(export / "prepared.safetensors")
    held_out = [torch.tensor(arrays[name]) for name in ("valid_mean", "valid_covariance")]

    def distance(images: np.ndarray) -> float:
        with torch.no_grad():
            features, _ = classifier_from(arrays)(torch.tensor(images).permute(0, 3, 1, 2))
        return frechet_distance(*mean_and_covariance(features), *held_out)

    recorded = metrics(export)["frechet_distance"]
    model = search.load(export)
    assert isinstance(model, Generator)
    assert distance(model.sample(100, seed=3)) == pytest.approx(recorded, rel=1e-6)
    search.predict(export, out=tmp_path / "out", count=100)
    files = sorted((tmp_path / "out" / "samples").iterdir())
    written = np.stack([np.asarray(Image.open(file)) for file in files])[..., None] / np.float32(127.5) - 1.0
    assert distance(written.astype(np.float32)) == pytest.approx(recorded, rel=0.02)
    assert (tmp_path / "out" / "grid.png").is_file()
    assert search.predict(export, out=tmp_path / "out", count=100).kept == 100
    search.predict(export, out=tmp_path / "zero", count=2, seed=0)
    files = sorted((tmp_path / "zero" / "samples").iterdir())
    levels = (model.sample(2, seed=0)[..., 0] + 1.0) * 127.5
    np.testing.assert_allclose(np.stack([np.asarray(Image.open(file)) for file in files]), levels, atol=0.51)


ALONE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import numpy as np
import search

model = search.load({export!r})
found = model.predict(np.zeros({shape}, np.uint8))
print(found.shape, model.classes.tolist(), model.metrics["miou"])
"""
MISSING = (
    *("ray", "optuna", "pydantic", "click", "rich", "ruamel", "scipy", "sklearn", "tensorboard"),
    *("pandas", "matplotlib", "transformers", "lightning", "filelock", "yaml", "tifffile", "psutil"),
)


def test_an_export_predicts_where_only_torch_numpy_and_pillow_are(digits: Path, tmp_path: Path) -> None:
    code = ALONE.format(missing=MISSING, export=str(digits), shape=(2, 16, 20, 1))
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=tmp_path)
    names = search.load(digits).classes.tolist()
    assert printed.strip() == f"(2, 16, 20) {names} {metrics(digits)['miou']}"


def test_an_export_of_a_former_version_predicts_the_same(
    digits: Path, digit_files: Path, tmp_path: Path
) -> None:
    former = Path(shutil.copytree(digits, tmp_path / "former"))
    (former / "inference.json").unlink()
    image = np.asarray(Image.open(digit_files / "images" / "000.png"))
    np.testing.assert_array_equal(search.load(former).predict(image), search.load(digits).predict(image))


@pytest.mark.parametrize("task", ["tiny_tasks:DigitsTask", "own_functions:train"])
def test_what_only_code_of_ones_own_knows_is_refused(task: str, tmp_path: Path) -> None:
    export = exported(tmp_path, task, {})
    assert not (export / "inference.json").exists()
    with pytest.raises(RefusedError, match=rf"the task {task} is your own.* README.md"):
        search.load(export)
    with pytest.raises(RefusedError, match=rf"the task {task} is your own.* README.md"):
        search.predict(export, tmp_path, out=tmp_path / "out")


def test_data_of_ones_own_are_refused(tmp_path: Path) -> None:
    data = {"source": "own_parts:Streets", "num_classes": 2}
    export = exported(tmp_path, "segmentation", {**PHOTOS, "data": data, "augment": {}, "batch_size": 2})
    with pytest.raises(RefusedError, match="own_parts:Streets, whose code alone knows"):
        search.load(export)


def test_a_network_of_ones_own_is_made_by_its_path_and_arguments(digit_files: Path, tmp_path: Path) -> None:
    model = {"name": "own_parts:Net", "in_channels": 1, "num_classes": 11}
    export = exported(tmp_path, "segmentation", {**DIGITS, "model": model})
    folders = {"out": tmp_path / "out", "masks": digit_files / "masks"}
    search.predict(export, digit_files / "images", **folders)  # type: ignore[arg-type]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == metrics(export)


def test_images_of_which_the_model_makes_no_numbers_are_named(
    digits: Path, digit_files: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(digits, tmp_path / "broken"))
    weights = load_file(digits / "model.safetensors")
    nothing = {name: each * np.float32("nan") for name, each in weights.items() if each.dtype == np.float32}
    save_file({**weights, **nothing}, broken / "model.safetensors")
    done = search.predict(broken, digit_files / "images", out=tmp_path / "out")
    assert (done.written, len(done.failed)) == (0, 10)
    assert "gives outputs that are NaN" in done.failed["000.png"]


def test_masks_have_the_colours_of_those_of_the_training_and_are_read_as_they(tmp_path: Path) -> None:
    colours = np.array([[10, 20, 30], [200, 0, 100], [0, 250, 5], [255, 255, 255]], np.uint8)
    data = tmp_path / "data"
    write_images(data / "images", [predicted.colours(np.random.default_rng(n), (16, 16)) for n in range(6)])
    labels = np.random.default_rng(0).integers(0, 4, (6, 16, 16))
    write_images(data / "masks", colours[labels])
    # The last colour is that of what is ignored, and the classes have other numbers than the colours.
    options = {
        "source": "folder",
        "root": str(data),
        "colors": colours.tolist(),
        "ignore_index": 3,
        "mask_values": {0: 1, 1: 0},
        "num_classes": 3,
    }
    export = exported(tmp_path, "segmentation", {**PHOTOS, "data": options})
    search.predict(export, data / "images", out=tmp_path / "out", masks=data / "masks")
    mask = Image.open(tmp_path / "out" / "masks" / "000.png")
    swapped = colours[[1, 0, 2]]
    np.testing.assert_array_equal(np.asarray(mask.convert("RGB")), swapped[np.asarray(mask)])
    again = search.predict(export, data / "images", out=tmp_path / "out", masks=tmp_path / "out" / "masks")
    assert again.scores is not None
    assert again.scores["miou"] == 1.0
