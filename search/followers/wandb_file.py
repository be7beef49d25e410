"""What the files that W&B writes offline hold of a run: only these know it until they are sent.

A file is a log as LevelDB has it, in blocks of 32 KiB, of W&B's own messages; its package (0.31) has no
reader of it in Python any more.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wandb.proto.wandb_internal_pb2 import Record

_BLOCK, _HEADER, _BEGIN = 32 * 1024, 7, 7
"""Bytes of a block, of the head of a piece, and of the head of the file."""
_FULL, _FIRST, _LAST = 1, 2, 4
_STEP = "_step"


class OfflineRun(NamedTuple):
    """What is in the files of a run."""

    rows: list[dict[str, Any]]
    """In the order in which they were logged, with their `_step`."""
    summary: dict[str, Any]

    @property
    def last_step(self) -> int:
        """-1 without a row."""
        return max((int(row[_STEP]) for row in self.rows), default=-1)


def read_offline(folder: Path, run: str) -> OfflineRun:
    """The rows and summary of a run by its id, from all files that were written of it.

    Args:
        folder: that holds `wandb/`.
        run: the id.

    Raises:
        OSError: a file cannot be read.
    """
    found = OfflineRun([], {})
    for file in sorted(folder.glob(f"wandb/offline-run-*-{run}/run-{run}.wandb")):
        for record in records_in(file):
            row = {_key(item): json.loads(item.value_json) for item in record.history.item}
            if row:
                found.rows.append({**row, _STEP: row.get(_STEP, record.history.step.num)})
            for item in record.summary.update:
                found.summary[_key(item)] = json.loads(item.value_json)
    return found


def _key(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def records_in(file: Path) -> Iterator[Record]:
    """The messages in a file; what was cut off at its end by a kill is left out."""
    content = file.read_bytes()
    at, pieces = _BEGIN, b""
    while at + _HEADER <= len(content):
        if _BLOCK - at % _BLOCK < _HEADER:  # the rest of a block that has no room for a head
            at += _BLOCK - at % _BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        at += _HEADER
        if kind == 0 or at + length > len(content):
            return
        pieces = content[at : at + length] if kind in (_FULL, _FIRST) else pieces + content[at : at + length]
        at += length
        if kind in (_FULL, _LAST):
            yield Record.FromString(pieces)
