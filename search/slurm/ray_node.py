"""Ray on one node of a SLURM job: `python -m search.slurm.ray_node address | head A | worker A | wait A N`.

`ray symmetric-run` does the like, but it refuses a node where another job of the same user has a Ray, ends
that one too (`ray stop`), takes one port for all, and gives up where a node needs more than 30 s.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from tempfile import TemporaryFile

from search.errors import SearchError
from search.ray.private import private_folder
from search.ray.session import RaySession
from trainables.process.cores import num_cores

_NODES_SECONDS = 180.0
"""For which Ray is begun again where it ends by itself, and a search waits for all nodes; later ones join it
on the way."""
_POLL_SECONDS = 0.5
_LINES = 20
"""Of what Ray has printed, as the cause."""
_END_SECONDS = 15.0
"""For Ray to end by itself; its processes go with it, or with their job."""


def free_address() -> str:
    """`host:port` of this node, as the others of its job reach it, with a port that is free now.

    Raises:
        SearchError: no other node of the job is known by name.
    """
    return f"{_own_address(_other_node())}:{_free_port()}"


def _other_node() -> str:
    nodes = os.environ["SLURM_JOB_NODELIST"]
    names = subprocess.run(
        ["scontrol", "show", "hostnames", nodes], check=True, capture_output=True, encoding="utf-8"
    ).stdout.split()
    return next(name for name in names if name != os.environ["SLURMD_NODENAME"])


def _own_address(other: str) -> str:
    """Of the interface that leads there: a host's own name may stand for 127.0.1.1."""
    try:
        (family, *_, there) = socket.getaddrinfo(other, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as nothing_is_sent:
            nothing_is_sent.connect(there)
            found = nothing_is_sent.getsockname()[0]
    except OSError as error:
        raise SearchError(f"the node {other} of this job is not known here by its name: {error}") from error
    return f"[{found}]" if family == socket.AF_INET6 else str(found)


def run_ray(role: str, address: str) -> int:
    """Run Ray on this node until SIGTERM, or until it ends by itself; returns an exit code.

    A busy node, or a head that is only just beginning, may need more than one attempt.

    Args:
        role: head, or worker.
        address: of the head.
    """
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: asked.append(number))
    deadline = time.monotonic() + _NODES_SECONDS
    while True:
        with private_folder() as folder, TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            process = subprocess.Popen(_ray_start(role, address, folder), stdout=said, stderr=said)
            if _ended(process, asked):
                return 0
            if time.monotonic() > deadline:
                said.seek(0)
                code = f"exit code {process.returncode}"
                print(f"{socket.gethostname()}: Ray has ended by itself ({code})", file=sys.stderr)
                print("".join(said.readlines()[-_LINES:]), file=sys.stderr)
                return 1
        time.sleep(_POLL_SECONDS)


def _ended(process: subprocess.Popen[bytes], asked: Sequence[int]) -> bool:
    """Wait for the end of the process, which is ended when somebody has asked for it; returns whether so."""
    while process.poll() is None and not asked:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
    if not asked:
        return False
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    process.kill()
    return True


def _ray_start(role: str, address: str, folder: str | None) -> list[str]:
    host, _, port = address.rpartition(":")
    place = [f"--address={address}"]
    if role == "head":
        place = [
            "--head",
            f"--node-ip-address={host.strip('[]')}",
            f"--port={port}",
            "--include-dashboard=false",
        ]
        place += [f"--ray-client-server-port={_free_port()}"]
    # Fixed ports would be those of another job's Ray on this node.
    ports = ["--min-worker-port=0", "--max-worker-port=0", f"--dashboard-agent-listen-port={_free_port()}"]
    options = [f"--num-cpus={num_cores()}", "--disable-usage-stats", "--block"]
    own = [f"--temp-dir={folder}"] if folder else []
    return [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", *place, *ports, *options, *own]


def wait_for_nodes(address: str, number: int) -> str:
    """Wait for the head, and for a while for all nodes; returns a line about those that are not there.

    Raises:
        SearchError: the head cannot be reached.
    """
    deadline = time.monotonic() + _NODES_SECONDS
    session = _joined(address, deadline)
    try:
        while (found := len(session.hosts())) < number and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    finally:
        session.close()
    if found >= number:
        return ""
    return (
        f"{found} of {number} nodes have begun within {_NODES_SECONDS:g} s: the search begins on these, "
        "and takes the others when they join"
    )


def _joined(address: str, deadline: float) -> RaySession:
    """The Ray at the address, which may only be beginning: then it listens before it answers."""
    while True:
        session = RaySession(address)
        try:
            if _listens(address) or time.monotonic() > deadline:
                session.wait_until_ready()
                return session
        except SearchError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_SECONDS)


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 1.0).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("", 0))
        return int(listening.getsockname()[1])


def main(words: list[str]) -> int:
    """What the batch script calls; see the top of this file."""
    if words == ["address"]:
        print(free_address())
        return 0
    if words[0] == "wait":
        _, address, number = words
        if line := wait_for_nodes(address, int(number)):
            print(line)
        return 0
    role, address = words
    return run_ray(role, address)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (SearchError, ValueError) as error:
        sys.exit(f"{socket.gethostname()}: {error}")
