"""A SLURM of its own for a test: Debian's slurmctld, slurmd and munged on hosts of namespaces.

Nothing of it is seen outside: the daemons listen in the hosts' networks alone, their files are in the folder
that the test shares with the hosts, and they end with the hosts.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hosts import Host, Hosts, require_namespaces
from patience import PATIENCE

_CONF = """
ClusterName=test
SlurmctldHost=head(10.77.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir=/tmp/spool-%n
SlurmdPidFile=/tmp/slurmd-%n.pid
SlurmctldPidFile=/tmp/slurmctld.pid
SlurmdLogFile={folder}/%n.log
SlurmctldLogFile={folder}/slurmctld.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=5,batch_sched_delay=1
SlurmdParameters=config_overrides
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=30
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=w[1-{workers}] NodeAddr=10.77.0.[2-{last}] Sockets=1 CoresPerSocket={cpus} ThreadsPerCore=1 \
RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=60 State=UP PriorityTier=2
"""
"""A job that is requeued waits until no credential of it is valid any more (120 s unless it is said)."""
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
_POLL_SECONDS = 0.2
_ENDS = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}
_SEARCH_PATIENCE = 3 * PATIENCE
"""Seconds for a job with a whole search in it."""


class Slurm:
    """Its commands, on the host `head`, which runs no jobs."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self.hosts, self.folder = hosts, folder
        self.env = {"SLURM_CONF": str(folder / "slurm.conf"), **_PATH}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self.hosts.head.run(*command, cwd=str(self.folder), env=self.env)

    def output(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def state(self, job: str) -> str:
        """As `squeue` has it, such as RUNNING; from its end on a job is known for a few minutes."""
        return self.output("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}").strip()

    def wait_for(self, job: str, *states: str) -> None:
        deadline = time.monotonic() + _SEARCH_PATIENCE
        while (state := self.state(job)) not in states:
            is_over = state in _ENDS or time.monotonic() > deadline
            assert not is_over, f"job {job} is {state} and not {states}: {self.told(job)}"
            time.sleep(_POLL_SECONDS)

    def told(self, job: str) -> str:
        """What SLURM knows of a job."""
        return self.run("scontrol", "show", "job", job).stdout


_PATH = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


@contextmanager
def slurm_of_hosts(folder: Path, workers: int = 2, cpus: int = 1) -> Iterator[Slurm]:
    """A controller and so many nodes; skips where SLURM is not installed or hosts cannot be made.

    Args:
        folder: an empty one that all hosts get, at the same path.
        workers: nodes, w1 and so on.
        cpus: of each node.
    """
    lacking = [name for name in _PROGRAMS if not shutil.which(name, path=_PATH["PATH"])]
    if lacking:
        pytest.skip(f"there is no {', '.join(lacking)} (Debian, Ubuntu: apt install slurm-wlm munge)")
    require_namespaces()
    hosts = Hosts()
    try:
        head = hosts.add("head", folder)
        nodes = [hosts.add(f"w{number}", folder) for number in range(1, workers + 1)]
        slurm = Slurm(hosts, folder)
        _configure(folder, workers, cpus)
        _start(
            head,
            slurm,
            "munged",
            "--force",
            f"--key-file={folder}/munge.key",
            f"--socket={folder}/munge",
            "--pid-file=/tmp/munged.pid",
            f"--log-file={folder}/munged.log",
            "--seed-file=/tmp/munge.seed",
        )
        _start(head, slurm, "slurmctld", "-c")
        for node in nodes:
            _start(node, slurm, "slurmd", "-N", node.name)
        _wait_until_up(slurm, workers)
        yield slurm
    finally:
        hosts.close()


def _configure(folder: Path, workers: int, cpus: int) -> None:
    (folder / "state").mkdir()
    text = _CONF.format(folder=folder, workers=workers, last=workers + 1, cpus=cpus)
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)


def _start(host: Host, slurm: Slurm, *command: str) -> None:
    """A daemon, which leaves this command when it is ready."""
    done = host.run(*command, cwd="/", env=slurm.env)
    if done.returncode != 0:
        pytest.skip(f"{command[0]} may not run here: {done.stdout}{done.stderr}")


def _wait_until_up(slurm: Slurm, workers: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        states = slurm.run("sinfo", "--noheader", "--Node", "--partition=main", "--format=%T").stdout.split()
        if states == ["idle"] * workers:
            return
        if time.monotonic() > deadline:
            logs = [file.read_text(encoding="utf-8", errors="replace") for file in slurm.folder.glob("*.log")]
            raise AssertionError(f"nodes are {states}\n" + "\n".join(log[-2000:] for log in logs))
        time.sleep(_POLL_SECONDS)
