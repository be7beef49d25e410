"""How far the journal of a study can be read, and what its damages cost."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optuna.study import StudyDirection

from search.config.schema import Mode
from search.errors import SearchError
from search.study.journal import open_journal
from search.study.reading import read_records
from search.study.study import JOURNAL, KEPT
from search.study.trial import TrialRecord


@dataclass(frozen=True)
class JournalReading:
    """A journal as far as it can be read."""

    records: list[TrialRecord]
    mode: Mode
    kept: int
    """The fewest best trials whose checkpoints any session has kept."""
    damages: list[tuple[str, str]]
    """What is damaged, and what that costs."""


def read_journal(path: Path, *, being_written: bool) -> JournalReading:
    """Read a journal without writing to it, and find its damages.

    Args:
        path: the journal.
        being_written: a search is running, so an incomplete last line is no damage.

    Raises:
        OSError: it cannot be read at all.
    """
    *lines, half = path.read_bytes().split(b"\n")
    entries = [_entry(line) for line in lines]
    num_json = entries.index(None) if None in entries else len(entries)
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / JOURNAL
        count = _num_readable(lines[:num_json], copy)
        records = _read(lines[:count], copy)
        storage, _ = open_journal(copy)
        minimize = any(study.directions[0] is StudyDirection.MINIMIZE for study in storage.get_all_studies())
        kept = min((study.user_attrs.get(KEPT, 1) for study in storage.get_all_studies()), default=1)
        epochs = {r.number: storage.get_trial(r.trial_id).intermediate_values for r in records}
    damages: list[tuple[str, str]] = []
    if count < len(lines):
        why = "is not JSON" if count == num_json else "does not fit the lines before it"
        num_all = len(records) + len({_first_of(entry) for entry in entries[count:]} - {None})
        cost = (
            f"the study cannot be read beyond line {count}: {len(records)} of {num_all} trials are "
            f"before it; `head -n {count} {path.name}` gives a study that can be continued"
        )
        damages.append((f"line {count + 1} {why}", cost))
    if half and not being_written:
        cost = "one record at most, which is written again when the search continues"
        damages.append((f"ends in half a line of {len(half)} bytes", cost))
    for number, found in epochs.items():
        missing = [str(epoch) for epoch in range(1, max(found, default=0)) if epoch not in found]
        if missing:
            cost = f"the later values of trial {number} count for earlier virtual epochs than theirs"
            damages.append((f"trial {number} has no value at virtual epoch {', '.join(missing)}", cost))
    return JournalReading(records, "min" if minimize else "max", kept, damages)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _read(lines: Sequence[bytes], copy: Path) -> list[TrialRecord]:
    """The trials of a journal of these lines, which is written to `copy`."""
    copy.write_bytes(b"".join(line + b"\n" for line in lines))
    return read_records(copy)


def _num_readable(lines: Sequence[bytes], copy: Path) -> int:
    """Number of lines, from the first on, that give a study with trials 0, 1, 2, …"""

    def is_damaged(count: int) -> bool:
        try:
            return any(number != r.number for number, r in enumerate(_read(lines[:count], copy)))
        except SearchError:
            return True

    if not is_damaged(len(lines)):
        return len(lines)
    return bisect_left(range(len(lines)), True, key=lambda number: is_damaged(number + 1))


def _first_of(entry: dict[str, Any] | None) -> int | None:
    """Number of the trial whose first entry this is."""
    attrs = entry.get("user_attrs") if entry else None
    return attrs.get("trial") if isinstance(attrs, dict) else None
