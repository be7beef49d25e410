from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from simulated_search import FLAT_SPACE, Simulation, config_of, open_study, outcomes
from small_disk import small_disk

from search.errors import SearchError
from search.study.journal import Journal, JournalWriteError, drop_half_line, open_journal
from search.study.reading import read_records
from search.study.study import JOURNAL
from trainables.data.virtual_epoch import VirtualEpochs

CONFIG = config_of(FLAT_SPACE, sampler={"name": "random"})


LENGTHS = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=None)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", size="64k") as folder:
        yield folder


class Calls:
    """Counts what reaches the disk, which is done as always."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        for name in ("write", "fsync"):
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))

    def _counted(self, name: str, call: Any) -> Any:
        def counted(*args: Any) -> Any:
            self.made.append(name)
            return call(*args)

        return counted


def new_journal(folder: Path) -> tuple[JournalStorage, Journal, Path]:
    """A study with one attribute."""
    path = folder / JOURNAL
    storage, journal = open_journal(path)
    storage.create_new_study([StudyDirection.MAXIMIZE], "x")
    storage.set_study_user_attr(0, "first", 1)
    return storage, journal, path


def test_entries_that_belong_together_are_one_write_and_one_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, journal, path = new_journal(tmp_path)
    before, calls = path.read_bytes(), Calls(monkeypatch)
    with journal.transaction():
        storage.set_study_user_attr(0, "a", 1)
        storage.set_study_user_attr(0, "b", 2)
        assert path.read_bytes() == before
    assert calls.made == ["write", "fsync"]
    assert len(path.read_bytes()[len(before) :].splitlines()) == 2
    assert storage.get_study_user_attrs(0) == {"first": 1, "a": 1, "b": 2}
    assert open_journal(path)[0].get_study_user_attrs(0) == {"first": 1, "a": 1, "b": 2}


def test_a_report_and_an_end_are_one_write_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(tmp_path, CONFIG)
    record = study.ask()
    calls = Calls(monkeypatch)
    study.report(record, 0.5, LENGTHS, seconds=1.0)
    assert calls.made == ["write", "fsync"]
    study.ask()
    assert calls.made == ["write", "fsync"] * 2


def test_every_write_is_on_disk_when_the_call_returns(tmp_path: Path) -> None:
    study = open_study(tmp_path, CONFIG)
    study.report(study.ask(), 0.25, LENGTHS, seconds=1.0)
    last = (tmp_path / JOURNAL).read_bytes().splitlines()[-1]
    assert json.loads(last)["intermediate_value"] == 0.25


def test_an_error_between_entries_that_belong_together_writes_none(tmp_path: Path) -> None:
    storage, journal, path = new_journal(tmp_path)
    before = path.read_bytes()
    with suppress(ZeroDivisionError), journal.transaction():
        storage.set_study_user_attr(0, "a", 1)
        _ = 1 / 0
    assert path.read_bytes() == before
    storage.set_study_user_attr(0, "b", 2)
    assert open_journal(path)[0].get_study_user_attrs(0) == {"first": 1, "b": 2}


def test_a_journal_that_was_removed_is_an_error_and_does_not_begin_in_its_middle(tmp_path: Path) -> None:
    storage, _, path = new_journal(tmp_path)
    path.unlink()
    with pytest.raises(JournalWriteError, match="No such file"):
        storage.set_study_user_attr(0, "a", 1)
    assert not path.exists()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"cannot open .*: No such file or directory"):
        open_journal(tmp_path / "nowhere" / JOURNAL)


def test_half_a_line_is_cut_off_and_whole_lines_stay(tmp_path: Path) -> None:
    _, _, path = new_journal(tmp_path)
    whole = path.read_bytes()
    drop_half_line(path)
    assert path.read_bytes() == whole
    path.write_bytes(whole + b'{"op_code":2,"wor')
    drop_half_line(path)
    assert path.read_bytes() == whole
    drop_half_line(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_study_whose_last_write_was_cut_anywhere_goes_on(tmp_path: Path) -> None:
    study = open_study(tmp_path, CONFIG)
    path, record = tmp_path / JOURNAL, study.ask()
    before = len(path.read_bytes())
    study.report(record, 0.5, LENGTHS, seconds=1.0)
    content = path.read_bytes()
    for size in range(before, len(content), 7):
        path.write_bytes(content[:size])
        again = open_study(tmp_path, CONFIG)
        again.report(again.records[0], 0.5, LENGTHS, seconds=1.0)
        assert outcomes(read_records(path)) == outcomes(study.records)


@pytest.mark.parametrize("last", [b'{"op\n', b"\0\0\0\n", b"5\n", b"[" * 5000 + b"]" * 5000 + b"\n"])
def test_a_last_line_that_is_no_entry_is_cut_off(tmp_path: Path, last: bytes) -> None:
    journal = tmp_path / JOURNAL
    journal.write_bytes(b'{"op_code": 0}\n' + last)
    drop_half_line(journal)
    assert journal.read_bytes() == b'{"op_code": 0}\n'


def test_entries_are_read_as_optuna_reads_them_from_any_place_on(tmp_path: Path) -> None:
    Simulation(tmp_path, CONFIG).run()
    path = tmp_path / JOURNAL
    lines = len(path.read_bytes().splitlines())
    journal = Journal(path)
    for start in (0, 3, lines - 1, lines, 1, lines):
        expected = list(JournalFileBackend(str(path)).read_logs(start))
        assert len(expected) == lines - start
        assert list(journal.read_logs(start)) == expected


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(b'{"a": 1}\n{"b"')
    journal = Journal(path)
    assert list(journal.read_logs(0)) == [{"a": 1}]
    assert list(journal.read_logs(1)) == []
    with path.open("ab") as file:
        file.write(b': 2}\n{"c": 3}\n')
    assert list(journal.read_logs(1)) == [{"b": 2}, {"c": 3}]
    assert list(journal.read_logs(3)) == []


def test_a_line_that_cannot_be_read_is_an_error_if_others_follow(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    path.write_bytes(b'{"a": 1}\n{"b"\n')
    journal = Journal(path)
    assert list(journal.read_logs(0)) == [{"a": 1}]
    with path.open("ab") as file:
        file.write(b'{"c": 3}\n')
    with pytest.raises(ValueError, match="delimiter"):
        list(journal.read_logs(1))
