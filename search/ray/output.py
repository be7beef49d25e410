"""What trials print last is on its way when a search ends, and Ray drops it where its driver is gone."""

from __future__ import annotations

import time
from pathlib import Path

_ON_ITS_WAY = 0.5
"""Seconds that Ray takes to pass a line on: it looks every 0.1 s, and waits as long before Python exits."""


def wait_for_output(logs: Path | None) -> None:
    """Wait until what the trials have printed so far has been passed on to this process.

    Args:
        logs: where Ray's workers write it, if on this machine: nothing is waited for if it was long ago.
    """
    written = time.time() if logs is None else _last_write(logs)
    time.sleep(min(max(written + _ON_ITS_WAY - time.time(), 0.0), _ON_ITS_WAY))


def _last_write(logs: Path) -> float:
    files = (file for ending in ("out", "err") for file in logs.glob(f"worker-*.{ending}"))
    return max((file.stat().st_mtime for file in files), default=0.0)
