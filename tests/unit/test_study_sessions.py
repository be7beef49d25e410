"""Of two searches that write one study, the later one goes on, and the other stops and writes no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_search import FLAT_SPACE, config_of, open_study

from search.study.journal import Journal, OvertakenError
from search.study.reading import read_records
from search.study.study import JOURNAL, SearchStudy


def make_study(folder: Path, *, claim: bool = False) -> SearchStudy:
    return open_study(folder, config_of(FLAT_SPACE, sampler={"name": "random"}), claim=claim)


def test_who_finds_a_later_session_in_the_journal_writes_nothing_more(tmp_path: Path) -> None:
    first, second = make_study(tmp_path), None
    first.ask()
    assert first.begin_job() == (1, 1)
    second = make_study(tmp_path)
    first.ask()  # the other one has not written yet
    assert second.begin_job() == (2, 1)
    before = (tmp_path / JOURNAL).read_bytes()
    for write in (first.ask, lambda: first.save_elapsed(1.0), first.begin_job):
        with pytest.raises(OvertakenError, match=r"session 2 of this search \(process \d+ on .*this one st"):
            write()
    assert (tmp_path / JOURNAL).read_bytes() == before
    assert second.begin_job() == (2, 2)


def test_who_claims_a_study_reads_all_that_was_written_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before goes on until the session of the next one is in the journal."""
    first, write_session = make_study(tmp_path), Journal.write_session
    first.ask()
    first.begin_job()

    def after_the_other(journal: Journal) -> None:
        monkeypatch.undo()
        first.ask()
        write_session(journal)

    monkeypatch.setattr(Journal, "write_session", after_the_other)
    second = make_study(tmp_path, claim=True)
    assert [record.number for record in second.records] == [0, 1]
    with pytest.raises(OvertakenError):
        first.ask()
    second.ask()
    assert len(read_records(tmp_path / JOURNAL)) == 3


def test_a_study_that_was_restored_goes_on_after_the_newest_job_that_a_trial_has_had(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    assert [study.begin_job(), study.begin_job((1, 1)), study.begin_job((1, 9))] == [(1, 1), (1, 2), (2, 1)]
    assert [study.begin_job((7, 3)), study.begin_job((7, 3))] == [(8, 1), (8, 2)]
    study.ask()
    assert make_study(tmp_path).begin_job() == (9, 1)


def test_who_was_overtaken_does_not_take_a_newer_job_for_one_of_a_restored_study(tmp_path: Path) -> None:
    first = make_study(tmp_path)
    first.begin_job()
    newest = make_study(tmp_path).begin_job()
    with pytest.raises(OvertakenError, match="nothing is to be done here; if no other search runs"):
        first.begin_job(newest)
