"""What the journal of a study holds, how far it can be read, and what contradicts itself in it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optuna.storages.journal._storage import JournalOperation
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.errors import SearchError
from search.schedulers.early_stopping import Mode
from search.study.journal import open_journal
from search.study.study import JOURNAL, TrialRecord, read_records


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
    entries = [_parse(line) for line in lines]
    num_parsed = next((n for n, entry in enumerate(entries) if entry is None), len(entries))
    num_readable = _num_readable(lines[:num_parsed])
    content = _joined(lines[:num_readable])
    records = _records(content)
    faults: list[Fault] = []
    if num_readable < len(lines):
        why = "is not JSON" if num_readable == num_parsed else "does not fit to the lines before it"
        later = {_created(entry) for entry in entries[num_readable:]} - {None}
        faults.append(_cut_off(path, num_readable, why, len(records), len(records) + len(later)))
    if half and not being_written:
        cost = "one record at most, which is made again when the search goes on"
        faults.append(Fault(f"ends in half a line of {len(half)} bytes", cost))
    with journal_copy(content) as copy:
        storage, _ = open_journal(copy)
        studies = storage.get_all_studies()
        trials = [t for s in studies for t in storage.get_all_trials(s._study_id, deepcopy=False)]
    minimize = bool(studies) and studies[0].directions[0] is StudyDirection.MINIMIZE
    faults += [*_twice(entries[:num_readable], trials), *_gaps(trials)]
    return JournalReading(content, records, "min" if minimize else "max", faults)


@contextmanager
def journal_copy(content: bytes) -> Iterator[Path]:
    """A journal with this content, in a folder of its own that is removed afterwards."""
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / JOURNAL
        copy.write_bytes(content)
        yield copy


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _joined(lines: Sequence[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def _num_readable(lines: Sequence[bytes]) -> int:
    """How many lines from the first on give a study with trials 0, 1, 2, …"""

    def is_readable(count: int) -> bool:
        try:
            return _is_complete(_records(_joined(lines[:count])))
        except SearchError:
            return False

    if is_readable(len(lines)):
        return len(lines)
    low, high = 0, len(lines)  # `low` lines can be read, `high` lines cannot
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_readable(middle) else (low, middle)
    return low


def _records(content: bytes) -> list[TrialRecord]:
    with journal_copy(content) as copy:
        return read_records(copy)


def _is_complete(records: Sequence[TrialRecord]) -> bool:
    return [record.number for record in records] == list(range(len(records)))


def _created(entry: dict[str, Any] | None) -> int | None:
    """Number of the trial that an entry begins."""
    if entry is None or entry.get("op_code") != JournalOperation.CREATE_TRIAL:
        return None
    return _number(entry.get("user_attrs"))


def _number(attrs: Any) -> int | None:
    """Of a trial, from its user attributes; a trial that another program made has none."""
    return attrs.get("trial") if isinstance(attrs, dict) else None


def _cut_off(path: Path, count: int, why: str, num_before: int, num_all: int) -> Fault:
    cost = (
        f"the study cannot be read beyond line {count}: {num_before} of {num_all} trials are before it; "
        f"what `head -n {count} {path.name}` gives is a study to go on with"
    )
    return Fault(f"line {count + 1} {why}", cost)


def _twice(entries: Sequence[dict[str, Any] | None], trials: Sequence[FrozenTrial]) -> Iterator[Fault]:
    """Ends and virtual epochs that are recorded more than once."""
    numbers = {trial._trial_id: _number(trial.user_attrs) for trial in trials}
    ends: dict[int, list[int]] = defaultdict(list)
    values: dict[tuple[int, int], list[int]] = defaultdict(list)
    for line, entry in enumerate(entries, start=1):
        if entry is None or numbers.get(entry.get("trial_id", -1)) is None:
            continue
        if entry["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES:
            if TrialState(entry["state"]).is_finished():
                ends[entry["trial_id"]].append(line)
        elif entry["op_code"] == JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE:
            values[entry["trial_id"], entry["step"]].append(line)
    for trial_id, at in ends.items():
        if len(at) > 1:
            yield Fault(f"lines {_listed(at)} each end trial {numbers[trial_id]}", "the first one counts")
    for (trial_id, step), at in values.items():
        if len(at) > 1:
            what = f"lines {_listed(at)} each give virtual epoch {step} of trial {numbers[trial_id]} a value"
            yield Fault(what, "the last one counts")


def _gaps(trials: Sequence[FrozenTrial]) -> Iterator[Fault]:
    """Trials without the value of a virtual epoch before their last one."""
    newest = {_number(trial.user_attrs): trial for trial in trials}
    for number, trial in newest.items():
        steps = trial.intermediate_values
        missing = [step for step in range(1, max(steps, default=0) + 1) if step not in steps]
        if missing and number is not None:
            cost = f"the later values of trial {number} count for earlier virtual epochs than theirs"
            yield Fault(f"trial {number} has no value at virtual epoch {_listed(missing)}", cost)


def _listed(numbers: Sequence[int]) -> str:
    *others, last = [str(number) for number in numbers]
    return f"{', '.join(others)} and {last}" if others else last
