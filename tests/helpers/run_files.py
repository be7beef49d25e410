"""The files of a run, to look at and to damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from search.commands.damages import Damage, Verification
from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import TrialRecord, ranked
from trainables.checkpoints.checkpoint import checkpoint_folder


def records_of(run: Path) -> list[TrialRecord]:
    return read_records(run / JOURNAL)


def best_of(run: Path, place: int = 0) -> tuple[TrialRecord, Path]:
    """A trial by its place among the best, and its best checkpoint."""
    record = ranked(records_of(run), "max")[place]
    return record, checkpoint_folder(
        run / "trials" / f"{record.number:04d}", record.best_virtual_epoch("max")
    )


def flip(file: Path) -> None:
    """Change one bit about the middle of a file; of JSON, one that matters."""
    before = file.read_bytes()
    for place in range(len(before) // 2, len(before)):
        content = bytearray(before)
        content[place] ^= 1
        if file.suffix != ".json" or not _same_json(before, bytes(content)):
            break
    file.write_bytes(content)


def _same_json(one: bytes, other: bytes) -> bool:
    """As where the last of seventeen digits of a number is another one."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / JOURNAL).read_text().splitlines()]


def write_lines(run: Path, lines: list[dict[str, Any]]) -> None:
    (run / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))


def snapshot(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Everything in a folder, hidden files too, with the times of the last change."""
    return {
        path: (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


def only(found: Verification) -> Damage:
    """The damage of a run that has exactly one."""
    (damage,) = found.damages
    return damage
