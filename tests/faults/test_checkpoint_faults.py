"""Checkpoints are there whole or not at all, and what is damaged is found."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_disk import fill, small_disk

from trainables.checkpoints.checkpoint import (
    load_newest,
    write_checkpoint,
)


def write(folder, number, info=None):
    weights = {"w": torch.full((3, 2), float(number)), "n": torch.tensor(number)}
    state = {"optimizer": {"m": torch.arange(4.0), "name": "x"}, "counters": {"num_steps": number}}
    return write_checkpoint(
        folder, number, weights=weights, state=state, info=info or {"history": [0.1, 1e-300]}
    )


def newest(folder: Path) -> int | None:
    """The virtual epoch whose checkpoint is loaded."""
    loaded, _ = load_newest(folder)
    return None if loaded is None else loaded.virtual_epoch


def flip(file: Path) -> None:
    """One bit, in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from trainables.checkpoints.checkpoint import list_checkpoints, load_newest, write_checkpoint

folder = Path(sys.argv[1])

def write(number):
    write_checkpoint(folder, number, weights={"w": torch.ones(3)}, state={"s": torch.ones(2)}, info={})

def killed_at(point):
    # The process is gone at the point-th thing it does to a file of the trial; whether it got that far.
    child = os.fork()
    if not child:
        left = [point]
        def count(event, arguments):
            on_files = event in ("open", "os.mkdir", "os.rename", "os.rmdir", "os.remove", "shutil.rmtree")
            if on_files and ".checkpoint" in str(arguments[0]) + str(arguments[-1]):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(count)
        write(2)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

write(1)
point = 1
while killed_at(point):
    assert list_checkpoints(folder) == [1], (point, list_checkpoints(folder))
    assert load_newest(folder)[0].virtual_epoch == 1
    point += 1
assert load_newest(folder)[0].virtual_epoch == 2
assert not list(folder.glob(".*")), list(folder.iterdir())
print(point - 1)
"""


def test_a_kill_between_any_two_files_leaves_no_visible_checkpoint(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8


WITHOUT_DESCRIPTORS = """
import os, sys
from pathlib import Path
from trainables.checkpoints.checkpoint import list_checkpoints, read_checkpoint

open_files = []
try:
    while True:
        open_files.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
try:
    read_checkpoint(Path(sys.argv[1]), 2)
except OSError as error:
    print(error.strerror)
"""


def test_a_process_without_file_descriptors_does_not_take_a_checkpoint_for_damaged(tmp_path):
    write(tmp_path, 2)
    command = f'ulimit -n 64 && exec "{sys.executable}" -c "$0" "{tmp_path}"'
    done = subprocess.run(
        ["bash", "-c", command, WITHOUT_DESCRIPTORS],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout == "Too many open files\n", done.stderr


REMOVED = """
import os, signal, sys
from pathlib import Path
import torch
from trainables.checkpoints.checkpoint import list_checkpoints, read_checkpoint
from trainables.checkpoints.checkpoint import remove_checkpoints, write_checkpoint

folder = Path(sys.argv[1])

def killed_at(point):
    # The process is gone at the point-th thing that it removes or renames; whether it got that far.
    child = os.fork()
    if not child:
        left = [point]
        def count(event, arguments):
            if event in ("os.rename", "os.rmdir", "os.remove"):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(count)
        remove_checkpoints(folder)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

point = 1
while True:
    write_checkpoint(folder, 1, weights={"w": torch.ones(3)}, state={"s": torch.ones(2)}, info={})
    if not killed_at(point):
        break
    for number in list_checkpoints(folder):
        read_checkpoint(folder, number)
    point += 1
assert not list(folder.iterdir()), list(folder.iterdir())
print(point - 1)
"""


def test_a_kill_while_removing_leaves_no_half_checkpoint_under_its_name(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", REMOVED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A file system of one megabyte."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder


@pytest.mark.parametrize(("in_weights", "in_state"), [(300_000, 10), (10, 300_000), (120_000, 200_000)])
def test_on_a_full_disk_the_older_checkpoints_stay_and_nothing_else(disk, in_weights, in_state):
    write(disk, 1)
    write(disk, 2)
    before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
    with pytest.raises(OSError, match="No space left on device") as full:
        write_checkpoint(
            disk, 3, weights={"w": torch.rand(in_weights)}, state={"m": torch.rand(in_state)}, info={}
        )
    assert full.value.errno == errno.ENOSPC
    assert {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in disk.iterdir()) == ["checkpoint_000001", "checkpoint_000002"]
    assert newest(disk) == 2
    write(disk, 3)
    assert newest(disk) == 3


def test_on_a_full_disk_a_damaged_checkpoint_is_set_aside_without_its_reason(disk):
    write(disk, 1)
    flip(write(disk, 2) / "state.pt")
    fill(disk)
    loaded, (note,) = load_newest(disk)
    assert loaded.virtual_epoch == 1
    assert "and was set aside" in note
    assert (disk / "damaged_000002").is_dir()
