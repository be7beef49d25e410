"""The folder of one search: where its files are, and who may write there."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from search.addresses import local_path
from search.errors import RefusedError, SearchError
from search.run.disk.file_system import require_abilities
from search.run.disk.owner import JUST_BEGUN, Owner, heard_of, living_elsewhere, outlast
from search.study.study import JOURNAL
from search.text import short_path
from trainables.files import atomic_write, partial_path
from trainables.findings import some

_warn = logging.getLogger(__name__).warning

_PATIENCE = 0.5
"""Seconds: whoever asks for the owner holds the lock too, for a moment."""


def is_of_full_disk(error: BaseException) -> bool:
    """Whether a disk is full, or a person's share of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class _Inside:
    """The path of a file or folder inside a run's folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: RunFolder, owner: type) -> Path:
        return folder.path / self._name


@dataclass(frozen=True)
class RunFolder:
    """results/<name>: config.yaml, study.journal, summary.json, trials/0007/, search.log."""

    path: Path

    config = _Inside("config.yaml")
    journal = _Inside(JOURNAL)
    summary = _Inside("summary.json")
    history = _Inside("history.journal")
    """The study of an older run that this one learns from."""
    provenance = _Inside("provenance.json")
    """Versions, code and working folder of each session."""
    data = _Inside("data.fingerprint")
    """What the data were made of when the search was last run."""
    forecast = _Inside("forecast.json")
    """What `tune-search plan` said of this search, if it was begun with that."""
    log = _Inside("search.log")
    """Output of Ray, Optuna and the trials' processes."""
    scratch = _Inside(".ray")
    """Ray's own files, removed when the search ends."""
    prepared = _Inside("prepared")
    """Folder of arrays that the task computed once for all trials."""
    exported = _Inside("export")
    stages_path = _Inside("stages")
    """The folder of the named stages' folders, each as one of a search."""
    confirm_path = _Inside("confirm")
    """The folder of the race of the best trials over seeds, see `search.run.confirm`."""
    race = _Inside("race.yaml")
    """In that folder, who races."""
    priors = _Inside("priors.yaml")
    """What `priors:` was when the search began, if it had that."""
    base = _Inside("base.yaml")
    """The trial whose values a named stage after the first begins with."""
    owner_file = _Inside(".owner.json")
    """What the owner says about itself; a lock beside it says whether the owner is alive."""

    @classmethod
    def at(cls, given: str | Path) -> RunFolder:
        """The folder that a person names.

        Raises:
            RefusedError: it is an address of another storage.
        """
        return cls(local_path(given).absolute())

    @property
    def run_path(self) -> Path:
        """The folder of the whole run, also where this one is that of a named stage or of the race."""
        if self.is_race:
            return self.path.parent
        return self.path.parents[1] if self.path.parent.name == "stages" else self.path

    @property
    def is_race(self) -> bool:
        """This folder is that of the race in a run's folder."""
        return self.path.name == "confirm" and self.race.is_file()

    @property
    def is_staged(self) -> bool:
        """The search is one in named stages."""
        return self.stages_path.is_dir()

    def stages(self) -> list[RunFolder]:
        """This folder itself, or those of the named stages that have begun, in order."""
        if not self.is_staged:
            return [self]
        found = [path for path in self.stages_path.iterdir() if path.name.partition("-")[0].isdecimal()]
        found.sort(key=lambda path: int(path.name.partition("-")[0]))
        return [stage for stage in map(RunFolder, found) if stage.journal.is_file()]

    @property
    def has_begun(self) -> bool:
        """A search has been here."""
        return self.config.is_file() and (self.journal.is_file() or self.is_staged)

    def trial(self, number: int) -> Path:
        return self.path / "trials" / f"{number:04d}"

    def create(self, option: str = "--results") -> None:
        """Make the folder, for its owner alone, and try to write in it.

        Args:
            option: by which another one is chosen.

        Raises:
            SearchError: that fails, or others can write in it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.require_private()
            probe = partial_path(self.path / "write-test")
            probe.write_bytes(b"x")  # a full disk still takes names
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise SearchError(
                f"cannot write to {self.path}: {error.strerror}; choose another with {option}"
            ) from error

    def require(self) -> None:
        """Raise SearchError unless a search has been here, and only we can write."""
        self.require_private()
        self.require_begun()

    def require_begun(self) -> None:
        """Raise SearchError unless a search has been here that we can read, whoever else can write."""
        try:
            is_race, has_begun = self.is_race, self.has_begun
        except OSError as error:
            raise SearchError(
                f"cannot read {error.filename or self.path}: {error.strerror}; "
                "its owner can open the folder, with `chmod -R go+rX`"
            ) from error
        if is_race:
            raise RefusedError(
                f"{self.path} is the race of the best trials of a search; give {short_path(self.run_path)}"
            )
        if not has_begun:
            raise RefusedError(
                f"{self.path} is not the folder of a search: it has no {JOURNAL} and config.yaml"
                f"{self._near()}"
            )

    def _near(self) -> str:
        """The folders of searches that this one lies in, or that lie in it, as a way out."""
        around = [path for path in self.path.parents if _holds_run(path)]
        below = [] if around else sorted(filter(_holds_run, self.path.glob("*")))
        near = [short_path(path) for path in around[:1] or below]
        return f"; did you mean {some(near, 3)}?" if near else ""

    def require_private(self) -> None:
        """Raise SearchError if the folder belongs to another user, or group or others can write in it.

        What is read from it decides what is trained and which task's code runs. Of a link, its target counts.
        """
        if not self.path.exists():
            return
        found = self.path.stat()
        if os.getuid() not in (0, found.st_uid):
            raise RefusedError(
                f"{self.path} belongs to user {found.st_uid} and you are user {os.getuid()}; "
                "take a folder of your own"
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise RefusedError(
                f"{self.path} has mode {stat.S_IMODE(found.st_mode):o}: others can write in it, and only its "
                f"owner may; `chmod go-w {self.path}` sees to that"
            )

    @contextmanager
    def needs_space(self) -> Iterator[None]:
        """Raise SearchError instead of the system's error where the disk is full."""
        try:
            yield
        except OSError as error:
            if not is_of_full_disk(error):
                raise
            where = error.filename or self.path
            raise SearchError(
                f"cannot write to {where}: {error.strerror}; free some and start the same again"
            ) from error

    def _lock(self) -> FileLock:
        return FileLock(self.path / ".owner.lock", timeout=_PATIENCE, poll_interval=0.01)

    @contextmanager
    def owned(self, say: Callable[[str], None] = _warn, *, doing: str = "") -> Iterator[str | None]:
        """Own the folder; yields what a previous owner, which died, had written about itself.

        The kernel drops the lock with its process, however that ends. Whether an owner on another machine
        lives is known by its heartbeat, for which this waits, see `search.run.disk.owner`.

        Args:
            say: called with a line before such a wait.
            doing: the command that owns it, if that is no search.

        Raises:
            SearchError: another search owns it; names its process. Or nothing can be written in the folder,
                or its file system cannot do what a search rests on.
        """
        lock = self._lock()
        try:
            with suppress(Timeout):
                lock.acquire()
        except OSError as error:
            try:
                with self._can_be_written():
                    require_abilities(self.path)
            except SearchError:
                with suppress(OSError):
                    Path(lock.lock_file).unlink(missing_ok=True)
                raise
            raise SearchError(f"cannot write to {self.path}: {error.strerror}") from error
        try:
            with self._can_be_written():
                outlast(self.owner_file, lock, say)
                require_abilities(self.path)
            previous = Owner.read(self.owner_file)
            with heard_of(self.owner_file, doing):
                yield None if previous is None else str(previous)
        finally:
            # Removed while it is held: FileLock notices that in a waiting process, which makes a new one.
            # Where somebody else has said to be the owner, on another machine, it is theirs.
            if lock.is_locked and not self.owner_file.exists():
                Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    @contextmanager
    def _can_be_written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SearchError(f"cannot write to {self.path}: {error.strerror}") from error

    def owner(self) -> str | None:
        """What the search that runs in the folder now has written about itself, if any. Writes nothing that
        stays."""
        lock = self._lock()
        with suppress(OSError):
            if (elsewhere := living_elsewhere(self.owner_file)) is not None:
                return str(elsewhere)
        if not Path(lock.lock_file).exists():
            return None
        try:
            with lock:
                return None
        except Timeout:
            return str(Owner.read(self.owner_file) or JUST_BEGUN)
        except OSError:
            return None  # where nobody can write, nobody searches


def _holds_run(path: Path) -> bool:
    """Whether a search has been in a folder; of one that cannot be read nothing is known."""
    try:
        return RunFolder(path).has_begun
    except OSError:
        return False


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a whole file at once; NaN and infinities, which JSON does not have, become null."""
    atomic_write(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """The value with null for NaN and infinities, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
