"""What a storage that cannot be used says: at once, in one line, with the rule and the way out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_tasks import search_config

import search
from search.errors import SearchError
from search.fetching.listed import list_stored
from search.listing.state import State
from search.mirror.claim import take
from search.mirror.mirror import Mirror
from trainables.checkpoints.stored import TrialStore
from trainables.storage.errors import StorageError
from trainables.storage.store import Store


def no_line(text: str) -> None:
    raise AssertionError(text)


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.write("a", b""),
        lambda store: store.create("a", b""),
        lambda store: store.put(Path(__file__), "a"),
    ],
)
def test_a_file_in_the_place_of_the_folder_is_one_line(
    call: Callable[[Store], object], tmp_path: Path
) -> None:
    (tmp_path / "a_file").write_text("")
    with pytest.raises(StorageError, match="must be folders: give another address") as error:
        call(Store(f"file://{tmp_path}/a_file/runs"))
    assert "\n" not in str(error.value)
    assert f": {tmp_path}/a_file" in str(error.value)
    assert "bucket" not in str(error.value)


def test_a_search_with_a_file_for_its_storage_ends_with_a_line(tmp_path: Path) -> None:
    (tmp_path / "a_file").write_text("")
    config = search_config(storage=f"file://{tmp_path}/a_file", budget={"trials": 1, "max_virtual_epochs": 1})
    with pytest.raises(SearchError, match="must be folders: give another address"):
        search.search(config, results=tmp_path / "results", local=True, progress=False)


def test_a_folder_that_cannot_be_made_is_not_called_a_bucket() -> None:
    with pytest.raises(StorageError, match="must be one that can be made: see that it is mounted") as error:
        Store("file:///proc/no_such_folder/runs").write("a", b"")
    assert "bucket" not in str(error.value)


def test_a_file_of_a_trial_that_is_removed_while_it_is_sent_is_left_out(tmp_path: Path) -> None:
    trial = tmp_path / "trials/0000"
    trial.mkdir(parents=True)
    for name in ("events", "gone", "trace"):
        (trial / name).write_text(name)
    store = TrialStore(f"file://{tmp_path}/storage", trial)

    class Removing(Store):
        def put(self, file: Path, name: str) -> None:
            if file.name == "gone":
                file.unlink()
            super().put(file, name)

    store._store = Removing(f"file://{tmp_path}/storage")
    store.send_files()
    assert sorted(store.listing().files) == ["events", "trace"]


def test_a_user_in_the_address_of_the_server_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs", reason="needs the extra s3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:SECRET@127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("trainables.storage.store.PATIENCE_SECONDS", 60.0)
    s3fs.S3FileSystem.clear_instance_cache()
    began = time.monotonic()
    with pytest.raises(StorageError, match="without user and password") as error:
        Store("s3://bucket/runs").write("a", b"")
    s3fs.S3FileSystem.clear_instance_cache()
    assert time.monotonic() - began < 30.0
    assert "SECRET" not in str(error.value)


def mirrored(tmp_path: Path, name: str) -> Store:
    folder, store = tmp_path / name, Store(f"file://{tmp_path}/storage/{name}")
    folder.mkdir()
    (folder / "study.journal").write_text("begun\n")
    (folder / "summary.json").write_text("{}")
    (folder / "config.yaml").write_text("task: segmentation\n")
    claim = take(store, {"pid": 1}, lives=lambda owner: False, say=no_line)
    Mirror(store, claim, folder).flush()
    return store


@pytest.mark.parametrize("what", ["head.json", "summary", "journal"])
def test_a_damaged_run_is_a_row_beside_the_others(tmp_path: Path, what: str) -> None:
    stores = {name: mirrored(tmp_path, name) for name in ("a", "b", "c")}
    (damaged,) = (name for name in stores["b"].names("driver") if what in name)
    stores["b"].write(damaged, b"no")
    rows = {run.name: run for run in list_stored(f"file://{tmp_path}/storage", lambda text: None)}
    assert sorted(rows) == ["a", "b", "c"]
    row = rows["b"]
    assert row.state.state is State.DAMAGED
    assert row.state.damaged == "its mirror"
    assert damaged in row.state.reason
    assert row.address == stores["b"].address
    assert row.size is not None
    assert row.size.num_bytes == sum(stores["b"].names().values())
    assert "its mirror" not in rows["a"].state.damaged
    assert not os.path.exists(row.folder)
