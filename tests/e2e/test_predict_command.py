"""`tune-search predict` on folders as they are: what is written, what goes on, what is refused and named."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from predicted import DIGITS, exported, rows, write_images
from programs import run

import search
from search.errors import RefusedError, SearchError
from search.screen.texts.predict import predict_lines, predicted_text

SIZE = (16, 20)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("digits"), "segmentation", DIGITS)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("classes"), "classification", {"batch_size": 32})


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    write_images(folder, rng.integers(0, 256, (3, *SIZE), np.uint8))
    write_images(folder / "more", rng.integers(0, 256, (2, 24, 9), np.uint8))
    return folder


def written(out: Path) -> list[str]:
    return sorted(file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file())


def test_what_cannot_be_read_is_named_at_the_end_and_the_others_are_predicted(
    export: Path, images: Path, tmp_path: Path
) -> None:
    whole = (images / "000.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    (images / "notes.txt").write_text("to do\n")
    (images / ".hidden").write_text("")
    np.save(images / "bands.npy", np.zeros((8, 9, 5), np.uint8))
    Image.fromarray(np.full(SIZE, 40_000, np.uint16)).save(images / "deep.png")
    shown = run("predict", str(export), str(images), "--out", str(tmp_path / "out"))
    assert shown.returncode == 1
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("5 images predicted: ")
    assert lines[2:] == [
        "4 images could not be predicted:",
        "  bands.npy: has 5 channels, and the model takes 1; convert it",
        lines[4],
        "  deep.png: has more than 8 bits a channel, and the training images have 8; save it with 8",
        "  notes.txt: is none of PNG, JPEG, TIFF, WebP and .npy, or its header is damaged",
    ]
    assert lines[4].startswith("  cut.png: cannot be decoded, it may be cut short")
    assert written(tmp_path / "out") == [
        "classes.json",
        "failed.txt",
        "inputs.csv",
        *(f"masks/00{number}.png" for number in range(3)),
        *(f"masks/more/00{number}.png" for number in range(2)),
        "predict.json",
    ]
    for name in ("bands.npy", "cut.png", "deep.png", "notes.txt"):
        (images / name).unlink()
    assert run("predict", str(export), str(images), "--out", str(tmp_path / "out")).returncode == 0
    assert not (tmp_path / "out" / "failed.txt").exists()


def test_an_interrupted_prediction_goes_on_and_what_is_there_stays(
    export: Path, images: Path, tmp_path: Path
) -> None:
    def interrupt(what: str, done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        search.predict(export, images, out=out, batch_size=1, probabilities=True, progress=interrupt)
    there = {file: file.stat().st_ino for file in (out / "masks").rglob("*.png")}
    assert len(there) == 2
    seen: list[int] = []
    done = search.predict(
        export, images, out=out, probabilities=True, progress=lambda what, done, of: seen.append(done)
    )
    assert (done.written, done.kept, seen) == (3, 2, [3, 4, 5])
    assert {file: file.stat().st_ino for file in there} == there
    os.utime(images / "001.png", (4e9, 4e9))  # changed since
    assert search.predict(export, images, out=out, probabilities=True).written == 1


def test_a_folder_of_another_command_is_not_written_into(export: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    search.predict(export, images, out=out)
    with pytest.raises(RefusedError, match=r"tta 'none' and now 'horizontal': give another --out, or remove"):
        search.predict(export, images, out=out, flips="horizontal")
    with pytest.raises(RefusedError, match="overlay false and now true; probabilities false and now true"):
        search.predict(export, images, out=out, overlay=True, probabilities=True)
    with pytest.raises(RefusedError, match=r"input .* and now .*more'"):
        search.predict(export, images / "more", out=out)
    other = Path(shutil.copytree(export, tmp_path / "other"))
    described = json.loads((other / "inference.json").read_text())
    described["images"]["mean"] = [0.1]
    (other / "inference.json").write_text(json.dumps(described))
    with pytest.raises(RefusedError, match="was written with another model"):
        search.predict(other, images, out=out)
    with pytest.raises(RefusedError, match=r"is not of `predict`: it has no predict.json, and holds 000.png"):
        search.predict(export, images, out=images)


def test_windows_are_smaller_than_large_images_where_they_are_asked_for(
    export: Path, images: Path, tmp_path: Path
) -> None:
    np.save(images / "array.npy", np.random.default_rng(1).integers(0, 256, (40, 33, 1), np.uint8))
    search.predict(export, images, out=tmp_path / "whole")
    search.predict(export, images, out=tmp_path / "windows", window=8)
    for name in written(tmp_path / "whole" / "masks"):
        file = images / name
        image = np.asarray(Image.open(file)) if file.is_file() else np.load(file.with_suffix(".npy"))
        for out, model in (("whole", search.load(export)), ("windows", search.load(export, window=8))):
            mask = np.asarray(Image.open(tmp_path / out / "masks" / name))
            np.testing.assert_array_equal(mask, model.predict(image))


def test_masks_are_compared_image_by_image_and_the_worst_comes_first(
    export: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    search.predict(export, images, out=out)
    masks = Path(shutil.copytree(out / "masks", tmp_path / "truth"))
    half = np.asarray(Image.open(masks / "001.png")).copy()
    half[:8] = np.where(half[:8] == 3, 4, 3)
    Image.fromarray(half).save(masks / "001.png")
    (masks / "000.png").unlink()
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(masks / "more" / "000.png")
    done = search.predict(export, images, out=out, masks=masks)
    assert (done.written, done.kept, done.num_scored) == (0, 5, 3)
    assert list(done.failed) == ["more/000.png"]
    assert "is 5x5, its image" in done.failed["more/000.png"]
    with (out / "scores.csv").open() as file:
        scored = list(csv.DictReader(file))
    assert [row["file"] for row in scored] == ["001.png", "002.png", "more/001.png"]
    assert float(scored[0]["pixel_accuracy"]) == 0.5
    assert float(scored[1]["miou"]) == float(scored[2]["miou"]) == 1.0
    known = 2 * SIZE[0] * SIZE[1] + 24 * 9
    accuracy = json.loads((out / "metrics.json").read_text())["pixel_accuracy"]
    assert accuracy == pytest.approx(1 - SIZE[0] * SIZE[1] / 2 / known)
    page = (out / "index.html").read_text()
    assert page.index("001.png, 20x16") < page.index("002.png, 20x16") < page.index("more/001.png, 9x24")
    assert page.count("data:image/png;base64,") == 9
    assert "http" not in page
    assert "against 3 masks of 5 images: mIoU" in predicted_text(done)
    assert "1 image could not be predicted or compared:" in predicted_text(done)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 3}, "--count is of gan, and .* is of task segmentation"),
        ({"window": 4}, "window is 4; must be 8 pixels or more"),
        ({"flips": "diagonal"}, "must be one of none, horizontal, vertical, both"),
        ({"device": "cuda:99"}, "device is 'cuda:99', which cannot be used here"),
        ({"masks": "nowhere"}, "there is no folder .*nowhere; --masks is a folder of masks"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_written(
    options: dict[str, object], message: str, export: Path, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(RefusedError, match=message):
        search.predict(export, images, out=tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_inputs_that_cannot_be_are_refused(
    export: Path, classifier: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(RefusedError, match="give a folder of images, or an image"):
        search.predict(export, out=out)
    with pytest.raises(RefusedError, match=r"there is no .*nowhere; give a folder of images"):
        search.predict(export, tmp_path / "nowhere", out=out)
    with pytest.raises(RefusedError, match=r"--tta is of segmentation, and .* is of task classification"):
        search.predict(classifier, images, out=out, flips="both")
    shutil.copy(images / "000.png", images / "000.tif")
    with pytest.raises(RefusedError, match=r"000.png and 000.tif would both be written as 000.png"):
        search.predict(export, images, out=out)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedError, match="holds no file"):
        search.predict(export, tmp_path / "empty", out=out)
    with pytest.raises(SearchError, match=r"is not an export.*did you mean .*export\?"):
        search.predict(export.parent, images, out=out)
    (tmp_path / "other").mkdir()
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "other" / "x.png")
    (images / "000.tif").unlink()
    with pytest.raises(RefusedError, match=r"no mask in .*other has the name of an image: such as x and 000"):
        search.predict(export, images, out=out, masks=tmp_path / "other")


def test_folders_of_outputs_and_of_masks_below_the_images_are_none_of_them(
    export: Path, images: Path
) -> None:
    search.predict(export, images, out=images / "out")
    masks = Path(shutil.copytree(images / "out" / "masks", images / "truth"))
    done = search.predict(export, images, out=images / "out", masks=masks)
    assert (done.written, done.kept, done.num_scored) == (0, 5, 5)
    assert done.scores is not None
    assert done.scores["miou"] == 1.0


def test_classified_images_go_on_from_whole_rows(classifier: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 17, (5, 8, 8), np.uint8)
    images = write_images(tmp_path / "images", pixels)
    search.predict(classifier, images, out=tmp_path / "all")
    whole = (tmp_path / "all" / "predictions.csv").read_text()
    out = tmp_path / "out"

    def interrupt(what: str, done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.predict(classifier, images, out=out, batch_size=1, progress=interrupt)
    (growing,) = out.glob(".predictions*")
    growing.write_text(growing.read_text() + "002.png,7,0.1")  # a row that was cut short
    write_images(tmp_path / "wrong", np.zeros((1, 9, 9), np.uint8))
    shutil.move(tmp_path / "wrong" / "000.png", images / "large.png")
    done = search.predict(classifier, images, out=out, batch_size=1)
    assert (done.written, done.kept) == (3, 2)
    assert "is 9x9, and the training images were 8x8" in done.failed["large.png"]
    found = rows(out)
    assert [row["file"] for row in found] == [f"00{number}.png" for number in range(5)]
    expected = list(csv.DictReader(whole.splitlines()))
    assert [row["class"] for row in found] == [row["class"] for row in expected]
    assert not list(out.glob(".predictions*"))


def test_wrong_cells_and_unknown_texts_are_named_and_a_missing_column_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{rng.normal():.3f},{'ab'[n % 2]},{rng.normal():.3f}" for n in range(40)]
    table = tmp_path / "t.csv"
    table.write_text("x,kind,y\n" + "\n".join(lines) + "\n")
    data = {"source": "csv", "path": str(table), "target": "y"}
    export = exported(tmp_path, "regression", {"data": data})
    new = tmp_path / "new.csv"
    new.write_text("kind;x\na;1.5\nc;oops\nc;2\nb;NA\n")
    done = search.predict(export, new, out=tmp_path / "out")
    assert done.failed == {"line 3": "column 'x': received 'oops'; must be a finite number, or missing"}
    (note,) = done.notes
    assert "column 'kind' holds texts that no training row has, such as 'c'" in note
    assert [row["line"] for row in rows(tmp_path / "out")] == ["2", "4", "5"]
    new.write_text("kind,x\n" + "".join(f"a,{1000 * rng.normal():.1f}\n" for _ in range(40)))
    (note,) = search.predict(export, new, out=tmp_path / "scaled").notes
    assert re.search(r"column 'x': .* here and .* in training; about [\d,]+ times as large", note)
    new.write_text("kind,z\na,1\n")
    with pytest.raises(RefusedError, match=r"has no column 'x' \(which the model needs\)"):
        search.predict(export, new, out=tmp_path / "out2")
    with pytest.raises(RefusedError, match="is a folder, and the model takes rows"):
        search.predict(export, tmp_path, out=tmp_path / "out2")


def test_the_screen_of_an_export_names_the_command_that_predicts(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(export.parents[2])
    assert predict_lines(export) == ["  tune-search predict results/small/export IMAGES --out DIR"]
    assert predict_lines(export.parent) == []


def test_a_damaged_export_is_named(export: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(export, tmp_path / "broken"))
    described = json.loads((broken / "inference.json").read_text())

    def refused(change: dict[str, object] | str) -> str:
        text = change if isinstance(change, str) else json.dumps({**described, **change})
        (broken / "inference.json").write_text(text)
        with pytest.raises(RefusedError) as error:
            search.load(broken)
        return str(error.value)

    assert "inference.json: has version 9, and this program reads 1: update tune-search" in refused(
        {"version": 9}
    )
    assert "is damaged" in refused({"colour": 1})
    assert "inference.json: " in refused("{")
    wider = {"name": "unet", "arguments": {**described["network"]["arguments"], "width": 8}}
    assert "is of another network than unet" in refused({"network": wider})
    assert "its network is 'vnet', and this program has unet" in refused(
        {"network": {"name": "vnet", "arguments": {}}}
    )
    (broken / "inference.json").write_text(json.dumps(described))
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(RefusedError, match=r"is damaged .*: export again"):
        search.load(broken)
