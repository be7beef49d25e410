"""The mirror of a folder, at each moment at which its driver may die and others may read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.mirror.claim import take
from search.mirror.fetch import fetch_run
from search.mirror.head import Head, MissingPieceError, read_head
from search.mirror.mirror import MOST_SEGMENTS, Mirror
from trainables.storage.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}/storage/seg")


@pytest.fixture
def mirror(store: Store, tmp_path: Path) -> Mirror:
    folder = tmp_path / "seg"
    folder.mkdir()
    (folder / "study.journal").write_text("begun\n")
    (folder / "summary.json").write_text("{}")
    mirror = Mirror(store, take(store, {"pid": 1}, lives=lambda owner: False, say=pytest.fail), folder)
    mirror.flush()
    return mirror


def append(folder: Path) -> None:
    with (folder / "study.journal").open("a") as journal:
        journal.write("more\n")


def test_a_driver_that_dies_before_the_head_of_a_changed_file_leaves_the_mirror_before(
    store: Store, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seg/summary.json").write_text('{"status": "complete"}')
    with monkeypatch.context() as patched:
        patched.setattr(Head, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            mirror.flush()
    assert fetch_run(store, tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/summary.json").read_text() == "{}"


def test_a_file_that_changes_is_there_once(store: Store, mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "seg/summary.json").write_text('{"status": "complete"}')
    mirror.flush()
    assert len([name for name in store.names("driver") if "summary.json" in name]) == 1


def test_who_reads_while_segments_become_one_reads_the_newer_head(
    store: Store, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, read, left = tmp_path / "seg", Head.journal, [MOST_SEGMENTS]

    def meanwhile(head: Head, store: Store, path: str) -> bytes:
        while left[0]:
            left[0] -= 1
            append(folder)
            mirror.flush()
        return read(head, store, path)

    with monkeypatch.context() as patched:
        patched.setattr(Head, "journal", meanwhile)
        assert fetch_run(store, tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/study.journal").read_bytes() == (folder / "study.journal").read_bytes()


def test_a_piece_that_is_missing_is_named(store: Store, mirror: Mirror, tmp_path: Path) -> None:
    head = read_head(store)
    assert head is not None
    name = head.file_name("summary.json")
    store.remove([name])
    with pytest.raises(MissingPieceError, match=rf"{name} is missing: the mirror is damaged"):
        fetch_run(store, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere/study.journal").exists()
