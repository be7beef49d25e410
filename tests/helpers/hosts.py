"""A cluster of hosts that share nothing but what a test shares: each is a set of Linux namespaces.

A host has a network, a file system view, processes and a name of its own, and a raylet in them. The bridge
that joins the hosts is in a namespace of its own too, so that nothing of it is seen outside, and two tests at
once have one each. A namespace goes with its last process, and the first process of each host ends when the
test's process does, however that ends: nothing has to be removed.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE
from programs import HELPERS, PROGRAM, ROOT

_NETWORK = "10.77.0"
_PORT = 6379
_REDIS_PORT = 6400
_STORE_BYTES = 100_000_000
_ATTEMPTS = 3
"""To start Ray, which gives up after 30 s by itself, as on a busy machine."""
_OUTSIDE = "/mnt"
"""Where a host has the file system that it was made in: what is shared is bound from there."""
_OWN = ("/tmp", "/var/tmp", "/dev/shm")
"""Folders of which each host has its own, empty at first."""
_HOME = "/tmp/home"

_MOUNTS = """
hostname "$1"
mount --make-rprivate /
mount --rbind / {outside}
mount -t proc proc /proc
for own in {own}; do mount -t tmpfs -o size=4g,mode=1777 tmpfs "$own"; done
mkdir -p {home}
for seen in {seen}; do mkdir -p "$seen"; mount --bind "{outside}$seen" "$seen"; done
"""
"""Its name, and a view of the file system that is its own but for what `seen` names."""

_FIRST = """
set -e
read -r pid _ </proc/self/stat
echo "$pid"
read -r _
{mounts}
ip link set lo up
ip link set eth0 up
ip addr add "$2/24" dev eth0
ip route add default dev eth0
echo "$3" | tr ' ' '\\n' | sed 's/=/ /' >{home}/hosts
mount --bind {home}/hosts /etc/hosts
echo ready
read -r _
"""
"""The first process of a host, which waits for the end of its input; bash, as it reaps what others leave."""


class Host:
    """A host of a cluster; `run` and `start` are for commands on it."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        self.address = f"{_NETWORK}.{number}"
        self.port = f"p{number}"
        """The end of its cable at the bridge."""
        self.keeper = subprocess.Popen(
            [
                *("unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child"),
                *("bash", "-c", _script(_FIRST), "host", name, self.address, _names()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._first = int(self._said() or 0)
        """Its first process, by its number here."""

    def go_on(self) -> None:
        """Its cable has been laid: mount what is its own."""
        self._say("go")
        said = self._said()
        assert said == "ready", f"{self.name}: {self.keeper.communicate()[1]}"

    def inside(self, *command: str, env: Mapping[str, str] | None = None) -> list[str]:
        """The command that runs this one on the host, from here."""
        variables = {
            "HOME": _HOME,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{HELPERS}",
            "RAY_USAGE_STATS_ENABLED": "0",
            **(env or {}),
        }
        unset = [word for name in os.environ if name.startswith("RAY_") for word in ("-u", name)]
        set_ = [f"{name}={value}" for name, value in variables.items()]
        enter = ["nsenter", "-t", str(self._first), "--net", "--mount", "--uts", "--pid"]
        return [*enter, "--", "env", *unset, *set_, *command]

    def run(
        self, *command: str, cwd: str = _HOME, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, in a folder of the host."""
        return subprocess.run(
            self._in_folder(cwd, command, env), capture_output=True, text=True, timeout=PATIENCE
        )

    def start(
        self, *command: str, cwd: str = _HOME, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start, in a folder of the host; what it prints is in one pipe."""
        return subprocess.Popen(
            self._in_folder(cwd, command, env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def search(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """`tune-search …` on this host, to its end."""
        return self.run(*PROGRAM, *args, **options)

    def share(self, folder: Path, at: str | None = None) -> str:
        """Give the host a folder from here, at this path or another one; returns it."""
        at = str(folder) if at is None else at
        self._sh('mkdir -p "$2" && mount --bind "$1" "$2"', f"{_OUTSIDE}{folder}", at)
        return at

    def hide(self, *folders: str) -> None:
        """From now on the host has empty folders in their places."""
        for folder in folders:
            self._sh('mount -t tmpfs tmpfs "$1"', folder)

    def join(self, head: Host, *options: str, env: Mapping[str, str] | None = None) -> None:
        """Start Ray on it, as the head if it is that."""
        role = ["--head", f"--port={_PORT}", "--include-dashboard=false"]
        if head is not self:
            role = [f"--address={head.address}:{_PORT}"]
        for _ in range(_ATTEMPTS):
            done = self.run(
                *("ray", "start", *role, f"--node-ip-address={self.address}"),
                *(f"--object-store-memory={_STORE_BYTES}", "--disable-usage-stats", *options),
                env={"RAY_worker_niceness": "0", **(env or {})},
            )
            if "timed out during startup" not in f"{done.stdout}{done.stderr}":
                break
            self.run("ray", "stop", "--force")
        assert done.returncode == 0, f"{self.name}: {done.stdout}{done.stderr}"

    def kill(self) -> None:
        """End all of its processes at once, as when the power is cut, but that the others hear of it."""
        self.keeper.kill()  # and the kernel its child, and all others of the host with that one
        self.keeper.communicate()

    def _in_folder(self, folder: str, command: Sequence[str], env: Mapping[str, str] | None) -> list[str]:
        return self.inside("bash", "-c", 'cd "$0" && exec "$@"', folder, *command, env=env)

    def _sh(self, script: str, *args: str) -> None:
        done = self.run("sh", "-c", script, "sh", *args)
        assert done.returncode == 0, f"{self.name}: {script} {args}: {done.stderr}"

    def _say(self, text: str) -> None:
        assert self.keeper.stdin is not None
        self.keeper.stdin.write(f"{text}\n")
        self.keeper.stdin.flush()

    def _said(self) -> str:
        assert self.keeper.stdout is not None
        return self.keeper.stdout.readline().strip()


class Hosts:
    """The hosts of one cluster, joined by a bridge; the first is the head, see `cluster_of_hosts`."""

    def __init__(self) -> None:
        # `cat` ends with its input, which comes with the end of this process.
        self._bridge = subprocess.Popen(["unshare", "--net", "sh", "-c", _BRIDGE], stdin=-1, stdout=-1)
        assert self._bridge.stdout is not None
        self._bridge.stdout.readline()
        self.hosts: dict[str, Host] = {}

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    @property
    def head(self) -> Host:
        return self.hosts["head"]

    @property
    def address(self) -> str:
        """Of the cluster, as for `--address`."""
        return f"{self.head.address}:{_PORT}"

    def add(self, name: str, shared: Path | None = None) -> Host:
        """A further host, with its cable, and a folder that is shared; Ray is not started there."""
        host = Host(name, len(self.hosts) + 1)
        self.hosts[name] = host
        ends = f"link add {host.port} type veth peer name eth0 netns {host.keeper.pid}"
        for words in (ends, f"link set {host.port} master bridge0", f"link set {host.port} up"):
            self._on_bridge("ip", *words.split())
        host.go_on()
        if shared is not None:
            host.share(shared)
        return host

    def cut(self, host: Host) -> None:
        """Pull its cable: it lives on, and nobody hears of it."""
        self._on_bridge("ip", "link", "set", host.port, "down")

    def heal(self, host: Host) -> None:
        """Plug its cable in again."""
        self._on_bridge("ip", "link", "set", host.port, "up")

    def slow(self, host: Host, *, ms: float = 0.0, loss: float = 0.0) -> None:
        """Packets to the host take so many ms more, and so many percent are lost; may skip the test."""
        words = f"qdisc replace dev {host.port} root netem delay {ms:g}ms loss {loss:g}%"
        done = subprocess.run(self._command("tc", *words.split()), capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"this kernel cannot delay packets (netem): {done.stderr.strip()}")

    def living(self) -> set[str]:
        """Names of the hosts that Ray holds for living."""
        code = (
            "import json, ray; ray.init('auto', log_to_driver=False); "
            "print('NODES', json.dumps(ray.nodes()), flush=True)"
        )
        done = self.head.run(sys.executable, "-c", code)
        assert done.returncode == 0, done.stderr
        # Ray may say that a node has died, before and after it.
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("NODES "))
        nodes = json.loads(line.removeprefix("NODES "))
        return {node["NodeManagerHostname"] for node in nodes if node["Alive"]}

    def close(self) -> None:
        """End all of it."""
        for host in self.hosts.values():
            host.kill()
        self._bridge.communicate()

    def _on_bridge(self, *command: str) -> None:
        subprocess.run(self._command(*command), check=True)

    def _command(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self._bridge.pid), "--net", "--", *command]


def _in_redis(host: Host) -> dict[str, str]:
    """The variables with which Ray keeps its tables in a Redis on the host."""
    return {"RAY_REDIS_ADDRESS": f"{host.address}:{_REDIS_PORT}"}


_BRIDGE = "ip link add name bridge0 type bridge && ip link set bridge0 up && echo ready && exec cat"


def _script(script: str) -> str:
    """Of a host's first process; this program and the environment that it runs in are seen there."""
    needed = sorted({ROOT, Path(sys.prefix), Path(sys.base_prefix)})
    seen = [shlex.quote(str(path)) for path in needed if any(path.is_relative_to(own) for own in _OWN)]
    mounts = _MOUNTS.format(own=" ".join(_OWN), outside=_OUTSIDE, home=_HOME, seen=" ".join(seen))
    return script.format(home=_HOME, mounts=mounts)


def _names() -> str:
    """Names and addresses of all hosts that there may be, for /etc/hosts."""
    names = ["head", *(f"w{number}" for number in range(1, 9))]
    numbered = [f"{_NETWORK}.{number}={name}" for number, name in enumerate(names, 1)]
    return " ".join(["127.0.0.1=localhost", *numbered])


@contextmanager
def cluster_of_hosts(
    *workers: Sequence[str],
    shared: Path | None = None,
    head: Sequence[str] = ("--num-cpus=0",),
    redis: bool = False,
) -> Iterator[Hosts]:
    """A cluster of a head and workers w1, w2, …; skips where the system does not allow namespaces.

    Args:
        workers: options of `ray start` on each.
        shared: a folder that all of them have, at the same path.
        head: its options; it runs no trials by default.
        redis: the head keeps its tables in a Redis beside it; skips where there is none.
    """
    require_namespaces()
    if redis and shutil.which("redis-server") is None:
        pytest.skip(
            "a head that is started again needs redis-server (Debian, Ubuntu: apt install redis-server)"
        )
    hosts = Hosts()
    try:
        names = ["head", *(f"w{number}" for number in range(1, len(workers) + 1))]
        for name in names:
            hosts.add(name, shared)
        if redis:
            options = ["--bind", hosts.head.address, "--protected-mode", "no", "--save", ""]
            hosts.head.start("redis-server", "--port", str(_REDIS_PORT), *options)
        hosts.head.join(hosts.head, *head, env=_in_redis(hosts.head) if redis else None)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name, options: hosts[name].join(hosts.head, *options), names[1:], workers))
        yield hosts
    finally:
        hosts.close()


def program_folders() -> list[str]:
    """Where a host finds this program: here, and where it is installed."""
    code = "import importlib.util as u; print(u.find_spec('trainables').submodule_search_locations[0])"
    # Without the variables and the current folder, which come before what is installed.
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd="/")
    found = {ROOT, *([Path(done.stdout.strip()).parent] if done.returncode == 0 else [])}
    return [str(folder / package) for folder in sorted(found) for package in ("search", "trainables")]


def require_namespaces() -> None:
    """Skip the test where hosts cannot be made."""
    tools = ("ip", "unshare", "nsenter", "mount", "hostname", "bash")
    lacking = [tool for tool in tools if not shutil.which(tool)]
    if lacking:
        packages = "iproute2 util-linux hostname"
        pytest.skip(f"hosts need {', '.join(lacking)} (Debian, Ubuntu: apt install {packages})")
    if os.getuid() != 0:
        pytest.skip("hosts are made by root alone: a network, mounts and processes of their own")
    probe = "set -e; {mounts} ip link add name bridge0 type bridge; ip link add a0 type veth peer b0"
    command = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "bash", "-c", _script(probe)]
    command += ["host", "probe"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"namespaces are not allowed here: {done.stderr.strip()}")
