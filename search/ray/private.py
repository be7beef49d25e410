"""A local Ray that other users of the machine can neither command nor read.

Ray writes its token, with which anybody may run code in it, readable for all, and makes its session folder
writable for all. So both are made here beforehand, in a way that keeps others out.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK = "lock"


def user_has_token() -> bool:
    """Whether Ray finds a token of this user, and nobody has said whether it is to be used."""
    known = "RAY_AUTH_TOKEN" in os.environ or _token_file().is_file()
    return known and "RAY_AUTH_MODE" not in os.environ


def make_token_private() -> None:
    """See to it that Ray's token file is there and readable for nobody else."""
    if "RAY_AUTH_TOKEN" in os.environ:
        return
    file = _token_file()
    # Where this cannot be done Ray itself says what it needs.
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            file.chmod(0o600)
            return
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_hex(32))


def _token_file() -> Path:
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


@contextmanager
def private_folder() -> Iterator[str | None]:
    """A folder for Ray's session, removed at the end, as are those of searches that were killed.

    None where the user has chosen one with RAY_TMPDIR.
    """
    if "RAY_TMPDIR" in os.environ:
        yield None
        return
    # Ray puts sockets there, whose paths must be short: not in the run's folder, nor in a long TMPDIR.
    home = Path("/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir())
    prefix = f"tune-search-{os.getuid()}-"
    for left in home.glob(f"{prefix}*"):
        _remove_unless_owned(left)
    # It gets a name that others look for only when it is locked.
    made = Path(tempfile.mkdtemp(prefix="tune-search-new-", dir=home))
    lock = os.open(made / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    folder = made.rename(home / f"{prefix}{os.getpid()}-{made.name.rpartition('-')[2]}")
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
