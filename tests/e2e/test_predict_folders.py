"""What `predict` takes for its inputs, and what it takes for done: links, replaced files, others' folders."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predicted import DIGITS, exported, rows, write_images
from safetensors.numpy import load_file, save_file

import search
from search.errors import RefusedError
from search.predicting.exported import inference_of
from search.predicting.folder import begun
from search.predicting.segment import class_folders


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("digits"), "segmentation", DIGITS)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("classes"), "classification", {"batch_size": 32})


@pytest.fixture
def images(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 17, (3, 8, 8), np.uint8)
    return write_images(tmp_path / "images", pixels)


def test_linked_folders_are_predicted_and_those_that_are_there_twice_are_refused(
    export: Path, images: Path, tmp_path: Path
) -> None:
    elsewhere = write_images(tmp_path / "elsewhere", np.zeros((2, 8, 8), np.uint8))
    (images / "linked").symlink_to(elsewhere)
    done = search.predict(export, images, out=tmp_path / "out")
    assert done.written == 5
    assert (tmp_path / "out" / "masks" / "linked" / "001.png").is_file()
    (elsewhere / "again").symlink_to(images)
    with pytest.raises(RefusedError, match=r"images and .*linked/again are one folder, by a link: remove"):
        search.predict(export, images, out=tmp_path / "out")


@pytest.mark.parametrize("kind", ["export", "classifier"])
def test_an_image_that_an_older_one_replaces_is_predicted_again(
    kind: str, images: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model, out = request.getfixturevalue(kind), tmp_path / "out"
    search.predict(model, images, out=out)
    assert search.predict(model, images, out=out).kept == 3
    shutil.copy(images / "000.png", images / "001.png")
    os.utime(images / "001.png", (1e9, 1e9))
    done = search.predict(model, images, out=out)
    assert (done.written, done.kept) == (1, 2)
    if kind == "classifier":
        first, second, _ = (list(row.values())[2:] for row in rows(out))
        np.testing.assert_allclose(np.array(first, float), np.array(second, float), rtol=1e-5)
    else:
        assert (out / "masks/000.png").read_bytes() == (out / "masks/001.png").read_bytes()


def test_an_earlier_output_among_the_images_is_left_out_with_a_word(
    export: Path, images: Path, tmp_path: Path
) -> None:
    search.predict(export, images, out=images / "before")
    done = search.predict(export, images, out=tmp_path / "out")
    assert (done.written, done.failed) == (3, {})
    assert done.notes == ("before is left out: it holds what `predict` has written",)
    with pytest.raises(RefusedError, match=r"before is written by `predict`; give a folder of images"):
        search.predict(export, images / "before", out=tmp_path / "other")
    own = images / "own"
    shutil.copytree(tmp_path / "out" / "masks", own)
    (own / "predict.json").write_text("{}")  # of somebody else
    assert "own/predict.json" in search.predict(export, images, out=tmp_path / "out").failed


def test_a_folder_that_another_process_writes_is_refused(export: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        begun(out, export, inference_of(export), {}),
        pytest.raises(RefusedError, match=r"another process writes .*out: wait until it ends"),
    ):
        search.predict(export, images, out=out)
    assert sorted(file.name for file in out.iterdir()) == ["predict.json"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{}", r"predict.json is not of `predict`"),
        ("[1]", r"predict.json is not of `predict`"),
        ('{"model": ', r"predict.json is damaged"),
    ],
)
def test_a_record_that_is_none_is_refused(
    record: str, message: str, export: Path, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "predict.json").write_text(record)
    with pytest.raises(RefusedError, match=rf"{message}.*give another --out"):
        search.predict(export, images, out=tmp_path)


@contextmanager
def memory_left(number: int) -> Iterator[None]:
    """Let this process allocate no more than so many bytes in addition."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_an_image_that_does_not_fit_into_memory_is_named_and_the_others_are_predicted(
    export: Path, images: Path, tmp_path: Path
) -> None:
    search.predict(export, images, out=tmp_path / "warm", batch_size=1)
    large = np.lib.format.open_memmap(images / "001.npy", mode="w+", dtype=np.uint8, shape=(40_000, 40_000))
    del large  # a hole of a file, which takes no room on disk
    (images / "001.png").unlink()
    with memory_left(3 * 2**30):
        done = search.predict(export, images, out=tmp_path / "out", batch_size=1)
    assert done.written == 2
    assert list(done.failed) == ["001.npy"]
    assert done.failed["001.npy"].startswith("does not fit into memory")
    assert done.failed["001.npy"].endswith("; --window 512 predicts it in parts")


def test_folders_of_classes_are_names_and_no_two_are_one() -> None:
    assert class_folders(["sky", "a/b", "..", ".hidden"]) == ["sky", "a_b", "_.", "_hidden"]
    with pytest.raises(RefusedError, match=r"the classes 'a/b' and 'a_b' would both be masks/a_b: rename"):
        class_folders(["a/b", "a_b"])


@pytest.fixture(scope="module")
def regressor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of columns x and z."""
    folder = tmp_path_factory.mktemp("rows")
    numbers = np.random.default_rng(0).normal(size=(40, 3))
    lines = "".join(f"{x:.3f},{z:.3f},{y:.3f}\n" for x, z, y in numbers)
    (folder / "t.csv").write_text(f"x,z,y\n{lines}")
    data = {"source": "csv", "path": str(folder / "t.csv"), "target": "y"}
    return exported(folder, "regression", {"data": data, "model": {"name": "mlp", "width": 8}})


def test_after_a_refused_table_the_corrected_call_writes_the_folder(regressor: Path, tmp_path: Path) -> None:
    table = tmp_path / "new.csv"
    table.write_text("z,w\n1,1\n")
    with pytest.raises(RefusedError, match="has no column 'x'"):
        search.predict(regressor, table, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "good.csv").write_text("x,z\n1,1\n")
    assert search.predict(regressor, tmp_path / "good.csv", out=tmp_path / "out").written == 1


def test_rows_of_which_the_model_makes_no_number_are_named(regressor: Path, tmp_path: Path) -> None:
    steep = Path(shutil.copytree(regressor, tmp_path / "steep"))
    weights = load_file(regressor / "model.safetensors")
    weights = {name: np.abs(each) for name, each in weights.items()}  # so that large inputs pass each ReLU
    weights["head.weight"] *= np.float32(1e30)
    save_file(weights, steep / "model.safetensors")
    table = tmp_path / "new.csv"
    table.write_text("x,z\n0,0\n1e15,0\n1,1\noops,1\n0,3.4e38\n")
    done = search.predict(steep, table, out=tmp_path / "out")
    assert list(done.failed) == ["line 3", "line 5", "line 6"]
    assert "the model gives outputs that are NaN or infinite" in done.failed["line 3"]
    assert (
        "received '3.4e38'; must be a finite number" in done.failed["line 6"]
    )  # not when it is standardized
    assert [row["line"] for row in rows(tmp_path / "out")] == ["2", "4"]
    with pytest.raises(ValueError, match="NaN or infinite"):
        search.load(steep).predict({"x": [0, 1e15], "z": [0, 0]})


def test_files_of_an_export_that_are_damaged_or_missing_are_named(export: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(export, tmp_path / "broken"))

    def refused() -> str:
        with pytest.raises(RefusedError) as error:
            search.load(broken)
        return str(error.value)

    (broken / "inference.json").write_text("[]")
    assert "inference.json: is damaged: it must hold an object; export again" in refused()
    (broken / "inference.json").unlink()
    assert search.load(broken).metrics  # as an export of before that file was
    values = json.loads((broken / "preprocessing.json").read_text())
    del values["channels"]
    for text in (json.dumps(values), "[1]", "{"):
        (broken / "preprocessing.json").write_text(text)
        assert "preprocessing.json" in refused()
    (broken / "preprocessing.json").unlink()
    assert "has neither inference.json nor a preprocessing.json" in refused()
    (broken / "config.yaml").write_text("task: segmentation\n")
    assert "config.yaml is damaged: it must hold `task` and `trial`" in refused()


@pytest.mark.parametrize("kind", ["export", "classifier", "regressor"])
def test_the_first_lines_of_the_card_predict_and_the_next_load_the_weights(
    kind: str, images: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(request.getfixturevalue(kind), tmp_path / "model"))
    shutil.copy(images / "000.png", folder / "image.png")
    (folder / "rows.csv").write_text("x,z\n1,1\n2,2\n")
    card = (folder / "README.md").read_text()
    assert "`inference.json`" in card
    monkeypatch.chdir(folder)
    for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        names: dict[str, Any] = {}
        exec(block, names)
        assert "model" in names
