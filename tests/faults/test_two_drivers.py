"""Two machines with one folder, on a file system whose locks end at the machine, or that has none."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from faulty_trials import wait
from lacking_file_system import lacking, on_host
from patience import PATIENCE
from programs import HELPERS, PROGRAM, ROOT, run, write_config

from search.errors import SearchError
from search.run.folder import RunFolder

_OWNER = """
import signal, sys
from pathlib import Path
from search.errors import SearchError
from search.run.folder import RunFolder
try:
    with RunFolder(Path(sys.argv[1])).owned():
        print("owned", flush=True)
        signal.pause()
except SearchError as error:
    print(error)
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "results" / "seg")
    folder.create()
    return folder


def owner_file(folder: RunFolder, host: str, seconds: float) -> Path:
    """What an owner of that host has left so many seconds ago."""
    file = folder.path / ".owner.json"
    file.write_text(json.dumps({"pid": 77, "host": host, "since": "2026-01-01"}), encoding="utf-8")
    now = file.stat().st_mtime
    os.utime(file, (now - seconds, now - seconds))
    return file


@pytest.mark.parametrize("seconds", [0, 30, -3600])
def test_an_owner_elsewhere_that_was_heard_of_lately_is_named_with_the_way_out(
    folder: RunFolder, seconds: float
) -> None:
    file = owner_file(folder, "w2", seconds)
    with pytest.raises(SearchError) as refused, folder.owned():
        pass
    assert "belongs to a running search: process 77 on w2 since 2026-01-01; heard of" in str(refused.value)
    assert "start this again 60 s after it was" in str(refused.value)
    assert folder.owner() == "process 77 on w2 since 2026-01-01"
    assert file.is_file()


def test_who_is_refused_leaves_the_lock_of_the_owner_elsewhere(folder: RunFolder) -> None:
    owner_file(folder, "w2", 0)
    lock = folder.path / ".owner.lock"
    lock.touch()
    before = lock.stat().st_ino
    with pytest.raises(SearchError, match="process 77 on w2"), folder.owned():
        pass
    assert lock.stat().st_ino == before


def test_an_owner_elsewhere_that_is_silent_has_died(folder: RunFolder) -> None:
    owner_file(folder, "w2", 61)
    assert folder.owner() is None
    with folder.owned() as previous:
        assert previous == "process 77 on w2 since 2026-01-01"
    assert list(folder.path.iterdir()) == []


def test_an_owner_is_heard_of_every_few_seconds(folder: RunFolder) -> None:
    file = folder.path / ".owner.json"
    with folder.owned():
        os.utime(file, (0, 0))
        wait(lambda: file.stat().st_mtime > 0)
        assert file.stat().st_mtime > 0


def test_who_was_overtaken_leaves_the_file_of_the_new_owner(folder: RunFolder) -> None:
    with folder.owned():
        file = owner_file(folder, "w2", 0)
    assert sorted(folder.path.iterdir()) == [file, folder.path / ".owner.lock"]


def test_of_two_that_do_not_see_each_others_locks_the_second_is_refused(
    folder: RunFolder, tmp_path: Path
) -> None:
    env = {**lacking(tmp_path / "build", folder.path, flock=0), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _OWNER, str(folder.path)]
    first = subprocess.Popen([*on_host("w1"), *command], env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "owned\n"
        second = subprocess.run(
            [*on_host("w2"), *command], env=env, capture_output=True, text=True, timeout=PATIENCE
        )
    finally:
        first.kill()
        first.wait()
    assert f"process {first.pid} on w1 since" in second.stdout
    assert "owned" not in second.stdout


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"flock": errno.ENOLCK}, "cannot lock files (flock): No locks available; without it two searches"),
        ({"flock": errno.ENOSYS}, "cannot lock files (flock): Function not implemented; without it two"),
        ({"fsync": errno.EINVAL}, "cannot sync folders (fsync): Invalid argument; without it a power cut"),
        ({"rename": errno.EOPNOTSUPP}, "cannot rename folders: Operation not supported; without it half a"),
    ],
)
def test_what_the_file_system_lacks_is_one_line_before_any_trial(
    answers: dict[str, int], words: str, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    env = {**lacking(tmp_path / "build", results, **answers), "PYTHONPATH": str(ROOT)}
    (results / "digits").mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-c", _OWNER, str(results / "digits")],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith(f"{results / 'digits'}: its file system (")
    assert words in line
    assert line.endswith("or choose another folder with --results")
    assert list((results / "digits").iterdir()) == []


def test_a_search_where_nothing_can_be_locked_ends_with_one_line(tmp_path: Path) -> None:
    results = tmp_path / "results"
    env = {**lacking(tmp_path / "build", results, flock=errno.ENOLCK), "PYTHONPATH": str(ROOT)}
    command = [*PROGRAM, str(write_config(tmp_path)), "--local", "--results", str(results)]
    done = subprocess.run(command, cwd=HELPERS, env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "cannot lock files (flock)" in line
    assert not list(results.glob("digits/trials/*"))


def test_a_search_that_stood_still_while_another_took_over_stops_and_changes_nothing(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        task="stopped_tasks:StoppedTask",
        trial={"data": {"stopped": str(tmp_path / "stopped")}, "optimizer": {"name": "sgd", "lr": 0.1}},
        budget={"trials": 3, "max_virtual_epochs": 3},
        scheduler={"name": "none"},
    )
    results = tmp_path / "results"
    run_folder = results / "digits"
    env = {**lacking(tmp_path / "build", results, flock=0), "PYTHONPATH": str(ROOT)}
    command = [*PROGRAM, str(config), "--local", "--plain", "--results", str(results)]
    first = subprocess.Popen(
        command, cwd=HELPERS, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        _, status = os.waitpid(first.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        os.utime(run_folder / ".owner.json", (0, 0))
        second = subprocess.run(
            [*on_host("w2"), *command], cwd=HELPERS, env=env, capture_output=True, text=True, timeout=PATIENCE
        )
        assert second.returncode == 0, second.stdout + second.stderr
        assert "taking over from a search that has died" in second.stdout
        before = files_of(run_folder)
        os.kill(first.pid, signal.SIGCONT)
        output = first.communicate(timeout=PATIENCE)[0]
    finally:
        first.kill()
        first.wait()
    assert first.returncode == 1
    assert "has begun elsewhere" in output.splitlines()[-1]
    assert files_of(run_folder) == before
    assert "no problems found" in run("verify", str(run_folder)).stdout


def files_of(folder: Path) -> dict[str, bytes]:
    """All files of a run but its log."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "search.log")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
