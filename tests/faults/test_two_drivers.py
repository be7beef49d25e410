"""Two machines with one folder, on a file system whose locks end at the machine, or that has none."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from faulty_trials import wait
from filelock import FileLock
from lacking_file_system import lacking, on_machine
from patience import PATIENCE
from programs import HELPERS, PROGRAM, ROOT, run, write_config

from search.errors import SearchError
from search.run.disk import owner
from search.run.disk.folder import RunFolder

_OWNER = """
import signal, sys
from pathlib import Path
from search.errors import SearchError
from search.run.disk.folder import RunFolder
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


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of this machine's kernel, on which nobody waits long."""
    monkeypatch.setattr(owner, "_boot", lambda: "boot-1")
    monkeypatch.setattr(owner, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(owner, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(owner, "ASKED_SECONDS", 0.3)
    monkeypatch.setattr(owner, "_FOUND_DEAD", set())
    return "boot-1"


HERE = socket.gethostname()


def owner_file(folder: RunFolder, host: str, boot: str, seconds: float = 0.0) -> Path:
    """What an owner of that host and kernel has left so many seconds ago."""
    file = folder.path / ".owner.json"
    said = {"pid": 77, "host": host, "since": "2026-01-01", "boot": boot}
    file.write_text(json.dumps(said), encoding="utf-8")
    now = file.stat().st_mtime
    os.utime(file, (now - seconds, now - seconds))
    return file


@pytest.mark.parametrize(
    ("host", "of_boot"),
    [pytest.param("before-dhcp", "boot-1", id="another name"), pytest.param(HERE, "", id="an older version")],
)
def test_a_search_that_died_on_this_machine_is_followed_at_once(
    folder: RunFolder, boot: str, host: str, of_boot: str
) -> None:
    owner_file(folder, host, of_boot)
    said: list[str] = []
    with folder.owned(said.append) as previous:
        assert previous == f"process 77 on {host} since 2026-01-01"
    assert said == []
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "of_boot", "seconds"),
    [
        pytest.param(HERE, "boot-0", 20, id="after a power cut"),
        pytest.param("w2", "boot-2", 0, id="on another machine"),
        pytest.param("w2", "", 0, id="on another machine by an older version"),
        pytest.param("w2", "boot-2", -3600, id="with a clock that is fast"),
        pytest.param("w2", "boot-2", 7200, id="with a clock that is slow"),
    ],
)
def test_of_an_owner_elsewhere_nothing_is_heard_for_a_while_and_then_it_has_died(
    folder: RunFolder, boot: str, host: str, of_boot: str, seconds: float
) -> None:
    owner_file(folder, host, of_boot, seconds)
    assert folder.owner() is None
    said: list[str] = []
    with folder.owned(said.append) as previous:
        assert previous == f"process 77 on {host} since 2026-01-01"
    (line,) = said
    assert line.startswith(
        f"the last search here was process 77 on {host} since 2026-01-01, on another machine: "
    )
    assert list(folder.path.iterdir()) == []


@pytest.mark.parametrize("seconds", [0, 7200, -3600])
def test_an_owner_elsewhere_that_is_heard_of_is_named_with_the_way_out(
    folder: RunFolder, boot: str, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(owner, "SILENCE_SECONDS", PATIENCE)
    file = owner_file(folder, "w2", "boot-2", seconds)
    lock = folder.path / ".owner.lock"
    lock.touch()
    before = lock.stat().st_ino

    def live(line: str) -> None:
        os.utime(file, (0, 0))

    with pytest.raises(SearchError) as refused, folder.owned(live):
        pass
    assert "belongs to a running search: process 77 on w2 since 2026-01-01, on another" in str(refused.value)
    assert "has just been heard of; end that one first" in str(refused.value)
    assert lock.stat().st_ino == before  # it is the other one's
    assert file.is_file()


def test_who_asks_for_an_owner_elsewhere_listens(
    folder: RunFolder, boot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "ASKED_SECONDS", PATIENCE)
    file = owner_file(folder, "w2", "boot-2")
    over = threading.Event()

    def live() -> None:
        turn = 0
        while not over.wait(0.05):
            turn += 1
            os.utime(file, (turn, turn))

    heart = threading.Thread(target=live)
    heart.start()
    try:
        assert folder.owner() == "process 77 on w2 since 2026-01-01"
    finally:
        over.set()
        heart.join()


def test_the_lock_of_a_machine_that_died_is_waited_for(folder: RunFolder, boot: str) -> None:
    """A file server keeps it until the lease of its client ends."""
    owner_file(folder, "w2", "boot-2")
    lease = FileLock(folder.path / ".owner.lock")
    with lease, folder.owned(lambda line: lease.release()) as previous:
        assert previous == "process 77 on w2 since 2026-01-01"


def test_a_lock_that_a_silent_owner_elsewhere_keeps_is_refused_with_the_reason(
    folder: RunFolder, boot: str
) -> None:
    owner_file(folder, "w2", "boot-2")
    lease = FileLock(folder.path / ".owner.lock")
    with lease, pytest.raises(SearchError) as refused, folder.owned():
        pass
    assert "on another machine; nothing was heard of it for" in str(refused.value)
    assert "its lock is held: a file server may keep that of a machine that has died (NFSv4" in str(
        refused.value
    )


def test_whoever_died_elsewhere_is_waited_for_once_in_all_folders_of_a_run(tmp_path: Path, boot: str) -> None:
    said: list[str] = []
    for name in ("run", "stage"):
        folder = RunFolder(tmp_path / name)
        folder.create()
        owner_file(folder, "w2", "boot-2")
        with folder.owned(said.append):
            pass
    assert len(said) == 1


def test_an_owner_is_heard_of_every_few_seconds(folder: RunFolder) -> None:
    file = folder.path / ".owner.json"
    with folder.owned():
        os.utime(file, (0, 0))
        wait(lambda: file.stat().st_mtime > 0)
        assert file.stat().st_mtime > 0


def test_who_was_overtaken_leaves_the_file_of_the_new_owner(folder: RunFolder) -> None:
    with folder.owned():
        file = owner_file(folder, "w2", "boot-2")
    assert sorted(folder.path.iterdir()) == [file, folder.path / ".owner.lock"]


def test_of_two_that_do_not_see_each_others_locks_the_second_is_refused(
    folder: RunFolder, tmp_path: Path
) -> None:
    env = {**lacking(tmp_path / "build", folder.path, flock=0), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _OWNER, str(folder.path)]
    first = subprocess.Popen(on_machine("w1", command), env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "owned\n"
        second = subprocess.run(
            on_machine("w2", command), env=env, capture_output=True, text=True, timeout=PATIENCE
        )
    finally:
        first.kill()
        first.wait()
    assert f"process {first.pid} on {HERE} since" in second.stdout
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
    assert line.endswith("or choose a folder elsewhere (--results, --out)")
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
    elsewhere = on_machine("w2", command, silence=1.0)
    first = subprocess.Popen(
        command, cwd=HELPERS, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        _, status = os.waitpid(first.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        second = subprocess.run(
            elsewhere, cwd=HELPERS, env=env, capture_output=True, text=True, timeout=PATIENCE
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
