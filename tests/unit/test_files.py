"""Files and folders are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import trainables.files
from trainables.files import (
    atomic_file,
    atomic_folder,
    atomic_write,
    discard,
    folder_bytes,
    list_partial,
    partial_path,
    restore_folder,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_beside_and_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")
    with atomic_file(file) as partial:
        partial.write_text("new")
        assert partial == partial_path(file) == tmp_path / ".a.json.partial"
        assert file.read_text() == "old"
        assert list_partial(tmp_path) == [partial]
    assert (file.read_text(), names(tmp_path)) == ("new", ["a.json"])


def test_an_error_leaves_the_file_of_before_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    atomic_write(file, "old")
    with pytest.raises(UnicodeEncodeError), atomic_file(file) as partial:
        partial.write_text("half\ud800", encoding="utf-8")
    assert (file.read_text(), names(tmp_path)) == ("old", ["a.json"])


def test_text_is_utf8_and_bytes_are_as_they_are(tmp_path: Path) -> None:
    atomic_write(tmp_path / "text", "größe\n")
    atomic_write(tmp_path / "bytes", b"\xff\r\n")
    assert (tmp_path / "text").read_bytes() == "größe\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\xff\r\n"


def test_a_file_reaches_the_disk_before_its_name_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(trainables.files, "sync", lambda path: done.append(f"sync {path.name}"))
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, to: (done.append("rename"), replace(path, to)))
    atomic_write(tmp_path / "a", "x")
    assert done == ["sync .a.partial", "rename", f"sync {tmp_path.name}"]


def test_of_several_writers_the_first_one_wins_where_that_is_asked_for(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with atomic_file(tmp_path / "a", keep_first=True) as partial:
            partial.write_text(content)
    assert ((tmp_path / "a").read_text(), names(tmp_path)) == ("first", ["a"])


def test_a_folder_appears_whole_and_replaces_the_one_before(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "export") as folder:
            assert folder == tmp_path / ".export.partial"
            (folder / "file").write_text(content)
    assert (tmp_path / "export" / "file").read_text() == "new"
    assert names(tmp_path) == ["export"]


def test_an_error_leaves_the_folder_of_before(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "export") as folder:
        (folder / "file").write_text("old")
    with pytest.raises(ValueError, match="half way"), atomic_folder(tmp_path / "export") as folder:
        raise ValueError("half way")
    assert (tmp_path / "export" / "file").read_text() == "old"
    assert names(tmp_path) == ["export"]


def test_a_folder_that_was_about_to_be_replaced_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".export.old").mkdir()
    (tmp_path / ".export.old" / "file").write_text("old")
    restore_folder(tmp_path / "export")
    assert (tmp_path / "export" / "file").read_text() == "old"
    assert names(tmp_path) == ["export"]


def test_what_is_discarded_loses_its_name_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "file").touch()
    removed: list[str] = []
    monkeypatch.setattr(trainables.files.shutil, "rmtree", lambda path, **_: removed.append(path.name))
    discard(tmp_path / "checkpoint")
    discard(tmp_path / "file")
    assert removed == [".checkpoint.removed.partial"] * 2  # a rest of before, and this one
    assert names(tmp_path) == [".checkpoint.removed.partial"]
    assert list_partial(tmp_path) == [tmp_path / ".checkpoint.removed.partial"]


def test_bytes_of_a_folder_are_those_of_all_files_below(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(bytes(100))
    (tmp_path / "c").write_bytes(bytes(11))
    os.symlink("nowhere", tmp_path / "link")
    assert folder_bytes(tmp_path) == 111 + len("nowhere")
    assert folder_bytes(tmp_path / "missing") == 0
