"""Clocks of machines that differ by minutes change nothing: no dates of two of them are compared."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.files import clock_of
from trainables.findings import ChangedFileError
from trainables.images.readers import FileReader
from trainables.images.targets import Encoded
from trainables.process.failure import hang_trace_is_due

MINUTES = 600.0


def dated(file: Path, seconds: float) -> None:
    """Give the file a date so far from now, as a machine with such a clock does."""
    now = time.time()
    os.utime(file, (now + seconds, now + seconds))


def reader_of(folder: Path, seconds: float) -> FileReader:
    """A reader as trials make it, of two images that have been there with such dates."""
    files = [folder / "0.png", folder / "1.png"]
    for file in files:
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(file)
        dated(file, seconds)
    samples = [Encoded((file,), 0, str(file)) for file in files]
    return FileReader.of_arrays(FileReader.of_samples(samples).as_arrays("train"), "train")


@pytest.mark.parametrize("seconds", [-MINUTES, MINUTES])
def test_images_dated_by_another_clock_are_not_taken_for_written_while_the_search_runs(
    tmp_path: Path, seconds: float
) -> None:
    reader = reader_of(tmp_path, seconds)
    for number in range(2):
        reader.refuse_changed(number)
    dated(tmp_path / "1.png", MINUTES + 60)
    reader.refuse_changed(0)
    with pytest.raises(ChangedFileError, match=r"1\.png: was written while the search ran"):
        reader.refuse_changed(1)


def test_a_date_far_ahead_of_one_image_hides_no_change_of_another(tmp_path: Path) -> None:
    reader_of(tmp_path, -MINUTES)
    dated(tmp_path / "0.png", 1e9)
    samples = [Encoded((tmp_path / name,), 0, name) for name in ("0.png", "1.png")]
    reader = FileReader.of_arrays(FileReader.of_samples(samples).as_arrays("valid"), "valid")
    dated(tmp_path / "1.png", 60)
    with pytest.raises(ChangedFileError, match=r"1\.png"):
        reader.refuse_changed(1)


def test_the_clock_that_dates_files_is_asked_by_writing_one(tmp_path: Path) -> None:
    before = clock_of(tmp_path)
    (tmp_path / "file").touch()
    assert before <= (tmp_path / "file").stat().st_mtime <= clock_of(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_driver_whose_clock_is_ahead_ends_no_process_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".hang.txt").touch()
    here = time.time
    monkeypatch.setattr(time, "time", lambda: here() + MINUTES)
    assert not hang_trace_is_due(tmp_path, 60.0)
    dated(tmp_path / ".hang.txt", -2 * MINUTES - 66)
    assert hang_trace_is_due(tmp_path, 60.0)
