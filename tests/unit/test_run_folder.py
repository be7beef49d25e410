from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def test_the_stages_are_the_folder_itself_or_those_that_have_begun_in_their_order(folder: RunFolder) -> None:
    assert folder.stages() == [folder]
    for name in ("10-last", "2-batch", "1-rate", "3-not-begun", "notes"):
        (folder.stages_path / name).mkdir(parents=True)
        if name != "3-not-begun":
            (folder.stages_path / name / "study.journal").touch()
    assert [stage.path.name for stage in folder.stages()] == ["1-rate", "2-batch", "10-last"]


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


@pytest.mark.parametrize("words", [b"", b'{"pid": 12', b"[]", b'{"pid": 12}', b"\xff\x00"])
def test_a_dead_owner_that_had_not_said_who_it_is_is_nobody(folder: RunFolder, words: bytes) -> None:
    (folder.path / ".owner.json").write_bytes(words)
    with folder.owned() as previous:
        assert previous is None


def test_a_folder_that_nobody_has_owned_has_no_owner(folder: RunFolder) -> None:
    assert folder.owner() is None
    assert list(folder.path.iterdir()) == []


def test_somebody_who_asks_for_the_owner_keeps_nobody_out(folder: RunFolder) -> None:
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            folder.owner()

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(300):
            with folder.owned():
                pass
    finally:
        stop.set()
        for asker in askers:
            asker.join()


def test_a_folder_is_made_for_its_owner_alone(folder: RunFolder) -> None:
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_of_a_linked_folder_the_target_counts(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder.path)
    linked = RunFolder(tmp_path / "link")
    linked.create()
    folder.path.chmod(0o770)
    with pytest.raises(SearchError, match="has mode 770"):
        linked.create()


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


def test_a_folder_beside_that_of_a_search_is_told_which_was_meant(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "results" / "seg")
    run.trial(3).mkdir(parents=True)
    run.journal.touch()
    run.config.touch()
    for other in (tmp_path / "results", run.path / "trials", run.trial(3)):
        with pytest.raises(SearchError, match=rf"; did you mean {run.path}\?$"):
            RunFolder(other).require()
