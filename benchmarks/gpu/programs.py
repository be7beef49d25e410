"""Processes that checks start, each with a line of JSON to say, and what the driver says of memory."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from benchmarks.gpu.check import Skip

_MEGABYTE = 2**20


class Program:
    """`python -m MODULE ARGUMENTS`, whose standard input stays open until `close`."""

    def __init__(
        self, module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )

    def answer(self, seconds: float) -> dict[str, Any]:
        """Its next line.

        Raises:
            AssertionError: it has ended without one, or says nothing in time.
        """
        assert self._process.stdout is not None
        ends, found = time.monotonic() + seconds, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not found.endswith(b"\n"):
                if not selector.select(max(0.0, ends - time.monotonic())):
                    raise AssertionError(f"{self._process.args!r} said nothing within {seconds:.0f} s")
                part = os.read(self._process.stdout.fileno(), 65536)
                if not part:
                    raise AssertionError(
                        f"{self._process.args!r} ended with exit code {self._process.wait()}"
                    )
                found += part
        return json.loads(found)

    def go_on(self) -> None:
        """Give it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """Let it end; it is killed where it does not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


@contextmanager
def running(
    module: str, arguments: Sequence[str], number: int, environment: Mapping[str, str] | None = None
) -> Iterator[list[Program]]:
    """So many of it at once, ended at the end."""
    programs = [Program(module, arguments, environment) for _ in range(number)]
    try:
        yield programs
    finally:
        for program in programs:
            program.close()


def device_memory() -> tuple[int, int]:
    """Bytes in use on the first GPU and in all, as nvidia-smi says; a process needs no context to ask.

    Raises:
        Skip: it is not there, or does not say.
    """
    command = [
        "nvidia-smi",
        "--query-gpu=memory.used,memory.total",
        "--format=csv,noheader,nounits",
        "-i",
        "0",
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=20, encoding="utf-8"
        )
        used, total = (int(part) * _MEGABYTE for part in done.stdout.strip().split(","))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise Skip(f"nvidia-smi does not say how much memory is in use: {error}") from error
    return used, total
