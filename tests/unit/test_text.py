"""How numbers, sizes, durations and paths are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.text import counted, duration, one_line, short_path, size_text


def test_counts_and_sizes() -> None:
    assert [counted(number, "trial") for number in (0, 1, 2000)] == ["0 trials", "1 trial", "2,000 trials"]
    sizes = [size_text(number) for number in (0, 999, 1000, 1_234_567, 5e9, 7.25e12)]
    assert sizes == ["0 bytes", "999 bytes", "1.0 kB", "1.2 MB", "5.0 GB", "7.2 TB"]


def test_durations() -> None:
    texts = [duration(seconds) for seconds in (0, 45.4, 59.6, 61, 3599, 3600, 7500, 200_000)]
    assert texts == [
        "0 s",
        "45 s",
        "1 min 00 s",
        "1 min 01 s",
        "59 min 59 s",
        "1 h 00 min",
        "2 h 05 min",
        "55 h 33 min",
    ]


def test_one_line() -> None:
    assert one_line("  a\n\tb\x1b[0m  ü ") == "a b [0m ü"


def test_paths_below_the_current_folder_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert short_path(tmp_path / "results" / "seg") == "results/seg"
    assert short_path(Path("/elsewhere")) == "/elsewhere"
