"""A disk that is too small for what is exported: one line with the path and the way out, and nothing left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from several import several
from small_disk import fill, small_disk

import search
from search.cli.main import main
from search.errors import SearchError

pytestmark = pytest.mark.usefixtures("no_fsync")
WITHOUT_A_GRAPH, WITHOUT_WEIGHTS = "440k", "100k"
"""Disks that hold the weights and no graph, and not even those."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    trial = {"optimizer": {"lr": {"choice": [0.01, 0.008, 0.006]}}, "batch_size": 32}
    return several(tmp_path_factory.mktemp("digits"), "classification", trial)


@pytest.mark.parametrize(
    ("size", "flags"),
    [
        (WITHOUT_WEIGHTS, []),
        (WITHOUT_WEIGHTS, ["--soup"]),
        (WITHOUT_WEIGHTS, ["--ensemble", "2"]),
        (WITHOUT_A_GRAPH, ["--format", "pt2"]),
        (WITHOUT_A_GRAPH, ["--format", "onnx"]),
    ],
)
def test_an_export_says_which_folder_cannot_be_written(
    digits: Path, tmp_path: Path, size: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "small", size) as small:
        with pytest.raises(SystemExit) as ended:
            main(["export", str(digits), "--out", str(small / "x"), *flags])
        assert ended.value.code == 1
        assert not list(small.iterdir())
    lines = capsys.readouterr().err.splitlines()
    assert f"{small / 'x'} cannot be written: No space left on device; nothing was exported: " in lines[-1]
    assert not any("traceback" in line for line in lines)


def test_a_retraining_goes_on_once_there_is_space(digits: Path, tmp_path: Path) -> None:
    export = search.export(digits, out=tmp_path / "export").folder
    with small_disk(tmp_path / "small", "4m") as small:
        fill(small)
        with pytest.raises(SearchError, match="x: No space left on device; choose another with --out"):
            search.retrain(export, out=small / "x")
        os.truncate(small / "filler", (small / "filler").stat().st_size - 100_000)
        with pytest.raises(SearchError, match="x cannot be written: No space left on device; free space"):
            search.retrain(export, out=small / "x")
        (small / "filler").unlink()
        assert search.retrain(export, out=small / "x").export is not None
