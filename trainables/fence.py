"""Which job may write in the folder of a trial: the newest one, by a number that its study gives.

A machine that is cut off from its search trains on while the trial goes on elsewhere, and may still reach the
storage. So the folder names the newest job, first when it is handed out and again when it begins, and every
other one stops where it would write next. What several could write at once has the number in its name.
"""

from __future__ import annotations

import json
import re
import uuid
from contextlib import suppress
from pathlib import Path

from trainables.files import discard_all, partial_path

Job = tuple[int, int]
"""Number of the session of the search, and of the job in it; a later job is greater."""
ALONE: Job = (0, 0)
"""Of a training that no study has begun."""
JOB_FILE = "job.json"
"""In the folder of a trial, its newest job."""


class SupersededError(Exception):
    """A newer job of the trial has begun: this one writes nothing more."""


def own_name(name: str, job: Job) -> str:
    """The name of a file that jobs of a trial write at the same time: `.hang.2-14.txt` for `.hang.txt`."""
    if job == ALONE:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}.{job[0]}-{job[1]}{dot}{suffix}"


def is_of_newer(name: str, job: Job) -> bool:
    """Whether a newer job has given the file its name, see `own_name`."""
    found = re.search(r"\.([0-9]+)-([0-9]+)(?=\.|$)", name)
    return found is not None and (int(found[1]), int(found[2])) > job


def newest_job(folder: Path) -> Job:
    """The newest job of the trial in this folder, as far as it is known there."""
    try:
        session, number = json.loads((folder / JOB_FILE).read_text(encoding="utf-8"))
        return int(session), int(number)
    # Not synced, so that a machine which loses its power may leave an empty file.
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return ALONE


def is_newest(folder: Path, job: Job) -> bool:
    """Whether no newer job of the trial is known; False if the folder cannot be read, and so not written."""
    try:
        return newest_job(folder) <= job
    except OSError:
        return False


def require_newest(folder: Path, job: Job) -> None:
    """Called before each write.

    Raises:
        SupersededError: a newer job of the trial has begun.
        OSError: the folder cannot be read.
    """
    if (newest := newest_job(folder)) > job:
        raise SupersededError(
            f"job {_text(newest)} of this trial has begun elsewhere; job {_text(job)} stops, and writes "
            f"nothing more in {folder}"
        )


def become_newest(folder: Path, job: Job) -> None:
    """Called before the first write of a job; what older ones were writing under names of their own is gone.

    Raises:
        SupersededError: a newer job of the trial has begun.
        OSError: the folder cannot be written.
    """
    require_newest(folder, job)
    if newest_job(folder) == job:
        return
    partial = partial_path(folder / f"{JOB_FILE}.{uuid.uuid4().hex[:8]}")
    try:
        partial.write_text(json.dumps(job), encoding="utf-8")
        partial.replace(folder / JOB_FILE)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def discard_of_older(folder: Path, name: str, job: Job) -> None:
    """Remove files of this name that other jobs have left, see `own_name`."""
    stem, dot, suffix = name.rpartition(".")
    own = folder / own_name(name, job)
    discard_all(path for path in folder.glob(f"{stem}.*{dot}{suffix}") if path != own)


def _text(job: Job) -> str:
    return f"{job[1]} of session {job[0]}" if job != ALONE else "0"
