"""Faults 40 and 41: output that goes away or is full, a locale without UTF-8, Python's own settings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from machine import finished, search_of
from mask_folders import write
from PIL import Image
from programs import HELPERS, PROGRAM, write_config

SHORT = {"budget": {"trials": 2, "max_virtual_epochs": 2}, "scheduler": {"name": "none"}}
NO_UTF8 = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

# 40


@pytest.mark.parametrize("lost", ["| head -1", "| true", "> /dev/full", ">&- 2>&- <&-"])
def test_a_search_whose_output_is_lost_goes_on_and_ends_with_its_own_code(tmp_path: Path, lost: str) -> None:
    words = search_of(write_config(tmp_path, **SHORT), "--results", str(tmp_path / "r"), "--local")
    shell = f'run() {{ "$@" {lost}; echo "code ${{PIPESTATUS[0]}}" >> {tmp_path}/code; }}; run'
    done = finished(words, cwd=HELPERS, shell=shell)
    assert (tmp_path / "code").read_text() == "code 0\n"
    summary = json.loads((tmp_path / "r" / "digits" / "summary.json").read_text())
    assert summary["status"] == "complete"
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr
    if not lost.startswith(">&-"):
        log = (tmp_path / "r" / "digits" / "search.log").read_text()
        assert log.count("the output cannot be written any more") == 1
        assert "search complete" in log


@pytest.mark.parametrize(
    ("lost", "code", "said"),
    [
        ("| head -1", 0, ""),
        ("| true", 0, ""),
        (">&-", 0, ""),
        ("> /dev/full", 1, "the output could not be written: No space left on device\n"),
    ],
)
def test_a_short_command_whose_output_is_lost_ends_quietly_or_says_so(
    tmp_path: Path, lost: str, code: int, said: str
) -> None:
    shell = f'run() {{ "$@" {lost}; echo "code ${{PIPESTATUS[0]}}" >> {tmp_path}/code; }}; run'
    done = finished([*PROGRAM, "--help"], shell=shell)
    assert (tmp_path / "code").read_text() == f"code {code}\n"
    assert done.stderr == said


# 41


def folder_with_umlauts(folder: Path) -> Path:
    for number, name in enumerate(["straße", "köln", "a", "b", "c", "d"]):
        write(folder / "größe", name, seed=number, size=(16, 16))
    trial = {
        "data": {"source": "folder", "root": str(folder / "größe")},
        "model": {"name": "unet", "width": 4, "depth": 1},
        "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-3, 1e-1]}},
        "batch_size": 2,
    }
    config = {
        "name": "digits",
        "task": "segmentation",
        "objective": {"metric": "miou", "mode": "max"},
        "trial": trial,
        "virtual_epoch": {"steps": 2},
        "budget": {"trials": 1, "max_virtual_epochs": 1},
    }
    file = folder / "größe.yaml"
    file.write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    return file


def test_without_utf8_paths_with_umlauts_are_found_and_shown(tmp_path: Path) -> None:
    config = folder_with_umlauts(tmp_path)
    done = finished(search_of(config, "--results", str(tmp_path / "läufe"), "--local"), env=NO_UTF8)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "läufe" / "digits") in done.stdout
    (tmp_path / "größe" / "masks" / "köln.png").unlink()
    wrong = finished([*PROGRAM, "check", str(config)], env=NO_UTF8)
    assert wrong.returncode == 1
    assert "images/köln.png" in wrong.stderr


def test_a_name_that_is_no_text_is_shown_as_its_bytes(tmp_path: Path) -> None:
    config = folder_with_umlauts(tmp_path)
    image = tmp_path / "größe" / "images" / b"k\xf6ln.png".decode("utf-8", "surrogateescape")
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(image)
    done = finished([*PROGRAM, "check", str(config)])
    assert done.returncode == 1
    assert f"{image.parent}/k\\xf6ln.png" in done.stderr
    assert "such as" not in done.stderr  # an example that agrees explains nothing
    assert "Traceback" not in done.stderr


def test_without_docstrings_help_is_whole_and_a_search_runs(tmp_path: Path) -> None:
    without = {"PYTHONOPTIMIZE": "2"}
    assert "train a few steps" in finished([*PROGRAM, "check", "--help"], env=without).stdout
    done = finished(
        search_of(write_config(tmp_path, **SHORT), "--results", str(tmp_path / "r")), env=without, cwd=HELPERS
    )
    assert "search complete" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["-50%d {x} [1] it's", "~tilde"])
def test_odd_names_of_the_project_the_data_and_the_results_are_names(tmp_path: Path, name: str) -> None:
    project = tmp_path / name
    project.mkdir()
    config = folder_with_umlauts(project)
    found = json.loads(config.read_text(encoding="utf-8"))
    (project / "größe").rename(project / name)
    found["trial"]["data"]["root"] = name
    (project / f"{name}.yaml").write_text(json.dumps(found), encoding="utf-8")
    command = [*PROGRAM, "search", f"./{name}.yaml", "--results", f"./{name} r/", "--local", "--name", "run"]
    done = finished(command, cwd=project)
    assert done.returncode == 0, done.stderr
    assert (project / f"{name} r" / "run" / "summary.json").is_file()
