"""What a trial's process leaves behind of an exception: the trace for people, the cause for the search."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

TRACE_FILE = "error.txt"
_CAUSE_FILE = ".failure.json"


@contextmanager
def recorded_failure(folder: Path) -> Iterator[None]:
    """Append an exception's trace to error.txt of the trial's folder, note its cause, and let it pass."""
    try:
        yield
    except Exception as error:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / TRACE_FILE).open("a") as file:
            file.write("".join(traceback.format_exception(error)) + "\n")
        cause = {
            "type": type(error).__name__,
            "message": _first_line(error),
            "out_of_memory": _is_out_of_memory(error),
        }
        (folder / _CAUSE_FILE).write_text(json.dumps(cause))
        raise


def _first_line(error: Exception) -> str:
    # A KeyError shows its text as a literal, in quotes.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return next(iter(str(text).strip().splitlines()), "")


def _is_out_of_memory(error: Exception) -> bool:
    # Torch reports a full CPU memory as a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def take_failure(folder: Path) -> dict[str, Any] | None:
    """The noted cause of the last exception, once; None if the process died without one."""
    file = folder / _CAUSE_FILE
    try:
        cause = json.loads(file.read_text())
        file.unlink()
        return cause
    except (OSError, ValueError):
        return None
