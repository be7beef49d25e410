"""Which data a study has had: trials of other data than those of now stay apart."""

from __future__ import annotations

from pathlib import Path

from optuna.storages import BaseStorage

from search.study.journal import open_journal, reraise_as_damaged

DATA = "data"
"""Attribute of the study: hashes of the data it has had, in turn; and of a trial: which of them, from 0."""


def data_of(path: Path) -> list[str]:
    """The hashes in the journal of a study, the one of now last; empty where none was recorded."""
    return _with(path, "")


def change_data(path: Path, data: str) -> None:
    """Record in a study that nobody writes which data it has now; its trials so far are of other data."""
    _with(path, data)


def with_data(storage: BaseStorage, study_id: int, data: str) -> list[str]:
    """Hashes of all data that the study has had, these as the last; empty ones add nothing."""
    known: list[str] = storage.get_study_user_attrs(study_id).get(DATA, [])
    if not data or known[-1:] == [data]:
        return known
    storage.set_study_user_attr(study_id, DATA, [*known, data])
    return [*known, data]


def _with(path: Path, data: str) -> list[str]:
    storage, _ = open_journal(path)
    with reraise_as_damaged(path):
        studies = storage.get_all_studies()[:1]
        ids = [storage.get_study_id_from_name(study.study_name) for study in studies]
        return with_data(storage, ids[0], data) if ids else []
