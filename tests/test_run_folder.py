from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.errors import SearchError
from search.run_folder import RunFolder, write_json

_OWNER = """
import signal, sys
from pathlib import Path
from search.run_folder import RunFolder
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


def test_names_of_files_and_trials(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.journal == tmp_path / "study.journal"
    assert folder.trial(7) == tmp_path / "trials" / "0007"
    assert folder.trial(12345) == tmp_path / "trials" / "12345"


def test_create_leaves_nothing_in_the_folder(folder: RunFolder) -> None:
    folder.create()
    assert list(folder.path.rglob("*")) == []


@pytest.mark.parametrize("name", ["taken", "taken/seg"])
def test_a_folder_that_cannot_be_is_an_error_with_a_way_out(tmp_path: Path, name: str) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SearchError, match=r"cannot write to .*taken.*; choose another with --results"):
        RunFolder(tmp_path / name).create()


def test_a_folder_without_a_search_is_refused(folder: RunFolder) -> None:
    with pytest.raises(SearchError, match=r"is not the folder of a search: it has no study\.journal"):
        folder.require()
    folder.journal.touch()
    folder.config.touch()
    folder.require()


def test_a_second_owner_is_refused_with_the_process_of_the_first(
    folder: RunFolder, owner: subprocess.Popen[str]
) -> None:
    with pytest.raises(SearchError) as refused, folder.owned():
        pass
    assert f"process {owner.pid} on " in str(refused.value)
    assert "choose another --name" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_dead_owner_does_not_stand_in_the_way(folder: RunFolder, owner: subprocess.Popen[str]) -> None:
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait(10)
    with folder.owned():
        assert json.loads((folder.path / ".owner.json").read_text())["pid"] == os.getpid()


def test_a_refused_one_takes_nothing_away(folder: RunFolder, owner: subprocess.Popen[str]) -> None:
    for _ in range(2):
        with pytest.raises(SearchError, match=str(owner.pid)), folder.owned():
            pass


def test_a_folder_is_free_after_its_owner_and_after_its_error(folder: RunFolder) -> None:
    with folder.owned():
        pass
    with pytest.raises(ValueError, match="inside"), folder.owned():
        raise ValueError("inside")
    with folder.owned():
        pass


def test_of_many_that_come_and_go_one_at_a_time_owns_the_folder(folder: RunFolder) -> None:
    inside = threading.Semaphore(1)
    faults: list[str] = []

    def come_and_go() -> None:
        for _ in range(150):
            try:
                with folder.owned():
                    if inside.acquire(blocking=False):
                        inside.release()
                    else:
                        faults.append("two owners")
            except SearchError:
                pass

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert list(folder.path.iterdir()) == []


def test_within_one_process_a_folder_has_one_owner_too(folder: RunFolder) -> None:
    with folder.owned(), pytest.raises(SearchError, match=str(os.getpid())), folder.owned():
        pass


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    write_json(file, {"trials": 1})
    with pytest.raises(TypeError):
        write_json(file, {"trials": object()})
    assert json.loads(file.read_text()) == {"trials": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_json_has_no_numbers_that_other_programs_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    write_json(file, {"iou": {"empty class": float("nan"), "other": 0.5}, "list": [float("inf"), 1]})
    assert json.loads(file.read_text()) == {"iou": {"empty class": None, "other": 0.5}, "list": [None, 1]}
