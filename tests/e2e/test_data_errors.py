"""What is wrong with the data is one line, without an exception's class and without a traceback."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

import search
from search.cli.main import main
from search.errors import SearchError

WAY_OUT = "`tune-search check bad.yaml --data` lists all problems of the data"
TASK = """
from trainables.task import Task

class Broken(Task):
    @classmethod
    def load_data(cls, options):
        raise ValueError("cannot reshape array")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with images and masks of which one image cannot be read, and a table."""
    for part in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / "data" / kind / part).mkdir(parents=True)
            for number in range(3):
                pixels = np.full((8, 8), number % 2, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / kind / part / f"{number}.png")
    (tmp_path / "data" / "images" / "train" / "1.png").write_bytes(b"junk")
    (tmp_path / "houses.csv").write_text("rooms,price\n1,2\n2,cheap\n3,4\n" * 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(task: str, data: dict[str, object], model: str = "unet") -> None:
    metric = "mae" if task == "regression" else "miou"
    config = {
        "name": "bad",
        "task": task,
        "objective": {"metric": metric, "mode": "min" if metric == "mae" else "max"},
        "trial": {"data": data, "model": {"name": model, "width": 4, "depth": 1}},
        "virtual_epoch": {"steps": 1},
        "budget": {"trials": 1, "max_virtual_epochs": 1},
    }
    with open("bad.yaml", "w") as file:
        YAML(typ="safe").dump(config, file)


def said(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """The last line of a command that fails on the data."""
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert ended.value.code == 1
    assert not Path("tune-search-error.txt").exists()
    line = capsys.readouterr().err.splitlines()[-1]
    assert "Error" not in line
    return line


COMMANDS = pytest.mark.parametrize("command", [("check", "bad.yaml"), ("bad.yaml", "--local")])


@COMMANDS
def test_a_sample_that_is_wrong_is_named_with_the_command_that_lists_all(
    folder: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    write("segmentation", {"source": "folder", "root": "data", "num_classes": 2})
    file = folder / "data" / "images" / "train" / "1.png"
    assert said(capsys, *command) == (
        f"{file}: is none of PNG, JPEG, TIFF, WebP and .npy, or its header is damaged; {WAY_OUT}"
    )


@COMMANDS
def test_a_wrong_cell_is_named_with_the_command_that_lists_all(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    write("regression", {"source": "csv", "path": "houses.csv", "target": "price"}, model="mlp")
    line = said(capsys, *command)
    assert line.startswith("houses.csv:3")
    assert "'cheap'" in line


@COMMANDS
@pytest.mark.parametrize(
    ("path", "target", "message"),
    [
        ("houses.csv", "prise", "houses.csv: has no column 'prise' (data.target); did you mean 'price'?"),
        ("house.csv", "price", "house.csv: cannot be read: No such file or directory; correct the path"),
    ],
)
def test_an_option_that_is_wrong_is_all_that_is_said(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...], path: str, target: str, message: str
) -> None:
    write("regression", {"source": "csv", "path": path, "target": target}, model="mlp")
    told, _, place = said(capsys, *command).rpartition(" (")
    assert told == message
    assert re.fullmatch(r"bad\.yaml:\d+\)", place)


def test_from_python_it_is_a_search_error() -> None:
    write("segmentation", {"source": "folder", "root": "data", "num_classes": 2})
    with pytest.raises(SearchError, match=r"is none of PNG, JPEG, TIFF, WebP and \.npy"):
        search.check("bad.yaml")


def test_what_a_task_of_the_users_own_raises_keeps_its_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own_broken.py").write_text(TASK)
    write("own_broken:Broken", {})
    with pytest.raises(SystemExit):
        main(["check", "bad.yaml", "--set", "trial.model={}"])
    assert "ValueError: cannot reshape array\ntraceback in " in capsys.readouterr().err
    assert "own_broken.py" in Path("tune-search-error.txt").read_text()


def test_several_samples_that_are_wrong_are_followed_by_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = folder / "data" / "masks" / "val" / "0.png"
    Image.fromarray(np.full((8, 8), 37, dtype=np.uint8)).save(mask)
    write("segmentation", {"source": "folder", "root": "data", "num_classes": 2})
    assert said(capsys, "check", "bad.yaml") == WAY_OUT
