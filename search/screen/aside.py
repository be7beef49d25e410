"""Keeps the output of a command clean of what Ray and the trials' processes print."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from search.screen.streams import SHOWN, encoding_of


@contextmanager
def output_aside(file: Path) -> Iterator[IO[str]]:
    """Send all that is written to stdout and stderr into a file; yields a stream to the real stderr.

    Ray's processes write to the descriptors 1 and 2 of this one, so the descriptors are redirected.
    """
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.flush()
    kept = os.dup(1), os.dup(2)
    shown = os.fdopen(os.dup(2), "w", 1, encoding=encoding_of(sys.stderr), errors=SHOWN)
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield shown
    finally:
        for stream, descriptor, original in zip(streams, (1, 2), kept, strict=True):
            # Output that a full disk has no room for is lost.
            with suppress(OSError):
                stream.flush()
            os.dup2(original, descriptor)
            os.close(original)
        os.close(log)
        with suppress(OSError):
            shown.close()
