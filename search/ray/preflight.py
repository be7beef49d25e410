"""Looks whether the hosts of a cluster have what trials need, before any trial runs there."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.ray.hosts import Host
from trainables.files import atomic_write, discard_all, partial_path

_PATIENCE_SECONDS = 300.0
"""For an answer, which takes as long as the import of torch; a host that is cut off is lost after 64 s."""

_MARKER = "seen-by-hosts"
_MARKER_SECONDS = 10.0
"""In which a network file system shows a new file on all hosts."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What trials need on each host."""

    working_folder: str
    search_path: tuple[str, ...]
    """Where the task is imported from, besides the working folder and the installed packages."""
    task: str
    """`package.module:Class`; empty where trials are sent with it."""
    data: tuple[str, ...]
    """Files and folders that trials read, with variables as in `$HOME/data`."""
    results: str
    """The run's folder; empty where hosts share none."""


class Preflight:
    """Asks hosts, and gets their answers when they have come.

    Args:
        needs: what they are asked for.
        folder: that of the run, for a file that each host must see and be able to write beside.
        passed: ids of hosts with the needs that they have met, which is added to; those are not asked again.
    """

    def __init__(self, needs: Needs, folder: Path, passed: set[tuple[str, Needs]]) -> None:
        self._needs, self._folder, self._passed = needs, folder, passed
        # A host that has looked for a file in vain may not see it for a minute: this name is new to all.
        self._marker = partial_path(folder / f"{_MARKER}.{secrets.token_hex(8)}")
        self._is_marked = False
        self._asked: dict[Host, tuple[Any, float]] = {}

    @property
    def asked(self) -> set[Host]:
        """Those whose answer has not come yet."""
        return set(self._asked)

    def has_passed(self, host: Host) -> bool:
        """Whether it is known to lack nothing."""
        return (host.node_id, self._needs) in self._passed

    def ask(self, host: Host) -> None:
        """Begin to look at a host, which is seen to share the run's folder by a file in it."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(host.node_id, soft=False)
        self._mark()
        # In a process of its own: one that has imported the task would not be as trials find theirs.
        look = ray.remote(num_cpus=0, max_calls=1, max_retries=0, scheduling_strategy=there)(_look())
        needs = {**asdict(self._needs), "marker": str(self._marker), "patience": _MARKER_SECONDS}
        self._asked[host] = look.remote(needs, sys.version_info[:2]), time.monotonic()

    def answers(self, seconds: float = 0.0) -> Iterator[tuple[Host, list[str]]]:
        """What each host lacks, in words, of those that answer within so many seconds."""
        import ray

        waiting = [reference for reference, _ in self._asked.values()]
        if not waiting:
            return
        ready, _ = ray.wait(waiting, num_returns=len(waiting), timeout=seconds)
        for host, (reference, since) in list(self._asked.items()):
            if reference in ready:
                lacks = _answer(reference)
            elif time.monotonic() - since > _PATIENCE_SECONDS:
                lacks = [f"an answer within {_PATIENCE_SECONDS:g} s"]
            else:
                continue
            del self._asked[host]
            if not lacks:
                self._passed.add((host.node_id, self._needs))
            yield host, lacks

    def all_answers(self, hosts: Sequence[Host]) -> dict[Host, list[str]]:
        """What each of these hosts lacks."""
        found: dict[Host, list[str]] = {host: [] for host in hosts if self.has_passed(host)}
        for host in hosts:
            if host not in found:
                self.ask(host)
        while self._asked:
            found |= dict(self.answers(1.0))
        return {host: found[host] for host in hosts}

    def close(self) -> None:
        """Remove the file in the run's folder; may be called again."""
        self._marker.unlink(missing_ok=True)
        self._is_marked = False

    def _mark(self) -> None:
        if self._is_marked or not self._needs.results:
            return
        discard_all(sorted(self._folder.glob(f".{_MARKER}.*")))  # of searches that were killed
        atomic_write(self._marker, "")
        self._is_marked = True


def _answer(reference: Any) -> list[str]:
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return [f"a process that answers: {lines[-1].strip() if lines else type(error).__name__}"]


def _look() -> Callable[[Mapping[str, Any], tuple[int, int]], list[str]]:
    """The function that a host runs; as a local one it is sent with its code: this program may lack there."""

    def look(needs: Mapping[str, Any], version: tuple[int, int]) -> list[str]:
        import importlib
        import os
        import sys
        import time
        from pathlib import Path

        def cause(error: BaseException) -> str:
            text = (str(error).splitlines() or [""])[0]
            return (
                f"{error.strerror or text}"
                if isinstance(error, OSError)
                else f"{type(error).__name__}: {text}"
            )

        lacks = []
        if sys.version_info[:2] != version:
            lacks.append(f"Python {version[0]}.{version[1]}, it has {sys.version.split()[0]}")
        try:
            os.chdir(needs["working_folder"])
        except OSError as error:
            lacks.append(f"the working folder {needs['working_folder']}: {cause(error)}")
        else:
            sys.path.extend([needs["working_folder"], *needs["search_path"]])
            there = [Path(os.path.expandvars(data)).expanduser() for data in needs["data"]]
            # The folder in which a file system is to be mounted is there without it, and empty.
            missing = [p for p in there if not p.exists() or (p.is_dir() and not any(p.iterdir()))]
            lacks += [f"the data {data}" for data in missing]
        try:
            session = importlib.import_module("trainables.session")
        except Exception as error:  # whatever an installation raises
            lacks.append(f"this program: {cause(error)}")
        else:
            try:
                if needs["task"] and not any("the working folder" in lack for lack in lacks):
                    session.load_task_class(needs["task"])
            except Exception as error:  # whatever a module raises
                lacks.append(f"the task {needs['task']}: {cause(error)}")
        if not needs["results"]:
            return lacks
        marker = Path(needs["marker"])
        deadline = time.monotonic() + needs["patience"]
        try:
            while not marker.exists() and time.monotonic() < deadline:
                time.sleep(0.2)
            marker.stat()
            probe = marker.with_name(f".{os.uname().nodename}-{os.getpid()}{marker.name}")
            probe.write_text("x", encoding="utf-8")
            probe.unlink()
        except OSError as error:
            lacks.append(f"the results folder {needs['results']} of this search: {cause(error)}")
        return lacks

    return look
