"""How far the journal of a study can be read, what is wrong in it, and what that costs."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optuna.study import StudyDirection

from search.config.schema import Mode
from search.errors import SearchError
from search.study.journal import open_journal
from search.study.study import JOURNAL, read_records
from search.study.trial import TrialRecord

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    """Something that is wrong in a journal, and what it costs."""

    what: str
    cost: str


@dataclass(frozen=True)
class JournalReading:
    """A journal as far as it can be read."""

    content: bytes
    records: list[TrialRecord]
    mode: Mode
    faults: list[Fault]


def read_journal(path: Path, *, being_written: bool) -> JournalReading:
    """Read a journal without touching it, and say what is wrong with it.

    Args:
        path: the journal.
        being_written: a search is running, so a last line that is not whole is no fault.

    Raises:
        OSError: it cannot be read at all.
    """
    *lines, half = path.read_bytes().split(b"\n")
    entries = [_entry(line) for line in lines]
    num_json = entries.index(None) if None in entries else len(entries)
    count = _num_readable(lines[:num_json])
    content = _joined(lines[:count])
    with journal_copy(content) as copy:
        records = read_records(copy)
        storage, _ = open_journal(copy)
        minimize = any(study.directions[0] is StudyDirection.MINIMIZE for study in storage.get_all_studies())
        epochs = {r.number: storage.get_trial(r.trial_id).intermediate_values for r in records}
    faults: list[Fault] = []
    if count < len(lines):
        why = "is not JSON" if count == num_json else "does not fit to the lines before it"
        num_lost = len({_begun(entry) for entry in entries[count:]} - {None})
        cost = _cost_of_rest(path, count, len(records), len(records) + num_lost)
        faults.append(Fault(f"line {count + 1} {why}", cost))
    if half and not being_written:
        cost = "one record at most, which is made again when the search goes on"
        faults.append(Fault(f"ends in half a line of {len(half)} bytes", cost))
    for number, found in epochs.items():
        missing = [str(epoch) for epoch in range(1, max(found, default=0)) if epoch not in found]
        if missing:
            cost = f"the later values of trial {number} count for earlier virtual epochs than theirs"
            faults.append(Fault(f"trial {number} has no value at virtual epoch {', '.join(missing)}", cost))
    return JournalReading(content, records, "min" if minimize else "max", faults)


@contextmanager
def journal_copy(content: bytes) -> Iterator[Path]:
    """A journal with this content, in a folder of its own that is removed afterwards."""
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / JOURNAL
        copy.write_bytes(content)
        yield copy


def _entry(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _num_readable(lines: Sequence[bytes]) -> int:
    """How many lines from the first on give a study with trials 0, 1, 2, …"""

    def is_damaged(count: int) -> bool:
        with journal_copy(_joined(lines[:count])) as copy:
            try:
                return any(number != record.number for number, record in enumerate(read_records(copy)))
            except SearchError:
                return True

    if not is_damaged(len(lines)):
        return len(lines)
    return bisect_left(range(len(lines)), True, key=lambda number: is_damaged(number + 1))


def _cost_of_rest(path: Path, count: int, num_before: int, num_all: int) -> str:
    return (
        f"the study cannot be read beyond line {count}: {num_before} of {num_all} trials are before it; "
        f"what `head -n {count} {path.name}` gives is a study to go on with"
    )


def _begun(entry: Entry | None) -> int | None:
    """Number of the trial that an entry begins."""
    attrs = entry.get("user_attrs") if entry else None
    return attrs.get("trial") if isinstance(attrs, dict) else None
