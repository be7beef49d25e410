"""How numbers, sizes, durations and paths are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.text import MAX_SHOWN, counted, duration, one_line, short_path, shown_apart, size_text


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


def test_long_values_are_shown_where_they_differ() -> None:
    assert shown_apart({"a": 1}, None) == ("{a: 1}", "null")
    long = list(range(100, 140))
    before, now = shown_apart(long, [*long[:30], 7, *long[31:]])
    assert before != now
    assert all(text.startswith("...") and len(text) <= MAX_SHOWN for text in (before, now))
    assert ("130, 131" in before, "7, 131" in now) == (True, True)
    assert shown_apart(long, long[:-1])[1].endswith("138]")
