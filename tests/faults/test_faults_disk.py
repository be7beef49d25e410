"""Faults 23 and 24: a disk that fills up or cannot be written to, before and during a search."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_runs import Watching, held
from in_process import resume_locally, search_locally
from invariants import assert_nothing_lost, assert_same_search, left_over
from one_by_one import ONE_BY_ONE, assert_goes_on_as_if_nothing_had_been
from patience import PATIENCE
from programs import no_process_left, wait_for_line, write_config
from programs import run as cli
from simulated_search import Simulation, config_of
from small_disk import fill, small_disk
from tiny_tasks import search_config

from search.errors import SearchError
from search.run.events import Event
from search.run.outcome.summary import Summary
from search.study.journal import JournalWriteError
from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import TrialRecord
from trainables.checkpoints.checkpoint import (
    list_checkpoints,
    read_checkpoint,
)
from trainables.process.failure import Failure, FailureKind

# 23


def test_a_disk_that_becomes_full_ends_the_search_which_goes_on_when_there_is_space(
    tmp_path: Path, program: Callable[..., subprocess.Popen[str]]
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    trial = {
        "data": {"hold": str(hold)},
        "model": {"hidden": 256},
        "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-3, 1e-1]}},
        "batch_size": 16,
    }
    sections = ONE_BY_ONE | {
        "task": "faulty_runs:HeldTask",
        "trial": trial,
        "budget": {"trials": 2, "max_virtual_epochs": 6},
        "scheduler": {"name": "none"},
    }
    with small_disk(tmp_path / "disk", "8m") as disk:
        command = (str(write_config(tmp_path, **sections)), "--results", str(disk))
        run = disk / "digits"
        first = program(*command)
        wait_for_line(first, "trial 0 virtual epoch 2/")
        with held(hold):
            fill(disk)
        output = first.communicate(timeout=PATIENCE)[0]
        assert first.returncode == 1
        full = f"no space left on the disk of {run / 'trials' / '0000'}"
        (line,) = (line for line in output.splitlines() if "no space" in line.lower())
        assert re.fullmatch(f"search failed: trial 0: {full} at step .*; free some and resume", line)
        # Started again too early.
        fill(disk)
        again = cli(*command)
        assert again.returncode == 1
        assert again.stderr.splitlines() == [
            f"cannot write to {run}: No space left on device; choose another with --results"
        ]
        (record,) = read_records(run / JOURNAL)
        trial_folder = run / "trials" / "0000"
        assert list_checkpoints(trial_folder)[-1] == record.depth
        read_checkpoint(trial_folder, record.depth)

        (disk / "filler").unlink()
        assert search_locally(command[0], results=disk).status == "complete"
        calm = search_locally(search_config(**sections), results=tmp_path / "calm")
        assert_same_search(Path(calm.folder), run, calm.best.checkpoint)
        assert_nothing_lost(run)
        no_process_left(tmp_path)


def test_a_disk_that_is_nearly_full_when_a_search_goes_on_is_one_error(
    interrupted: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        run = Path(shutil.copytree(interrupted, disk / "digits"))
        fill_but_for(disk, num_bytes=4096)
        message = f"cannot write to {run}: No space left on device; free some and start the same again"
        with pytest.raises(SearchError, match=re.escape(message)):
            search_locally(search_config(**ONE_BY_ONE), results=disk)
        assert left_over(run) == []


def fill_but_for(disk: Path, num_bytes: int) -> None:
    reserve = disk / "reserve"
    reserve.write_bytes(bytes(num_bytes))
    fill(disk)
    reserve.unlink()


def test_a_journal_that_cannot_be_appended_to_ends_the_search_which_goes_on_when_there_is_space(
    tmp_path: Path, undisturbed: Summary
) -> None:
    (tmp_path / "trials").mkdir()
    with small_disk(tmp_path / "disk") as disk:
        run = disk / "digits"
        run.mkdir(mode=0o700)
        (run / "trials").symlink_to(tmp_path / "trials")

        def act(event: Event) -> None:
            if (event.record.number, event.record.depth) == (3, 1):
                fill(disk)

        watching = Watching(act)
        summary = search_locally(search_config(**ONE_BY_ONE), results=disk, reporter=watching)
        assert summary.status == "failed"
        assert f"cannot write {run / JOURNAL}: No space left on device" in summary.reason
        (disk / "filler").unlink()
        assert_goes_on_as_if_nothing_had_been(run, undisturbed)


def test_a_full_disk_ends_the_search_though_not_even_the_time_spent_can_be_kept(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        simulation = Simulation(disk / "run", config_of())
        record = simulation.coordinator.next_job()
        assert isinstance(record, TrialRecord)
        fill(disk)
        while writes(simulation.study.save_elapsed):
            pass
        simulation.coordinator.on_lost(record.number, Failure(FailureKind.DISK_FULL, "no space left"))
        simulation.coordinator.close(resumable=True)
        assert simulation.coordinator.ending == "trial 0: no space left; free some and resume"


def writes(save: Callable[[float], None]) -> bool:
    try:
        save(1.0)
    except JournalWriteError:
        return False
    return True


def test_what_a_full_disk_keeps_out_of_the_log_comes_onto_the_screen(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from search.screen.live import screen
with screen(Path({str(tmp_path / "disk" / "search.log")!r})):
    print("printed meanwhile")
print("printed afterwards")
"""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        shown = subprocess.check_output([sys.executable, "-c", code], text=True, env=buffered)
    assert shown == "printed meanwhile\nprinted afterwards\n"


# 24


def test_results_that_cannot_be_written_are_one_error_before_any_trial(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for results in (tmp_path / "file", tmp_path / "file" / "below"):
        message = f"cannot write to {results}/digits: Not a directory; choose another with --results"
        with pytest.raises(SearchError, match=re.escape(message)):
            search_locally(search_config(**ONE_BY_ONE), results=results)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_disk_that_has_become_read_only_is_one_error_before_any_trial(
    interrupted: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        run = Path(shutil.copytree(interrupted, disk / "digits"))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(SearchError) as refused:
            resume_locally(run)
        message = f"cannot write to {run}: Read-only file system; choose another with --results"
        assert str(refused.value) == message
