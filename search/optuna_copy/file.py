"""Studies as a journal that Optuna's tools open, written as a whole."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import StudyDirection

from search.errors import RefusedError, SearchError
from search.optuna_copy.studies import OptunaStudy
from search.text import short_path
from trainables.files import atomic_write

COPY_OF = "copy_of"
"""Attribute of each study: the folder of the run that it shows."""
_DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
_NOTE = {"dashboard:note_ver": 1}
_NOTE_PART, _LONGEST_PART = "dashboard:note_str:{}", 2045
"""As optuna-dashboard 0.21 keeps the note of a study (`save_note`), so that writing needs no dashboard."""
_HEAD = 4096


class _Entries(BaseJournalBackend):
    """The entries of a journal, in memory."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return json.loads(json.dumps(self.all[log_number_from:]))  # as they come from a file

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.all += logs


def write_studies(
    file: Path,
    studies: Iterable[OptunaStudy],
    *,
    folder: Path,
    told: Callable[[OptunaStudy], None] = lambda study: None,
) -> list[OptunaStudy]:
    """Write studies into one journal file, in the place of an earlier copy.

    Args:
        file: to write, see `require_copy`.
        studies: in the order of their numbers.
        folder: of the run.
        told: called with each before it is written.

    Returns:
        The studies.

    Raises:
        SearchError: it cannot be written.
    """
    optuna.logging.disable_default_handler()
    entries, written = _Entries(), []
    storage = JournalStorage(entries)
    for study in studies:
        told(study)
        _add(storage, study, folder)
        written.append(study)
    lines = [json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries.all]
    try:
        atomic_write(file, "".join(lines))
    except OSError as error:
        raise SearchError(f"cannot write {file}: {error.strerror}; choose another with --out") from error
    return written


def _add(storage: JournalStorage, study: OptunaStudy, folder: Path) -> None:
    directions = [_DIRECTIONS[objective.mode] for objective in study.objectives]
    study_id = storage.create_new_study(directions, study.name)
    storage.set_study_user_attr(study_id, COPY_OF, str(folder))
    parts = [study.note[at : at + _LONGEST_PART] for at in range(0, len(study.note), _LONGEST_PART)]
    note = _NOTE | {_NOTE_PART.format(number): part for number, part in enumerate(parts)}
    for key, value in note.items():
        storage.set_study_system_attr(study_id, key, value)
    opened = optuna.load_study(study_name=study.name, storage=storage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        opened.set_metric_names([objective.metric for objective in study.objectives])
    for trial in study.trials:
        opened.add_trial(trial)


def require_copy(file: Path) -> None:
    """Refuse to replace a file that is no earlier copy, such as the journal of a search.

    Raises:
        RefusedError: it is one.
    """
    if not file.exists():
        return
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
    except OSError as error:
        raise SearchError(f"cannot read {file}: {error.strerror}; choose another with --out") from error
    if f'"{COPY_OF}"'.encode() not in head:
        raise RefusedError(
            f"{short_path(file)} is there, and is no copy that this command wrote; choose another with --out"
        )
