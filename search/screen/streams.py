"""The standard streams of a command, which may be closed, go away, be full, or know no UTF-8."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import click

SHOWN = "tune-search-shown"
"""How a character that a stream's encoding does not have is shown."""

_MODES = {"stdin": os.O_RDONLY, "stdout": os.O_WRONLY, "stderr": os.O_WRONLY}


class Lenient:
    """A stream whose loss ends no command: what it cannot take is dropped, as is all that follows."""

    def __init__(self, stream: IO[str]) -> None:
        self.strict = stream
        """The stream itself, which raises."""
        self._file = _identity(stream)
        self.error: OSError | None = None
        """Why it was lost."""

    def write(self, text: str) -> int:
        try:
            return self.strict.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            self.strict.flush()
        except OSError as error:
            self._lose(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.strict, name)

    def _lose(self, error: OSError) -> None:
        if _identity(self.strict) != self._file:
            raise error  # of a file to which it is redirected for a time
        self.error = error
        # What is in the buffer goes there too, also when the interpreter ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.strict.fileno())
        os.close(nowhere)
        self._file = _identity(self.strict)


@contextmanager
def standard_streams() -> Iterator[None]:
    """For a command: streams that are there, take any text, and may be lost.

    Exits with 1 and a line on stderr if the output was lost and the command would exit with 0, unless whoever
    reads it has had enough.
    """
    _open_closed()
    kept = sys.stdout, sys.stderr
    for name, stream in zip(("stdout", "stderr"), kept, strict=True):
        if stream is getattr(sys, f"__{name}__"):  # a caller's own are the caller's
            _take_any_text(stream)
            setattr(sys, name, Lenient(stream))
    try:
        yield
        if lost := _lost_output():
            sys.exit(lost)
    except SystemExit as ending:
        if not ending.code:
            ending.code = _lost_output()
        raise
    finally:
        sys.stdout, sys.stderr = kept


def start_again_if_needed() -> None:
    """Start this program again where Python's own settings keep it from its work.

    Without UTF-8 a path with an umlaut in a configuration is an error wherever it is opened, here and in
    Ray's processes; what is printed keeps the terminal's encoding. With PYTHONOPTIMIZE=2 there are no texts
    for --help, and Ray does not start.
    """
    changed: dict[str, str] = {}
    is_utf8 = codecs.lookup(sys.getfilesystemencoding()).name == "utf-8"
    if not is_utf8 and os.environ.get("PYTHONUTF8") != "1":
        changed["PYTHONUTF8"] = "1"
        if not _is_ascii(encoding_of(sys.stdout)):
            shown = f"{encoding_of(sys.stdout)}:backslashreplace"
            changed["PYTHONIOENCODING"] = os.environ.get("PYTHONIOENCODING", shown)
    if sys.flags.optimize > 1 and os.environ.get("PYTHONOPTIMIZE", "1") != "1":
        changed["PYTHONOPTIMIZE"] = "1"
    if changed:
        os.environ.update(changed)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def say(text: str, otherwise: Path) -> None:
    """Print the text; where the output is lost, append it to a file, and take that for enough."""
    click.echo(text)
    if isinstance(sys.stdout, Lenient) and sys.stdout.error is not None:
        sys.stdout.error = None
        with suppress(OSError), otherwise.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text + "\n")


def strict(stream: IO[str]) -> IO[str]:
    """The stream as one that raises when it is lost."""
    return stream.strict if isinstance(stream, Lenient) else stream


def encoding_of(stream: IO[str] | None) -> str:
    """Of a stream that takes the place of this one."""
    return getattr(stream, "encoding", None) or "utf-8"


def _open_closed() -> None:
    """Open those that were closed: files opened later would get their descriptors, and be written to."""
    for number, (name, mode) in enumerate(_MODES.items()):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # which takes the lowest descriptor that is free
        if getattr(sys, name) is None:
            mode_of_text = "r" if name == "stdin" else "w"
            opened = open(number, mode_of_text, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, opened)
            setattr(sys, f"__{name}__", opened)


def _take_any_text(stream: Any) -> None:
    """A terminal of the locale C shows UTF-8, as Python itself assumes."""
    stream.reconfigure(encoding="utf-8" if _is_ascii(encoding_of(stream)) else None, errors=SHOWN)


def _is_ascii(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "ascii"


def _shown(error: UnicodeError) -> tuple[bytes, int]:
    """Bytes that were no text, as in a file's name, are printed as they are; others by their number."""
    assert isinstance(error, UnicodeEncodeError)
    parts = (
        bytes([ord(char) - 0xDC00])
        if "\udc80" <= char <= "\udcff"
        else char.encode("ascii", "backslashreplace")
        for char in error.object[error.start : error.end]
    )
    return b"".join(parts), error.end


codecs.register_error(SHOWN, _shown)


def _lost_output() -> int:
    """The exit code of a command that is otherwise in order."""
    sys.stdout.flush()
    error = getattr(sys.stdout, "error", None)
    if error is None or error.errno == errno.EPIPE:
        return 0
    click.echo(f"the output could not be written: {error.strerror}", err=True)
    return 1


def _identity(stream: IO[str]) -> tuple[int, int]:
    found = os.fstat(stream.fileno())
    return found.st_dev, found.st_ino
