"""A real MLflow server with a database of SQLite, and what it holds of a run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from patience import PATIENCE


@dataclass
class Server:
    address: str
    process: subprocess.Popen[bytes] = field(repr=False)

    def signal(self, number: int) -> None:
        """To the server and the processes that it works with."""
        os.killpg(self.process.pid, number)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """A server that keeps all in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        _wait_until_it_answers(server, folder)
        yield server
    finally:
        server.signal(signal.SIGCONT)
        server.signal(signal.SIGTERM)
        process.wait(PATIENCE)


def _wait_until_it_answers(server: Server, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(f"{server.address}/health", timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise AssertionError((folder / "server.log").read_text())


@dataclass
class Held:
    """What a server holds of an experiment."""

    client: MlflowClient
    runs: list[Run]

    @classmethod
    def of(cls, server: str, experiment: str) -> Held:
        client = MlflowClient(server)
        found = client.get_experiment_by_name(experiment)
        return cls(client, [] if found is None else list(client.search_runs([found.experiment_id])))

    @property
    def search(self) -> Run:
        (search,) = (run for run in self.runs if "mlflow.parentRunId" not in run.data.tags)
        return search

    def trial(self, name: int | str) -> Run:
        (trial,) = (run for run in self.runs if run.info.run_name == f"trial {name}")
        return trial

    def history(self, run: Run, metric: str) -> list[tuple[int, float]]:
        """Step and value of each entry, as they were written: one that is there twice is here twice."""
        entries = self.client.get_metric_history(run.info.run_id, metric)
        return sorted((entry.step, entry.value) for entry in entries)
