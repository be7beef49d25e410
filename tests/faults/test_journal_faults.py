from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import JournalStorage
from optuna.study import StudyDirection
from patience import PATIENCE
from simulated_search import FLAT_SPACE, Simulation, config_of, open_study, outcomes
from small_disk import fill, small_disk

from search.study.journal import Journal, JournalWriteError, open_journal
from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import Outcome
from trainables.data.virtual_epoch import VirtualEpochs

CONFIG = config_of(FLAT_SPACE, sampler={"name": "random"})


LENGTHS = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=None)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", size="64k") as folder:
        yield folder


def new_journal(folder: Path) -> tuple[JournalStorage, Journal, Path]:
    """A study with one attribute."""
    path = folder / JOURNAL
    storage, journal = open_journal(path)
    storage.create_new_study([StudyDirection.MAXIMIZE], "x")
    storage.set_study_user_attr(0, "first", 1)
    return storage, journal, path


def error_when_full(write: Callable[[], Any], path: Path) -> JournalWriteError:
    """Write until the last page of the journal is full too; what fails must leave it as it was."""
    for _ in range(100):
        before = path.read_bytes()
        try:
            write()
        except JournalWriteError as error:
            assert path.read_bytes() == before
            return error
    raise AssertionError("the disk does not become full")


_KILLED = """
import os, signal, sys
from pathlib import Path
from search.study.journal import open_journal
storage, journal = open_journal(Path(sys.argv[1]))
with journal.transaction():
    storage.set_study_user_attr(0, "a", 1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_between_entries_that_belong_together_writes_none(tmp_path: Path) -> None:
    _, _, path = new_journal(tmp_path)
    before = path.read_bytes()
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(path)], timeout=PATIENCE)
    assert killed.returncode == -9
    assert path.read_bytes() == before


def test_on_a_full_disk_the_journal_stays_as_it_was_and_goes_on_when_there_is_space(disk: Path) -> None:
    simulation = Simulation(disk, CONFIG).run(max_reports=5)
    path, study = disk / JOURNAL, simulation.study
    fill(disk)
    record = study.records[0]

    def report() -> None:
        study.report(record, 0.5, LENGTHS, seconds=1.0)

    error = error_when_full(report, path)
    assert "No space left on device" in str(error)
    assert str(path) in str(error)
    values = list(record.values)
    assert outcomes(read_records(path)) == outcomes(study.records)
    (disk / "filler").unlink()
    study.report(record, 0.7, LENGTHS, seconds=2.0)
    assert record.values == [*values, 0.7]
    assert outcomes(read_records(path)) == outcomes(study.records)


def test_on_a_full_disk_a_trial_does_not_begin_and_does_not_end(disk: Path) -> None:
    study = open_study(disk, CONFIG)
    record = study.ask()
    study.report(record, 0.5, LENGTHS, seconds=1.0)
    fill(disk)
    error_when_full(study.ask, disk / JOURNAL)
    begun = len(study.records)
    with pytest.raises(JournalWriteError):
        study.finish(record, Outcome.STOPPED, "x" * 4096)
    assert (len(study.records), record.outcome) == (begun, None)
    (disk / "filler").unlink()
    study.finish(record, Outcome.STOPPED, "x")
    assert study.ask().number == begun
    assert outcomes(read_records(disk / JOURNAL)) == outcomes(study.records)


def test_a_failed_write_takes_nothing_away_of_what_another_process_wrote_before(disk: Path) -> None:
    """As optuna-dashboard does when a note is saved."""
    storage, _, path = new_journal(disk)
    with path.open("ab") as file:
        file.write(b'{"op_code":2,"worker_id":"other","study_id":0,"user_attr":{"note":"kept"}}\n')
    fill(disk)
    with pytest.raises(JournalWriteError):
        storage.set_study_user_attr(0, "long", "x" * 5000)
    (disk / "filler").unlink()
    assert open_journal(path)[0].get_study_user_attrs(0) == {"first": 1, "note": "kept"}
