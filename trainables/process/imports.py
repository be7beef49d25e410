"""Imports a module of the user's own so that what it does to its process at the top level goes no further."""

from __future__ import annotations

import importlib
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from types import ModuleType
from typing import Any, TextIO

import torch

from trainables.process.causes import place_of
from trainables.process.process_state import HANDLED, restore_handlers

log = logging.getLogger(__name__)

_MAX_PRINTED = 10_000
"""Characters that a module may print while it is imported."""
_THREAD = (
    "the module %s starts the thread %s when it is imported, also in each trial's process; start it in "
    "build_model() with daemon=True"
)
_DEVICES = "CUDA_VISIBLE_DEVICES"

_beginning: set[str] = set()
"""Modules whose import has not ended."""


class ExitOnImportError(ImportError):
    """A module does what a program does when it is imported: it ends this one, or begins a search."""


class Bounded(io.TextIOBase):
    """Passes text on to a stream up to a number of characters, and says once that more is left out.

    Args:
        stream: that gets the text.
        limit: of characters.
        who: prints, for the message.
    """

    def __init__(self, stream: TextIO, limit: int, who: str) -> None:
        self._stream, self._limit, self._who = stream, limit, who
        self._left = limit
        self.tail = ""
        """The last line so far."""

    def renew(self, who: str) -> None:
        """Begin to count anew, for someone else."""
        self._who, self._left = who, self._limit

    def write(self, text: str, /) -> int:
        self.tail = next((line for line in reversed(text[-1000:].splitlines()) if line.strip()), self.tail)
        if self._left >= 0:
            kept, self._left = text[: self._left], self._left - len(text)
            self._stream.write(kept)
            if self._left < 0:
                more = f"{self._who} has printed more than {self._limit:,} characters"
                self._stream.write(f"\n({more}; the rest is left out)\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True


def import_own(name: str, folders: Sequence[str] = ()) -> ModuleType:
    """Import a module of the user's, which is looked for in these folders after the installed packages.

    It sees no arguments. The current folder, streams, signal handlers, filters of warnings, the visible GPUs
    and torch's defaults are afterwards what they were; where the module may mind, a warning says so.

    Raises:
        ExitOnImportError: it ended the program, or began a search.
        Exception: whatever it raises.
    """
    sys.path.extend(folder for folder in folders if folder not in sys.path and os.path.isdir(folder))
    importlib.invalidate_caches()
    if name in _beginning:
        raise ExitOnImportError(
            "it begins a search, a check or the like when it is imported; put that under "
            '`if __name__ == "__main__":`'
        )
    if name in sys.modules:
        return sys.modules[name]
    err = Bounded(sys.stderr, _MAX_PRINTED, f"the module {name}")
    with _undone(name), redirect_stdout(_bounded(sys.stdout, name)), redirect_stderr(err):  # type: ignore[type-var]
        try:
            _beginning.add(name)
            return importlib.import_module(name)
        except SystemExit as error:
            raise ExitOnImportError(_exit_text(name, error, err.tail)) from error
        finally:
            _beginning.discard(name)


def _bounded(stream: TextIO, name: str) -> Bounded:
    return Bounded(stream, _MAX_PRINTED, f"the module {name}")


def _exit_text(name: str, error: SystemExit, printed: str) -> str:
    said = error.code if isinstance(error.code, str) else printed if error.code else ""
    place = f" ({place})" if (place := place_of(error)) else ""
    said = f": {said}" if said else ""
    return (
        f"it ends the program when it is imported{place}{said}; put what a script does, the parsing of "
        'arguments too, under `if __name__ == "__main__":`'
    )


@contextmanager
def _undone(name: str) -> Iterator[None]:
    """Put back what the module changes of its process."""
    argv, folder, umask = sys.argv, os.getcwd(), _umask()
    handlers = {number: signal.getsignal(number) for number in HANDLED}
    devices, filters = os.environ.get(_DEVICES), list(warnings.filters)
    torch_state, threads = _TorchDefaults(), set(threading.enumerate())
    recursion = sys.getrecursionlimit()
    sys.argv = [name]
    try:
        yield
    finally:
        sys.argv = argv
        os.umask(umask)
        sys.setrecursionlimit(max(recursion, sys.getrecursionlimit()))
        warnings.filters[:] = filters  # type: ignore[index]
        restore_handlers(handlers)
        for thread in set(threading.enumerate()) - threads:
            if not thread.daemon:
                log.warning(_THREAD, name, thread.name)
        _restore_folder(name, folder)
        _restore_devices(name, devices)
        for what in torch_state.restore():
            instead = "each trial begins with torch's own: do that in build_model()"
            _say(name, f"changes torch's {what}", instead)


def _umask() -> int:
    """The present umask; it can only be read by setting it."""
    found = os.umask(0o077)
    os.umask(found)
    return found


def _restore_folder(name: str, folder: str) -> None:
    with suppress(OSError):  # the module has removed where it was
        if os.getcwd() == folder:
            return
        _say(
            name,
            f"changes the current folder to {os.getcwd()}",
            f"paths that are not absolute are taken from {folder}",
        )
    os.chdir(folder)


def _restore_devices(name: str, devices: str | None) -> None:
    if os.environ.get(_DEVICES) == devices:
        return
    changed = os.environ.pop(_DEVICES, "")
    if devices is not None:
        os.environ[_DEVICES] = devices
    way = "each trial gets its GPU by resources.gpus_per_trial"
    _say(name, f"sets {_DEVICES} to {changed!r}", f"{way}; set it in the shell to restrict the whole search")


def _say(name: str, what: str, instead: str) -> None:
    log.warning("the module %s %s when it is imported; that is undone: %s", name, what, instead)


class _TorchDefaults:
    """Torch's defaults as they are now."""

    _KINDS: tuple[tuple[str, Callable[[], Any], Callable[[Any], Any]], ...] = (
        ("default dtype", torch.get_default_dtype, torch.set_default_dtype),
        ("default device", torch.get_default_device, torch.set_default_device),
        ("mode of gradients", torch.is_grad_enabled, torch.set_grad_enabled),
    )

    def __init__(self) -> None:
        self._before = [get() for _, get, _ in self._KINDS]

    def restore(self) -> Iterator[str]:
        """Put them back; yields the names of those that had changed."""
        for (what, get, put), before in zip(self._KINDS, self._before, strict=True):
            if get() != before:
                put(None if what == "default device" and before == torch.device("cpu") else before)
                yield what
