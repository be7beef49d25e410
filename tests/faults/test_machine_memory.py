"""Fault 38: shared memory that is small or full. Batches of workers arrive, and nothing waits for ever."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from machine import finished, mounted
from programs import HELPERS

PROGRAM = [sys.executable, str(HELPERS / "large_batches.py")]
SMALL = "mount -t tmpfs -o size=8m tmpfs /dev/shm"


@pytest.mark.parametrize("case", ["source", "collated", "list"])
def test_batches_arrive_whole_where_shared_memory_has_no_room_for_them(case: str) -> None:
    done = mounted(SMALL, [*PROGRAM, case])
    assert done.stdout.startswith("True"), done.stderr
    if case == "source":
        assert "they come through pipes, which is slower" in done.stdout
        assert done.stderr.count("docker run --shm-size") == 1


def test_workers_that_cannot_be_started_are_one_error_that_names_shared_memory() -> None:
    full = f"{SMALL} && (head -c 9m /dev/zero > /dev/shm/neighbour; true) 2> /dev/null"
    done = mounted(full, [*PROGRAM, "source"])
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("RuntimeError"))
    assert "workers cannot be started ([Errno 28] No space left on device)" in line
    assert "/dev/shm (0 of 8 MiB are free)" in line


def test_a_batch_that_cannot_be_sent_is_an_error_and_not_waited_for() -> None:
    done = finished([*PROGRAM, "unsendable"])
    assert "a data-loading worker cannot send its batch: " in done.stdout
    assert "Unsendable" in done.stdout


def test_workers_start_where_the_temporary_folder_has_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    done = finished([*PROGRAM, "source"], env={"TMPDIR": str(folder)})
    assert done.stdout.startswith("True"), done.stderr
