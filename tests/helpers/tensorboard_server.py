"""A real TensorBoard server on a folder, and questions to its HTTP API."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVER_SECONDS = 60


@contextmanager
def tensorboard(logdir: Path) -> Iterator[str]:
    """The address of a server that reads `logdir` anew every second."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir)]
    command += ["--host", "127.0.0.1", "--port", "0", "--reload_interval", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield _address(process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SERVER_SECONDS)


def ask(url: str, question: Any = None) -> Any:
    """The JSON that a GET gives, or a POST with a question."""
    data = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=SERVER_SECONDS) as answer:
        return json.load(answer)


def _address(process: subprocess.Popen[str]) -> str:
    """Where the server is, once it says so; pytest's own time limit ends a wait for nothing."""
    assert process.stdout is not None
    output = []
    for line in process.stdout:
        output.append(line)
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found.group()
    raise AssertionError("".join(output))
