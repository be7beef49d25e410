"""Files in a storage by fsspec: what may pass is tried again, and what is written is whole or not there.

An object appears at once or not at all, whoever looks. Of a `file://` address the same is had by renaming.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from trainables.files import atomic_file, atomic_write
from trainables.storage.address import EXTRAS, below, checked_address
from trainables.storage.errors import (
    StorageError,
    is_misconfigured,
    is_passing,
    is_refused,
    of_a_folder,
    one_line,
)

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 600.0
"""For which a storage that does not answer is asked again."""
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 20.0
_SAID_AFTER = 10.0
"""Seconds of silence after which a line says so."""

_WRITING = ("write", "create")

_Answer = TypeVar("_Answer")


class Store:
    """What lies below an address; names are relative to it, with slashes.

    Every call tries again for `PATIENCE_SECONDS` what may pass: no connection, 5xx, an upload cut short.

    Raises:
        StorageError: it refuses, or has not answered for so long.
        FileNotFoundError: there is nothing of that name, where that is asked for.
    """

    def __init__(self, address: str) -> None:
        self.address = checked_address(address)
        self._scheme = self.address.partition(":")[0]

    @cached_property
    def _fs(self) -> Any:
        options: dict[str, Any] = {"use_listings_cache": False}
        if self._scheme == "file":
            options = {"auto_mkdir": True}
        try:
            return fsspec.filesystem(self._scheme, **options)
        except ImportError as error:
            extra = EXTRAS.get(self._scheme, "")
            raise StorageError(
                f"{self.address} needs a package that is not here: pip install 'tune-search[{extra}]'"
            ) from error

    def path(self, name: str = "") -> str:
        """As fsspec has it: without the scheme."""
        return str(self._fs._strip_protocol(below(self.address, name)))

    def read(self, name: str) -> bytes:
        """The whole of one object."""
        return bytes(self._trying(lambda: self._fs.cat_file(self.path(name)), f"read {name}"))

    def write(self, name: str, content: bytes) -> None:
        """Write one object, in the place of what is there."""
        path = self.path(name)
        self._trying(lambda: self._write(path, content), f"write {name}")

    def create(self, name: str, content: bytes) -> bool:
        """Write one object where there is none; returns whether this call has made it.

        With S3's conditional writes and on file systems, of several callers exactly one is told so.
        """
        path = self.path(name)

        def make() -> bool:
            try:
                if self._scheme == "file":
                    _create(Path(path), content)
                else:
                    self._fs.pipe_file(path, content, mode="create")
            except FileExistsError:
                # An answer that was lost: the try before has made it.
                return bool(self._fs.cat_file(path) == content)
            return True

        return self._trying(make, f"create {name}")

    def put(self, file: Path, name: str) -> None:
        """Copy a file of this machine there.

        Raises:
            FileNotFoundError: the file is not here, or not any more.
        """
        path = self.path(name)

        def copy() -> None:
            if self._scheme == "file":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(Path(path), many_writers=True) as copied:
                    self._fs.put_file(str(file), str(copied))
                return
            self._fs.put_file(str(file), path)

        try:
            self._trying(copy, f"write {name}")
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError) and not file.exists():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file)) from error
            raise

    def get(self, name: str, file: Path) -> None:
        """Copy an object into a file of this machine; the caller verifies it."""
        self._trying(lambda: self._fs.get_file(self.path(name), str(file)), f"read {name}")

    def exists(self, name: str) -> bool:
        """Whether the object is there; asked for by its name, which no listing delays."""

        def ask() -> bool:
            try:
                self._fs.info(self.path(name))
            except FileNotFoundError:
                return False
            return True

        return self._trying(ask, f"look for {name}")

    def written_at(self, name: str) -> float:
        """When an object was last written, in Unix seconds by the storage's clock."""
        modified = self._trying(lambda: self._fs.modified(self.path(name)), f"look for {name}")
        return float(modified.timestamp())

    def folders(self) -> list[str]:
        """Names of the folders directly below this address, sorted."""

        def ask() -> list[dict[str, Any]]:
            try:
                return list(self._fs.ls(self.path(), detail=True))
            except FileNotFoundError:
                return []

        found = self._trying(ask, "list it")
        return sorted(info["name"].rpartition("/")[2] for info in found if info["type"] == "directory")

    def names(self, folder: str = "") -> dict[str, int]:
        """Names of all objects below a folder with their sizes, relative to this address.

        A storage may list what was written some seconds ago not yet, and what was removed still.
        """

        def ask() -> dict[str, dict[str, Any]]:
            try:
                return dict(self._fs.find(self.path(folder), detail=True))
            except FileNotFoundError:
                return {}

        root = self.path() + "/"
        found = self._trying(ask, f"list {folder or 'it'}")
        listed = {path.removeprefix(root): int(info.get("size") or 0) for path, info in found.items()}
        return {name: size for name, size in listed.items() if not name.endswith(".partial")}

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects in this order; one that is not there is removed already."""

        for name in names:
            self._trying(partial(self._remove, self.path(name)), f"remove {name}")

    def _remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm_file(path)
        if self._scheme == "file":  # other storages have no folders, which would stay
            with suppress(OSError):
                Path(path).parent.rmdir()

    def _write(self, path: str, content: bytes) -> None:
        if self._scheme == "file":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            atomic_write(Path(path), content, many_writers=True)
        else:
            self._fs.pipe_file(path, content)

    def _trying(self, call: Callable[[], _Answer], what: str) -> _Answer:
        """The answer of a call, which is made again with growing waits while what fails may pass."""
        began, wait, has_said = time.monotonic(), _FIRST_WAIT, False
        while True:
            try:
                answer = call()
            except Exception as error:
                is_missing = isinstance(error, FileNotFoundError)
                if self._scheme == "file" and isinstance(error, OSError):
                    if is_missing and not what.startswith(_WRITING):
                        raise
                    error.filename = error.filename or self.path()  # a full disk's has none
                    raise of_a_folder(error, self.address, what) from error
                if is_refused(error):
                    raise StorageError(
                        f"{self.address}: cannot {what}: {one_line(error)}; it refuses: see that the "
                        "credentials are there, have not expired, and allow to list, read, write and delete"
                    ) from error
                if is_misconfigured(error):
                    raise StorageError(
                        f"{self.address}: cannot {what}: {one_line(error)}; correct the address, or what the "
                        "storage's tools are told, such as AWS_PROFILE, AWS_ENDPOINT_URL (with http:// or "
                        "https://, without user and password) and AWS_DEFAULT_REGION"
                    ) from error
                if what.startswith(_WRITING) and is_missing:
                    raise StorageError(
                        f"{self.address}: cannot {what}: {one_line(error)}; make the bucket first"
                    ) from error
                if isinstance(error, StorageError) or self._scheme == "file" or not is_passing(error):
                    raise
                silent = time.monotonic() - began
                if silent >= PATIENCE_SECONDS:
                    raise StorageError(
                        f"{self.address}: cannot {what}: {one_line(error)}; it was tried for {silent:.0f} s: "
                        "see that the storage can be reached from here, and start the same again"
                    ) from error
                if silent >= _SAID_AFTER and not has_said:
                    has_said = True
                    log.warning(
                        "%s: cannot %s: %s; trying again for %.0f s",
                        self.address,
                        what,
                        one_line(error),
                        PATIENCE_SECONDS,
                    )
                # Jitter, as all trials of a search meet the same outage.
                time.sleep(random.uniform(wait / 2, wait))
                wait = min(2 * wait, _LONGEST_WAIT)
            else:
                return answer


def _create(path: Path, content: bytes) -> None:
    """Raises FileExistsError where the file is; it is never seen half written."""
    if path.exists():
        raise FileExistsError(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, keep_first=True) as file:
        file.write_bytes(content)
    if path.read_bytes() != content:
        raise FileExistsError(path)
