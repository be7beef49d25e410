"""The other ranks of a trial as plain processes, without Ray: rank 0 is the process of the test."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from trainables.ranks.join import leave
from trainables.ranks.team import Answer, LostPeerError, Team
from trainables.workers.rank_worker import RankWorker


def serve(pipe: Connection, path: list[str]) -> None:
    """Answer calls until the other end is closed."""
    sys.path[:] = path
    worker = RankWorker()
    try:
        while True:
            method, arguments = pipe.recv()
            pipe.send(getattr(worker, method)(*arguments))
    except (EOFError, OSError):
        worker.end()
    os._exit(0)  # whatever the other ranks do


class Peer:
    """A rank in a process of its own."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self.process = context.Process(target=serve, args=(there, sys.path), daemon=False)
        self.process.start()
        there.close()

    def call(self, method: str, *arguments: Any) -> Call:
        self._pipe.send((method, arguments))
        return Call(self._pipe)

    def close(self) -> None:
        self._pipe.close()
        self.process.join(30)
        self.process.kill()
        self.process.join()


class Call:
    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._answer: Answer | None = None
        self._lost = False

    def is_done(self) -> bool:
        return self._answer is not None or self._lost or self._take(0.0)

    def answer(self, seconds: float) -> Answer:
        if self._answer is None and not self._lost and not self._take(seconds):
            raise TimeoutError
        if self._answer is None:
            raise LostPeerError("its pipe is closed")
        return self._answer

    def _take(self, seconds: float) -> bool:
        try:
            if not self._pipe.poll(seconds):
                return False
            self._answer = self._pipe.recv()
        except (EOFError, OSError):
            self._lost = True
        return True


@contextmanager
def team_of(size: int, **arguments: Any) -> Iterator[tuple[Team, list[Peer]]]:
    """A team whose rank 0 is this process; its processes are gone afterwards."""
    peers = [Peer() for _ in range(1, size)]
    team = Team(peers, "127.0.0.1", **arguments)
    try:
        yield team, peers
    finally:
        leave()
        for peer in peers:
            if peer.process.is_alive() and (status := state_of(peer.process.pid)) in ("T", "t"):
                assert status
                os.kill(peer.process.pid, signal.SIGCONT)
        team.close()


def state_of(process: int | None) -> str:
    """The state of a process as Linux has it: R, S, T (stopped), …; empty if there is none."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def wait_until(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
