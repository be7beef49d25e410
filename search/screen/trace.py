"""The traceback of an error that nobody expected, in a file for whoever reports it."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path

NAME = "tune-search-error.txt"


def kept_trace(error: Exception) -> str:
    """Write it into the current folder, else into a temporary one; returns where it is, or itself."""
    trace, reason = "".join(traceback.format_exception(error)), ""
    for place in (Path.cwd, _temporary):
        try:
            file = place() / NAME
            file.write_text(trace, encoding="utf-8", errors="backslashreplace")
        except OSError as refused:
            reason = reason or str(refused.strerror)
        else:
            return f"traceback in {file}"
    return f"the traceback cannot be kept in {NAME} ({reason}); it is\n{trace}"


def _temporary() -> Path:
    """A new folder, as others may write in the one above it."""
    return Path(tempfile.mkdtemp(prefix="tune-search-"))
