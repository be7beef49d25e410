"""A study that another process may be writing, read as a whole; nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from optuna.storages import BaseStorage

from search.errors import SearchError
from search.study.frozen import records_of
from search.study.journal import SESSION, open_journal, reraise_as_damaged
from search.study.study import ELAPSED
from search.study.trial import TrialRecord


class StudyReading(NamedTuple):
    """What a journal held when it was read."""

    records: list[TrialRecord]
    """By their numbers."""
    seconds: float
    """Wall time of all sessions."""
    session: int
    """The number of the last one; 0 in a journal of before."""
    storage: BaseStorage
    """Optuna's view of it; only to be read."""


class FollowedStudy:
    """A study that is read again and again: of the journal only what has been added since.

    Args:
        path: the journal, which somebody else may be writing.

    Raises:
        SearchError: there is no journal, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise SearchError(f"there is no {path}")
        self._path = path
        self._storage, _ = open_journal(path)

    def read(self) -> StudyReading:
        """What the journal holds now.

        Raises:
            SearchError: it is damaged.
        """
        with reraise_as_damaged(self._path):
            records = list(records_of(self._storage))
            studies = self._storage.get_all_studies()[:1]
            seconds = sum(float(study.user_attrs.get(ELAPSED, 0.0)) for study in studies)
            session = sum(int(study.user_attrs.get(SESSION, {}).get("number", 0)) for study in studies)
        return StudyReading(records, seconds, session, self._storage)

    def writer(self) -> str:
        """The process that has written it last, as its session says: `process 7 on host`; empty if unknown.

        Raises:
            SearchError: it is damaged.
        """
        with reraise_as_damaged(self._path):
            for study in self._storage.get_all_studies()[:1]:
                return str(study.user_attrs.get(SESSION, {}).get("by", ""))
        return ""


def read_study(path: Path) -> StudyReading:
    """Read the study in a journal.

    Raises:
        SearchError: there is no journal, or it is damaged.
    """
    return FollowedStudy(path).read()


def read_records(path: Path) -> list[TrialRecord]:
    """The trials of the study in a journal, as `read_study` finds them.

    Raises:
        SearchError: there is no journal, or it is damaged.
    """
    return read_study(path).records
