from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_disk import fill, small_disk

from search.errors import SearchError
from search.run.disk.folder import RunFolder, write_json

_OWNER = """
import signal, sys
from pathlib import Path
from search.run.disk.folder import RunFolder
with RunFolder(Path(sys.argv[1])).owned():
    print("owned", flush=True)
    signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "results" / "seg")
    folder.create()
    return folder


@pytest.fixture
def owner(folder: RunFolder) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(folder.path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "owned\n"
    yield process
    process.kill()
    process.wait(10)


def test_a_second_owner_is_refused_with_the_process_of_the_first(
    folder: RunFolder, owner: subprocess.Popen[str]
) -> None:
    with pytest.raises(SearchError) as refused, folder.owned():
        pass
    assert f"process {owner.pid} on " in str(refused.value)
    assert "another search takes another --name" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_dead_owner_does_not_stand_in_the_way_and_is_named(
    folder: RunFolder, owner: subprocess.Popen[str]
) -> None:
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait(10)
    with folder.owned() as previous:
        assert json.loads((folder.path / ".owner.json").read_text())["pid"] == os.getpid()
        assert previous is not None
        assert previous.startswith(f"process {owner.pid} on ")
        assert " since 20" in previous
    with folder.owned() as previous:
        assert previous is None


def test_the_owner_can_be_asked_for_without_a_trace(folder: RunFolder, owner: subprocess.Popen[str]) -> None:
    before = sorted(folder.path.iterdir())
    words = folder.owner()
    assert words is not None
    assert words.startswith(f"process {owner.pid} on ")
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait(10)
    assert folder.owner() is None
    assert sorted(folder.path.iterdir()) == before


def test_a_refused_one_takes_nothing_away(folder: RunFolder, owner: subprocess.Popen[str]) -> None:
    for _ in range(2):
        with pytest.raises(SearchError, match=str(owner.pid)), folder.owned():
            pass


def test_a_full_disk_leaves_the_json_of_before_and_nothing_else(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        file = disk / "summary.json"
        write_json(file, {"trials": 1})
        fill(disk)
        with pytest.raises(OSError, match="No space left on device"):
            write_json(file, {"trials": list(range(2000))})
        assert json.loads(file.read_text()) == {"trials": 1}
        assert sorted(path.name for path in disk.iterdir()) == ["filler", "summary.json"]
