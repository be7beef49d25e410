"""What `check` prints and writes of the data that it understood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import search
from search.cli.main import main
from search.commands.check_files import write_check
from search.screen.texts.data import overview_text
from trainables.inspect.sheet import NUM_SAMPLES, Row, drawn

REST = {
    "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}},
    "batch_size": 4,
}


def config(task: str, metric: str, data: dict, model: dict, **trial: object) -> dict[str, Any]:
    return {
        "name": "looked",
        "task": task,
        "objective": {"metric": metric, "mode": "max"},
        "trial": {"data": data, "model": model, **REST, **trial},
        "virtual_epoch": {"steps": 4},
        "budget": {"trials": 2, "max_virtual_epochs": 2},
    }


def masks(root: Path, count: int = 10, side: int = 16) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for number in range(count):
        mask = np.zeros((side, side), np.uint8)
        mask[: side // 4] = 1
        mask[-1] = 255
        for name, pixels in (("images", rng.integers(0, 200, (side, side), np.uint8)), ("masks", mask)):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / name / f"{number:03}.png")
    data = {"source": "folder", "root": str(root), "class_names": ["road", "car", "sky"], "channels": 1}
    model = {"name": "unet", "width": 4, "depth": 2}
    return config("segmentation", "miou", data, model, augment={"horizontal_flip": 0.5})


def test_images_masks_and_model_are_described_and_a_sheet_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    Path("c.json").write_text(json.dumps(masks(tmp_path / "data")))
    main(["check", "c.json"])
    told = " ".join(capsys.readouterr().out.split())
    for part in (
        "objective miou, max: higher is better",
        "model unet, [4, 1, 16, 16] -> [4, 3, 16, 16]",
        "batch 4 samples a step",
        "virtual epoch 4 steps, 2 passes over the training data",
        "samples: 8 to train, 16x16; 2 to validate, 16x16",
        "images: 8-bit L, read as grey; values 0 to 199",
        "road 1,408 68.75% 8 352 68.75% 2",
        "ignored 128 6.25%",
        "class sky: occurs in no training or validation sample",
        "samples: results/looked/check/samples.png",
    ):
        assert part in told
    with Image.open("results/looked/check/samples.png") as sheet:
        assert sheet.width > 1000
    assert not search.check_data(json.loads(Path("c.json").read_text())).errors


def test_of_many_samples_some_are_looked_at(tmp_path: Path) -> None:
    found = search.check(masks(tmp_path / "data", count=100, side=8))
    assert found.data is not None
    assert "80 to train, 64 looked at, 8x8; 20 to validate, 8x8" in overview_text(found.data, width=120)


def test_columns_of_a_table_are_described(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n % 7}.5,{'ab'[n % 2]},3,{n / 4}\n" for n in range(40))
    (tmp_path / "t.csv").write_text(f",age,kind,same,price\n{rows}")
    data = {"source": "csv", "path": str(tmp_path / "t.csv"), "target": "price"}
    found = search.check(config("regression", "r2", data, {"name": "mlp", "width": 4, "depth": 1}))
    assert found.data is not None
    kinds = {column.name: column.kind for column in found.data.columns}
    assert kinds == {
        "Unnamed: 0": "left out: index of pandas",
        "age": "number",
        "kind": "2 texts",
        "same": "left out: one value",
        "price": "target, number",
    }
    assert found.data.facts["target"] == "price: least 0, mean 4.875, greatest 9.75"
    assert "0.5 to 6.5" in overview_text(found.data, width=120)


def test_a_picture_of_somebody_else_is_left_alone_and_ones_own_is_replaced(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    for _ in range(2):
        assert write_check(tmp_path, picture, None) == {"samples": str(tmp_path / "check/samples.png")}
    Image.fromarray(picture).save(tmp_path / "check/samples.png")
    before = (tmp_path / "check/samples.png").read_bytes()
    assert "is another picture" in write_check(tmp_path, picture, None)["samples"]
    assert (tmp_path / "check/samples.png").read_bytes() == before


@pytest.mark.parametrize("num_classes", [2, 21, 150])
@pytest.mark.parametrize("shape", [(1, 1), (30, 200), (200, 30)])
def test_the_sheet_has_one_width_and_names_with_any_signs(num_classes: int, shape: tuple[int, int]) -> None:
    images = [np.zeros((*shape, 3), np.uint8)] * 2
    names = {number: f"$\\frac ä {number}" for number in range(num_classes)}
    sheet = drawn([Row("as read", images, ["$x", "1x1"])], names)
    assert sheet.shape[1] == round(100 * (0.4 + 2.1 * NUM_SAMPLES))
