"""A real optuna-dashboard server on a journal, and questions to its API."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER_SECONDS = 60
_SERVER = """
import sys
from wsgiref.simple_server import make_server
from optuna_dashboard import wsgi
from optuna_dashboard._storage_url import get_storage
server = make_server("127.0.0.1", 0, wsgi(get_storage(sys.argv[1])))
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""
"""What the command does, on a port that is free."""


@contextmanager
def optuna_dashboard(journal: Path) -> Iterator[str]:
    """The address of a server that shows the studies in a journal."""
    command = [sys.executable, "-c", _SERVER, str(journal)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield _address(process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SERVER_SECONDS)


def _address(process: subprocess.Popen[str]) -> str:
    """Where the server is, once it says so; pytest's own time limit ends a wait for nothing."""
    assert process.stdout is not None
    output = []
    for line in process.stdout:
        output.append(line)
        if found := re.match(r"http://127\.0\.0\.1:\d+", line):
            return found.group()
    raise AssertionError("".join(output))
