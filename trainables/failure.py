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
    """Append the trace of an exception to error.txt of the trial's folder, note its cause, and let it pass."""
    try:
        yield
    except Exception as error:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / TRACE_FILE).open("a") as file:
            file.write("".join(traceback.format_exception(error)) + "\n")
        message = str(error).strip().splitlines()
        cause = {
            "type": type(error).__name__,
            "message": message[0] if message else "",
            "out_of_memory": isinstance(error, torch.OutOfMemoryError | MemoryError),
        }
        (folder / _CAUSE_FILE).write_text(json.dumps(cause))
        raise


def take_failure(folder: Path) -> dict[str, Any] | None:
    """The noted cause of the last exception, once; None if the process died without one."""
    file = folder / _CAUSE_FILE
    try:
        cause = json.loads(file.read_text())
        file.unlink()
        return cause
    except (OSError, ValueError):
        return None
