"""Exports a run again and again, each time in a process that dies at another of its file operations."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from tiny_tasks import DigitsTask

import search
from search.exports.files import SUMS
from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import ranked

_OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")


def die_at(operation: int, folder: Path) -> None:
    """Have this process killed before its file operation of this number in a folder, counted from 1."""
    left = operation

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _OPERATIONS and str(arguments[0]).startswith(f"{folder}{os.sep}"):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def export_in_a_fork(run: Path, out: Path, operation: int | None = None) -> bool:
    """Export the run into `out`; returns whether the process came to its end."""
    pid = os.fork()
    if pid == 0:
        if operation is not None:
            die_at(operation, out.parent)
        search.export(run, out=out)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, status
    return status == 0


def content(out: Path) -> dict[str, str] | None:
    """Each file's text or sum, without the time of the export; None if nothing is there.

    Raises:
        AssertionError: what is there is not the whole.
    """
    if not out.exists():
        return None
    sums = dict(reversed(line.split("  ")) for line in (out / SUMS).read_text().splitlines())
    assert {*sums, SUMS} == {path.name for path in out.iterdir()}
    for name, expected in sums.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == expected
    report = json.loads((out / "metrics.json").read_text())
    return sums | {"metrics.json": json.dumps(report | {"exported": ""})}


def main(run: Path, folder: Path) -> int:
    """Number of operations at which exports were killed.

    Into an empty place, and over an export of another trial: what is there afterwards is nothing, the other
    one or the new one, as a whole; and the same export again gives the new one.
    """
    torch.set_num_threads(1)
    arrays = DigitsTask.load_data(None)  # type: ignore[arg-type]
    DigitsTask.load_data = lambda options: arrays  # type: ignore[method-assign,assignment]
    new, other = folder / "new", folder / "other"
    best = search.export(run, out=new).trial
    second_best = ranked(read_records(run / JOURNAL), "max")[1].number
    search.export(run, out=other, trial=second_best)
    assert best != second_best
    killed = 0
    for before in (None, other):
        for operation in range(1, 1000, 4 if before is None else 1):
            out = folder / "place" / "export"
            shutil.rmtree(out.parent, ignore_errors=True)
            out.parent.mkdir()
            if before is not None:
                shutil.copytree(before, out)
            if export_in_a_fork(run, out, operation):
                break
            killed += 1
            assert content(out) in (None, before and content(before), content(new))
            assert export_in_a_fork(run, out)
            assert content(out) == content(new)
            assert [path.name for path in out.parent.iterdir()] == ["export"]
    return killed


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))
