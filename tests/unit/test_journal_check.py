"""What is wrong in a journal is named with its line and its cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated_search import Simulation, config_of

from search.study.journal_check import JournalReading, read_journal
from search.study.reading import read_records
from search.study.study import JOURNAL


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nine trials that have ended."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    Simulation(tmp_path, config_of(sampler={"name": "random"})).run()
    return tmp_path / JOURNAL


def read(journal: Path, *, being_written: bool = False) -> JournalReading:
    before = journal.read_bytes()
    reading = read_journal(journal, being_written=being_written)
    assert journal.read_bytes() == before
    return reading


def line_of(journal: Path, matches: Callable[[dict[str, Any]], bool]) -> int:
    """Number of the first line, from 0, with such an entry."""
    lines = journal.read_text().splitlines()
    return next(number for number, line in enumerate(lines) if matches(json.loads(line)))


def begins(trial: int) -> Callable[[dict[str, Any]], bool]:
    return lambda entry: entry.get("user_attrs", {}).get("trial") == trial


def with_lines(journal: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    journal.write_bytes(b"".join(change(journal.read_bytes().splitlines(keepends=True))))


def test_an_intact_journal_has_no_damages(journal: Path) -> None:
    reading = read(journal)
    assert (reading.damages, reading.mode) == ([], "max")
    assert [record.number for record in reading.records] == list(range(9))


def test_the_mode_is_the_studys(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, objective={"metric": "accuracy", "mode": "min"})
    Simulation(tmp_path, config).run(max_reports=1)
    assert read(tmp_path / JOURNAL).mode == "min"


@pytest.mark.parametrize("broken", [b"\0" * 40 + b"\n", b"5\n", b"[" * 5000 + b"]" * 5000 + b"\n"])
def test_a_line_that_is_no_entry_is_reported_with_the_trials_before_it(journal: Path, broken: bytes) -> None:
    line = line_of(journal, begins(6))
    with_lines(journal, lambda lines: [*lines[:line], broken, *lines[line + 1 :]])
    reading = read(journal)
    cost = (
        f"the study cannot be read beyond line {line}: 6 of 8 trials are before it; "
        f"`head -n {line} study.journal` gives a study that can be continued"
    )
    assert reading.damages[0] == (f"line {line + 1} is not JSON", cost)
    assert len(reading.records) == 6
    with_lines(journal, lambda lines: lines[:line])
    assert len(read_records(journal)) == 6
    assert read(journal).damages == []


def test_a_lost_line_that_others_build_on_is_found(journal: Path) -> None:
    line, later = line_of(journal, begins(2)), line_of(journal, begins(3))
    with_lines(journal, lambda lines: lines[:line] + lines[line + 1 :])
    what, cost = read(journal).damages[0]
    assert what == f"line {later} does not fit the lines before it"
    assert "2 of 8 trials are before it" in cost


def test_half_a_last_line_costs_one_record_and_is_no_damage_while_a_search_writes(journal: Path) -> None:
    with journal.open("ab") as file:
        file.write(b'{"op_code":7,"wor')
    ((what, cost),) = read(journal).damages
    assert what == "ends in half a line of 17 bytes"
    assert cost == "one record at most, which is written again when the search continues"
    assert read(journal, being_written=True).damages == []


def test_a_missing_virtual_epoch_is_named(journal: Path) -> None:
    line = line_of(journal, lambda entry: entry.get("step") == 2)
    trial = json.loads(journal.read_text().splitlines()[line])["trial_id"]
    with_lines(journal, lambda lines: lines[:line] + lines[line + 1 :])
    ((what, cost),) = read(journal).damages
    assert what == f"trial {trial} has no value at virtual epoch 2"
    assert cost == f"the later values of trial {trial} count for earlier virtual epochs than theirs"


def test_an_empty_journal_is_an_empty_study(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).touch()
    reading = read(tmp_path / JOURNAL)
    assert (reading.records, reading.damages) == ([], [])
