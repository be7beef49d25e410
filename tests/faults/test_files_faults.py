"""Files and folders are there whole or not at all."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from small_disk import fill, small_disk

from search.config.document import write_yaml
from search.run.disk.folder import write_json
from trainables.files import (
    atomic_file,
    atomic_write,
    list_partial,
)
from trainables.images.skipped import keep_skipped


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_in(folder: str, number: int, barrier: Any) -> None:
    barrier.wait()
    atomic_write(Path(folder) / "a", f"{number}" * 100_000, many_writers=True)


def test_several_processes_that_write_one_file_do_not_mix(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    writers = [context.Process(target=write_in, args=(str(tmp_path), n, barrier)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    content = (tmp_path / "a").read_text()
    assert content in [f"{number}" * 100_000 for number in range(3)]
    assert names(tmp_path) == ["a"]


WRITERS = {
    "yaml": lambda file, size: write_yaml(file, {"x": "y" * size}),
    "json": lambda file, size: write_json(file, {"x": "y" * size}),
    "skipped": lambda file, size: keep_skipped(file.parent, {"a.png": "y" * size}),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_leaves_what_was_there_and_no_partial_file(tmp_path: Path, kind: str) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        file = disk / ("skipped.json" if kind == "skipped" else "file")
        if kind != "skipped":
            WRITERS[kind](file, 1)
        before = file.read_bytes() if file.exists() else None
        fill(disk)
        with pytest.raises(OSError, match="No space left on device"):
            WRITERS[kind](file, 30_000)
        assert (file.read_bytes() if file.exists() else None) == before
        assert list_partial(disk) == []


def test_what_a_process_has_half_written_when_it_dies_is_replaced_by_the_next_writing(tmp_path: Path) -> None:
    file = tmp_path / "retrain.json"
    child = os.fork()
    if not child:
        with atomic_file(file) as partial:
            partial.write_text('{"options": {')
            os._exit(0)
    os.waitpid(child, 0)
    assert not file.exists()
    atomic_write(file, json.dumps({"options": {}}))
    assert names(tmp_path) == ["retrain.json"]
