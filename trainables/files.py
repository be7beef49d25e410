"""Files and folders that are written atomically: to a temporary name, synced, then renamed.

A file in progress is `.NAME.partial` next to `NAME`. A killed process leaves no other trace, and whatever
has such a name may be removed when nobody writes there.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

_PATTERN = ".*.partial"
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)


def partial_path(path: Path) -> Path:
    """Where `path` is written before it gets its name."""
    return path.with_name(f".{path.name}.partial")


def clock_of(folder: Path) -> float:
    """Seconds by the clock that dates files of the folder: a file server's may differ from this machine's.

    Raises:
        OSError: nothing can be written there.
    """
    probe = partial_path(folder / f"clock.{uuid.uuid4().hex[:8]}")
    try:
        probe.write_bytes(b"")
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def list_partial(folder: Path) -> list[Path]:
    """What is being written in a folder, or was when a process died; sorted."""
    return sorted(folder.glob(_PATTERN))


@contextmanager
def atomic_file(path: Path, *, many_writers: bool = False, keep_first: bool = False) -> Iterator[Path]:
    """Yields a path to write at, which becomes `path` when the block ends and is removed after an error.

    Args:
        many_writers: several processes may write the file at once, each beside the others; the last one wins.
        keep_first: of several processes, the first one wins.

    Raises:
        OSError: the file cannot be written; what was there before stays.
    """
    name = f"{path.name}.{uuid.uuid4().hex[:8]}" if many_writers or keep_first else path.name
    partial = partial_path(path.with_name(name))
    try:
        yield partial
        sync(partial)
        if keep_first:
            _link(partial, path)
        else:
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # the link has a name of its own
    sync(path.parent)


def atomic_write(path: Path, content: str | bytes, *, many_writers: bool = False) -> None:
    """Write a whole file as `atomic_file` does; text is UTF-8."""
    with atomic_file(path, many_writers=many_writers) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_folder(
    path: Path, *, writer: str = "", before: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """Yields an empty folder to fill, which becomes `path` when the block ends and is removed after an error.

    A folder that exists is replaced. Between the two renames that this takes it is `.NAME.old`, from which
    `restore_folder` puts it back if the process died there.

    Args:
        writer: a part of the temporary name, where several processes may write the folder at once.
        before: called when all is written and synced, before the folder gets its name; may raise.

    Raises:
        OSError: the disk is full or cannot be written; what was there before stays.
    """
    restore_folder(path)
    partial = partial_path(path.with_name(f"{path.name}{writer}"))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        for file in partial.rglob("*"):
            sync(file)
        sync(partial)
        before()
        replaced = path.exists()
        if replaced:
            path.rename(_old(path))
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        restore_folder(path)
        raise
    if replaced:
        shutil.rmtree(_old(path), ignore_errors=True)
    sync(path.parent)


def restore_folder(path: Path) -> None:
    """Put back the folder that was about to be replaced, or remove it if the new one is there."""
    old = _old(path)
    if old.exists() and not path.exists():
        old.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def discard(path: Path) -> None:
    """Remove a file or folder. A folder is renamed first: half of one must not pass for a whole one.

    Raises:
        OSError: it cannot be removed.
    """
    if not path.is_dir():
        path.unlink()
        return
    if not path.match(_PATTERN):
        hidden = partial_path(path.with_name(f"{path.name}.removed"))
        shutil.rmtree(hidden, ignore_errors=True)
        path = path.rename(hidden)
    shutil.rmtree(path)


def discard_all(paths: Iterable[Path]) -> None:
    """Remove those of these files and folders that can be removed."""
    for path in paths:
        with suppress(OSError):
            discard(path)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def system_errors() -> Iterator[None]:
    """Raise the system's OSError; safetensors and torch wrap it in errors of their own."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        found = re.search(r"os error (\d+)", str(error))
        number = int(found[1]) if found else getattr(error.__context__, "errno", None)
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from error


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Name the folder in an error of the system that names no file, such as a full disk's."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(folder)
        raise


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _link(partial: Path, path: Path) -> None:
    """Give the file its name unless another file has it."""
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        partial.replace(path)
