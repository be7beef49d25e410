"""The folder of one search: where its files are, and who may write there."""

from __future__ import annotations

import fcntl
import json
import math
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.errors import SearchError
from search.study import JOURNAL


@dataclass(frozen=True)
class RunFolder:
    """results/<name>: config.yaml, study.journal, summary.json, trials/0007/, search.log."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def journal(self) -> Path:
        return self.path / JOURNAL

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def log(self) -> Path:
        """What Ray, Optuna and the trials' processes print."""
        return self.path / "search.log"

    @property
    def scratch(self) -> Path:
        """Ray's own files, removed when the search ends."""
        return self.path / ".ray"

    @property
    def exported(self) -> Path:
        return self.path / "export"

    def trial(self, number: int) -> Path:
        return self.path / "trials" / f"{number:04d}"

    def create(self) -> None:
        """Make the folder and try to write in it.

        Raises:
            SearchError: that is not possible.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".write-test-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise SearchError(
                f"cannot write to {self.path}: {error.strerror}; choose another with --results"
            ) from error

    def require(self) -> None:
        """Raise SearchError unless a search has been here."""
        if not self.journal.is_file() or not self.config.is_file():
            raise SearchError(
                f"{self.path} is not the folder of a search: it has no {JOURNAL} and config.yaml"
            )

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the folder for the time of a search.

        The kernel drops the lock with its process, however that ends: a dead owner never stands in the way.

        Raises:
            SearchError: another search owns it; names its process.
        """
        file = self.path / ".owner.json"
        descriptor = self._lock(file)
        try:
            since = f"{datetime.now(UTC):%F %T} UTC"
            owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(owner).encode(), 0)
            yield
        finally:
            file.unlink(missing_ok=True)
            os.close(descriptor)

    def _lock(self, file: Path) -> int:
        """Lock the file and return its descriptor."""
        while True:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # An owner that left between the two lines before has removed the file that is locked now.
                if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
                    return descriptor
            except BlockingIOError:
                owner = _owner(os.read(descriptor, 4096))
                os.close(descriptor)
                raise SearchError(
                    f"{self.path} belongs to a running search: {owner}; "
                    "end that one first, or choose another --name"
                ) from None
            except FileNotFoundError:
                pass
            os.close(descriptor)


def _owner(content: bytes) -> str:
    """The owner's words about itself; it may have come this moment and not have written them."""
    try:
        owner = json.loads(content)
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
    except (ValueError, KeyError):
        return "a process that has just begun"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write beside, sync and rename, so that a reader finds the old file or the new one.

    JSON knows no NaN and no infinity: they become null.
    """
    text = json.dumps(_finite(value), indent=2, allow_nan=False)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
