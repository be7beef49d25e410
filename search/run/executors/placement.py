"""Where the jobs of a search may run: the living hosts of a cluster, some of which join and some are lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from search.config.config import Config
from search.ray.hosts import Host, asked_for, living_hosts
from search.run.coordinator import Coordinator
from search.run.executor import Note
from search.run.fit import fits, is_absent, num_fitting
from search.text import counted

_LOOK_SECONDS = 10.0
_WAIT_SECONDS = 1.0


class Placement:
    """Sees which hosts there are, and sets how many jobs run at once by that.

    Args:
        config: says what a trial asks for, and the upper bound.
        coordinator: whose `concurrency` follows.
        note: called with a line when hosts have joined or were lost.
        look: the hosts of now.
    """

    def __init__(
        self,
        config: Config,
        coordinator: Coordinator,
        note: Note,
        look: Callable[[], Sequence[Host]] = living_hosts,
    ) -> None:
        self._resources, self._coordinator, self._note, self._look = config.resources, coordinator, note, look
        self._hosts = self._fitting()
        self._looked = time.monotonic()

    def look(self) -> None:
        """See whether hosts have joined or were lost, unless that was done just now."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked, before = now, self._hosts
        self._hosts = self._fitting()
        joined = [host for host in self._hosts if host not in before]
        lost = [host for host in before if host not in self._hosts]
        if joined or lost:
            at_once = num_fitting(self._resources, self._hosts)
            self._coordinator.concurrency = min(at_once, self._resources.concurrent_trials or at_once)
            self._note(self._changed(joined, lost))

    def _fitting(self) -> list[Host]:
        return [host for host in self._look() if fits(self._resources, host)]

    def _changed(self, joined: Sequence[Host], lost: Sequence[Host]) -> str:
        changes = [f"{host} has joined" for host in joined] + [f"{host} is lost" for host in lost]
        if not self._hosts:
            return f"{', '.join(changes)}: no host is left for a trial, and the search waits for one to join"
        return f"{', '.join(changes)}: {counted(self._coordinator.concurrency, 'trial')} at a time"


def wait_for_hosts(config: Config, note: Note) -> None:
    """Wait until there is a host at all, where `resources.concurrent_trials` says how many trials it is for.

    Without that the start is refused, as nobody knows what to wait for. An autoscaler is asked for hosts.
    """
    resources = config.resources
    if resources.concurrent_trials is None or not is_absent(resources, living_hosts()):
        return
    note(
        f"no host has what a trial asks for: waiting for hosts to join, as resources.concurrent_trials is "
        f"{resources.concurrent_trials}; Ctrl-C leaves"
    )
    one = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    with asked_for(one, resources.concurrent_trials):
        while is_absent(resources, living_hosts()):
            time.sleep(_WAIT_SECONDS)
