"""A session that is refused or stopped before it has the run leaves the mirror as it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally, search_locally
from small_disk import fill, small_disk
from tiny_tasks import search_config

from search.errors import RefusedError
from search.mirror.fetch import _write
from search.mirror.head import read_head
from trainables.process.failure import FailureKind, failure_of
from trainables.storage.errors import StorageError
from trainables.storage.store import Store

TWO: dict[str, Any] = {"budget": {"trials": 2, "max_virtual_epochs": 2}}


def mirrored_journal(store: Store) -> bytes:
    head = read_head(store)
    assert head is not None
    return head.journal(store, "study.journal")


def test_a_folder_that_went_on_apart_does_not_replace_the_mirror(tmp_path: Path) -> None:
    storage = f"file://{tmp_path}/storage"
    search_locally(search_config(storage=storage, **TWO), results=tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    resume_locally(tmp_path / "a/digits", overrides=["budget.trials=3"])
    store = Store(f"{storage}/digits")
    before = mirrored_journal(store)
    with (tmp_path / "b/digits/study.journal").open("a") as journal:
        journal.write('{"op_code":2,"worker_id":"x","study_id":0,"user_attr":{"y":1}}\n')
    for _ in range(2):
        with pytest.raises(RefusedError, match="have gone on apart"):
            resume_locally(tmp_path / "b/digits", overrides=["budget.trials=4"])
    assert mirrored_journal(store) == before
    shutil.rmtree(tmp_path / "b")  # the way out of the message
    summary = resume_locally(f"{storage}/digits", results=tmp_path / "b", overrides=["budget.trials=4"])
    assert summary.trials == 4
    assert (tmp_path / "b/digits/study.journal").read_bytes().startswith(before)


def test_a_session_that_ends_while_it_fetches_does_not_replace_the_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"file://{tmp_path}/storage"
    search_locally(search_config(storage=storage, **TWO), results=tmp_path / "a")
    store = Store(f"{storage}/digits")
    before = mirrored_journal(store)

    def interrupted(file: Path, content: bytes) -> None:
        _write(file, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("search.mirror.fetch._write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search_locally(search_config(storage=storage, **TWO), results=tmp_path / "b")
    assert mirrored_journal(store) == before


def test_a_full_disk_of_a_storage_is_one_line_and_a_trial_fails_of_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        with pytest.raises(
            StorageError, match=r"No space left on device: .*; free some space there"
        ) as error:
            Store(f"file://{disk}").write("a", bytes(8192))
    failure = failure_of(error.value, "step 3")
    assert failure.kind is FailureKind.DISK_FULL
    assert str(disk) in failure.cause
    assert failure_of(StorageError("refuses"), "").kind is FailureKind.STORAGE
