"""A local Ray that other users of the machine can neither command nor read.

Ray writes its token, with which anybody may run code in it, readable for all, and makes its session folder
writable for all. So both are made here beforehand, in a way that keeps others out.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from trainables.process.places import socket_folder

_LOCK = "lock"
_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"
LONGEST_IN_SESSION = "session_2026-01-31_23-59-59_123456_1234567/sockets/plasma_store.1"
"""Path of a socket of Ray's in the folder of its sessions."""

_token = secrets.token_hex(32)
"""One for this process: Ray reads it once."""


def user_has_token() -> bool:
    """Whether Ray finds a token of this user, and nobody has said whether it is to be used."""
    file = _token_file()
    known = "RAY_AUTH_TOKEN" in os.environ or (file is not None and file.is_file())
    return known and "RAY_AUTH_MODE" not in os.environ


@contextmanager
def private_token(folder: str | None) -> Iterator[None]:
    """See to it that Ray's token file is there and readable for nobody else.

    Args:
        folder: where it lies meanwhile if this user has no home that can be written.
    """
    if "RAY_AUTH_TOKEN" in os.environ or _is_private(_token_file()):
        yield
        return
    with nullcontext(folder) if folder else TemporaryDirectory(prefix="tune-search-") as place:
        file = Path(place, "auth_token")
        _write_token(file)
        before = os.environ.get(_TOKEN_PATH)
        os.environ[_TOKEN_PATH] = str(file)
        try:
            yield
        finally:
            if before is None:
                del os.environ[_TOKEN_PATH]
            else:
                os.environ[_TOKEN_PATH] = before


def _is_private(file: Path | None) -> bool:
    """Whether Ray can read the file, which is made if possible, and others cannot."""
    if file is None:
        return False
    with suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            _write_token(file)
        elif stat.S_IMODE(file.stat().st_mode) & 0o077:
            file.chmod(0o600)
        return os.access(file, os.R_OK)
    return False


def _write_token(file: Path) -> None:
    with suppress(FileExistsError):  # another search was first
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as out:
            out.write(_token)


def _token_file() -> Path | None:
    """Where Ray looks for it; None without a home, for which Ray asks HOME alone."""
    if named := os.environ.get(_TOKEN_PATH):
        return Path(named)
    return Path(os.environ["HOME"], ".ray", "auth_token") if os.environ.get("HOME") else None


@contextmanager
def private_folder() -> Iterator[str | None]:
    """A folder for Ray's session, removed at the end, as are those of searches that were killed.

    None where the user has chosen one with RAY_TMPDIR.

    Raises:
        ValueError: nowhere can such a folder be made.
    """
    if "RAY_TMPDIR" in os.environ:
        yield None
        return
    prefix = f"tune-search-{os.getuid()}-"
    # Ray puts sockets there, whose paths must be short: not in the run's folder, nor in a long TMPDIR.
    home = socket_folder(below=len(f"/{prefix}12345678/{LONGEST_IN_SESSION}"))
    if home is None:
        raise ValueError(
            "it needs a temporary folder with a short path, and none of /tmp, TMPDIR, /var/tmp, "
            "XDG_RUNTIME_DIR, /dev/shm and HOME is one that can be written; name one with RAY_TMPDIR=FOLDER"
        )
    for left in home.glob(f"{prefix}*"):
        _remove_unless_owned(left)
    # It gets a name that others look for only when it is locked.
    made = Path(tempfile.mkdtemp(prefix="tune-search-new-", dir=home))
    lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    folder = made.rename(home / f"{prefix}{made.name.rpartition('-')[2]}")
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_unless_owned(folder: Path) -> None:
    """Remove the folder of a search that is no more: the kernel has dropped its lock."""
    with suppress(OSError):
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
