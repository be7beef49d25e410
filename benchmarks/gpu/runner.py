"""Makes checks one after the other; one that raises, hangs or kills its process is a failed line."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from benchmarks.gpu.check import Check, Line, Status, failed, skipped
from benchmarks.measuring import ROOT

LEAST_SECONDS = 3.0
"""With less left no check is begun."""
_START_SECONDS = 150.0
"""For the imports of a process, on a disk that has not read them before; not of a check's time."""


class Process(Protocol):
    """A process that makes checks."""

    def make(self, check: Check, seconds: float) -> Line:
        """The check's line, also where the process dies of it or takes longer."""
        ...

    def close(self) -> None:
        """End it, and what it has started."""
        ...


def make_all(
    checks: Sequence[Check],
    start: Callable[[], Process],
    *,
    seconds: float,
    on_gpu: bool,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Line]:
    """The line of each check. After one that failed, or is to be alone, the next gets a new process.

    Args:
        start: starts a process.
        seconds: for all of them; what is left then is skipped.
        on_gpu: whether those that need a GPU can be made.
    """
    ends, process = clock() + seconds, None
    try:
        for check in checks:
            left = ends - clock()
            if check.needs_gpu and not on_gpu:
                yield skipped(check, "there is no GPU here")
                continue
            if left < LEAST_SECONDS:
                yield skipped(check, f"the {seconds:g} s for all checks are over")
                continue
            if check.fresh and process is not None:
                process.close()
                process = None
            process = process or start()
            line = process.make(check, min(check.seconds, left))
            if check.fresh or line.status is Status.FAILED:
                process.close()
                process = None
            yield line
    finally:
        if process is not None:
            process.close()


class CheckProcess:
    """`benchmarks.gpu.process` in a session of its own, so that nothing that a check started is left.

    Args:
        device: `cuda` or `cpu`.
        log: file to which goes what checks print.
        table: the module whose `CHECKS` they are.
    """

    def __init__(self, device: str, log: Path, table: str = "benchmarks.gpu.checks") -> None:
        self._is_ready = False
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.gpu.process", device, table],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                cwd=ROOT,
                env=_environment(),
                start_new_session=True,
            )

    def make(self, check: Check, seconds: float) -> Line:
        if not self._is_ready:
            began = time.monotonic()
            if not self._answer(began + _START_SECONDS):
                return failed(
                    check, "its process could not be started, see the log", time.monotonic() - began
                )
            self._is_ready = True
        began = time.monotonic()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{check.name}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return failed(check, self._end_of(), time.monotonic() - began)
        answer = self._answer(began + seconds)
        spent = time.monotonic() - began
        if answer is None:
            return failed(check, f"it took longer than {seconds:.0f} s", spent)
        if not answer:
            return failed(check, self._end_of(), spent)
        values: dict[str, Any] = json.loads(answer)
        return Line(**{**values, "status": Status(values["status"])})

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _answer(self, ends: float) -> bytes | None:
        """A line; empty where the process has ended, None where it says nothing in time."""
        assert self._process.stdout is not None
        found = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not found.endswith(b"\n"):
                if not selector.select(max(0.0, ends - time.monotonic())):
                    return None
                part = os.read(self._process.stdout.fileno(), 65536)
                if not part:
                    return b""
                found += part
        return found

    def _end_of(self) -> str:
        code = self._process.wait()
        return f"its process died ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"}
