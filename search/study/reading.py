"""A study that another process may be writing, read as a whole; nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from optuna.storages import BaseStorage

from search.errors import SearchError
from search.study.frozen import records_of
from search.study.journal import open_journal, reraise_as_damaged
from search.study.study import ELAPSED
from search.study.trial import TrialRecord


class StudyReading(NamedTuple):
    """What a journal held when it was read."""

    records: list[TrialRecord]
    """By their numbers."""
    seconds: float
    """Wall time of all sessions."""
    storage: BaseStorage
    """Optuna's view of it; only to be read."""


def read_study(path: Path) -> StudyReading:
    """Read the study in a journal.

    Raises:
        SearchError: there is no journal, or it is damaged.
    """
    if not path.is_file():
        raise SearchError(f"there is no {path}")
    storage, _ = open_journal(path)
    with reraise_as_damaged(path):
        records = list(records_of(storage))
        seconds = sum(float(study.user_attrs.get(ELAPSED, 0.0)) for study in storage.get_all_studies()[:1])
    return StudyReading(records, seconds, storage)


def read_records(path: Path) -> list[TrialRecord]:
    """The trials of the study in a journal, as `read_study` finds them.

    Raises:
        SearchError: there is no journal, or it is damaged.
    """
    return read_study(path).records
