"""Where the jobs of a search may run: the living hosts of a cluster, some of which join and some are lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from search.config.config import Config
from search.config.schema import Resources
from search.errors import SearchError
from search.ray.hosts import Host, asked_for
from search.ray.preflight import Preflight
from search.run.before.fit import (
    absent,
    at_once,
    bundle,
    fits,
    lacking_text,
    num_fitting,
    sizes_text,
    spread_share,
)
from search.run.executor import Note
from search.run.executors.room import Claim, has_room
from search.text import counted

_LOOK_SECONDS = 10.0
_LEAVING_SECONDS = 2.0
"""A cloud may give a host no more than half a minute."""
_WAIT_SECONDS = 1.0


def _none() -> set[str]:
    return set()


class Placement:
    """Which hosts run jobs, and how many they run at once.

    Args:
        config: says what a trial asks for, and the upper bound.
        look: the living hosts of now.
        leaving: ids of those that are to be taken away.
        preflight: looks at hosts before they run trials; None where all are as this one.
        note: called with a line when hosts have joined, were lost or are left out.
        shared: others may run trials on these hosts too.
    """

    def __init__(
        self,
        config: Config,
        look: Callable[[], Sequence[Host]],
        preflight: Preflight | None = None,
        note: Note = print,
        *,
        leaving: Callable[[], set[str]] = _none,
        shared: bool = False,
    ) -> None:
        self._resources, self._look, self._preflight, self._note = config.resources, look, preflight, note
        self._shared = shared
        self._left_out: set[str] = set()
        """Ids of hosts that lack something."""
        self._ask_leaving, self._leaving = leaving, leaving()
        """Their ids, of which some may be gone since."""
        self._seen = {host.node_id: host for host in look() if fits(config.resources, host)}
        """All that ever were there, by their ids."""
        self._hosts = [host for host in self._seen.values() if not self.is_leaving(host.node_id)]
        self._looked = self._looked_at_leaving = time.monotonic()
        self._lost_on: dict[int, set[str]] = {}
        """By the number of a trial, the ids of hosts where a job of it was lost."""

    @property
    def hosts(self) -> Sequence[Host]:
        """Those that run trials."""
        return self._hosts

    @property
    def concurrency(self) -> int:
        """Jobs that run at once on the hosts that were there at the last look."""
        return at_once(self._resources, self._hosts)

    @property
    def sizes_differ(self) -> bool:
        """Whether some trials take more than others."""
        return len(self._resources.sizes) > 1

    @property
    def sizes_text(self) -> str:
        """See `search.run.before.fit.sizes_text`."""
        return sizes_text(self._resources, self._hosts)

    def has_room(self, running: Sequence[Claim], wanted: Claim) -> bool:
        """Whether jobs that run leave room for one more, see `search.run.executors.room`."""
        return has_room(self._hosts, running, wanted)

    def has_room_on(self, node_id: str, running: Sequence[Claim], wanted: Claim) -> bool:
        """The same of one host; of the jobs those count that are known to run there."""
        there = [claim for claim in running if claim.node == node_id]
        return has_room([host for host in self._hosts if host.node_id == node_id], there, wanted)

    def has_room_for_more(self, running: Sequence[Claim]) -> bool:
        """Whether these jobs leave room for one of some size."""
        sizes = [Claim(self._bundle(size), size.workers_per_trial) for _, size in self._resources.sizes]
        return any(has_room(self._hosts, running, size) for size in sizes)

    def inspect(self, *, skip_bad: bool, phase: Note) -> None:
        """Look at all hosts before the first job.

        Args:
            skip_bad: leave out those that lack something.
            phase: called with what is waited for, unless all are known to lack nothing.

        Raises:
            SearchError: a host lacks something, or all do.
        """
        if self._preflight is None:
            return
        if unknown := [host for host in self._hosts if not self._preflight.has_passed(host)]:
            phase(f"looking at {counted(len(unknown), 'host')}")
        found = self._preflight.all_answers(self._hosts)
        bad = {host: lacks for host, lacks in found.items() if lacks}
        if bad and (not skip_bad or len(bad) == len(found)):
            way = "mount or install it there"
            way += "" if len(bad) == len(found) else ", or leave such hosts out with --skip-bad-nodes"
            raise SearchError(f"{'; '.join(map(_lacks, bad.items()))}; {way}")
        for each in bad.items():
            self._leave_out(*each)

    def look(self) -> bool:
        """See whether hosts have joined or were lost, unless that was done just now; whether any have."""
        now = time.monotonic()
        is_due = now - self._looked >= (_WAIT_SECONDS if self._awaited() else _LOOK_SECONDS)
        if not self._look_at_leaving(now) and not is_due:
            return False
        self._looked, before = now, self._hosts
        if self._preflight is not None:
            for host, lacks in self._preflight.answers():
                if lacks:
                    self._leave_out(host, lacks)
        self._hosts = self._usable()
        joined = [host for host in self._hosts if host not in before]
        lost = [host for host in before if host not in self._hosts]
        if joined or lost:
            self._note(self._changed(joined, lost))
        return bool(joined or lost)

    def is_leaving(self, node_id: str) -> bool:
        """Whether the host is to be taken away: its jobs end with their running virtual epochs."""
        return node_id in self._leaving

    def lost(self, number: int, host: Host | None) -> None:
        """A job of trial `number` was lost there."""
        if host is not None:
            self._lost_on.setdefault(number, set()).add(host.node_id)

    def request(self, number: int, size: Resources) -> dict[str, Any]:
        """What the next job of trial `number`, of that size, asks of Ray, for `TrialTrainable`.

        It stays away from hosts where the trial was lost before, if there is another one: with the same error
        there for the second time the trial would have failed.
        """
        avoided = self._lost_on.get(number, set()) & {host.node_id for host in self._hosts}
        not_on = {*self._left_out, *self._leaving, *(host.node_id for host in self._awaited())}
        others = [host for host in self._hosts if host.node_id not in avoided]
        if num_fitting(size, others):
            not_on |= avoided
        return {"resources": self._bundle(size), "not_on": sorted(not_on)}

    def _bundle(self, size: Resources) -> dict[str, float]:
        """What each worker asks of Ray: of a GPU a larger share than it needs, where some would be idle."""
        sizes = [each for _, each in self._resources.sizes]
        # On hosts of others a larger share would keep a GPU from them.
        if self._shared or any(each.workers_per_trial > 1 for each in sizes) or not size.gpus_per_trial:
            return bundle(size)
        largest = max(sizes, key=lambda each: each.gpus_per_trial)
        share = spread_share(largest, self._hosts, self.concurrency)
        return bundle(size, max(size.gpus_per_trial, share) if share > largest.gpus_per_trial else None)

    def can_hold(self, size: Resources) -> bool:
        """Whether the hosts have what a trial of that size takes."""
        return bool(num_fitting(size, self._hosts))

    def lacking_text(self, size: Resources) -> str:
        """What no host has enough of for a trial of that size."""
        return lacking_text(size, self._hosts)

    def has_none_but(self, not_on: Sequence[str], size: Resources) -> bool:
        """Whether there are hosts, and without these a trial of that size finds no place."""
        others = [host for host in self._hosts if host.node_id not in not_on]
        return bool(self._hosts) and not num_fitting(size, others)

    def host_of(self, text: str) -> Host | None:
        """The host whose id or address it is; None where there is but one, which need not be named."""
        if len(self._seen) < 2:
            return None
        if text in self._seen:
            return self._seen[text]
        found = [host for host in self._seen.values() if host.address == text]
        return found[0] if len(found) == 1 else None

    def _awaited(self) -> set[Host]:
        """Hosts that are being looked at."""
        return set() if self._preflight is None else self._preflight.asked

    def _usable(self) -> list[Host]:
        """Living hosts for trials; one that is seen for the first time is looked at before."""
        living = [host for host in self._look() if fits(self._resources, host)]
        for host in living:
            is_new, self._seen[host.node_id] = host.node_id not in self._seen, host
            if is_new and self._preflight is not None and not self._preflight.has_passed(host):
                self._preflight.ask(host)
        awaited, out = self._awaited(), self._left_out | self._leaving
        return [host for host in living if host.node_id not in out and host not in awaited]

    def _look_at_leaving(self, now: float) -> bool:
        """See whether further hosts are to be taken away, unless that was done just now."""
        if now - self._looked_at_leaving < _LEAVING_SECONDS:
            return False
        self._looked_at_leaving, leaving = now, self._ask_leaving()
        if leaving <= self._leaving:
            return False  # when one is gone, requests stay as they are: with others no process is reused
        self._leaving = self._leaving | leaving  # their ids never come back
        return True

    def _leave_out(self, host: Host, lacks: Sequence[str]) -> None:
        self._left_out.add(host.node_id)
        self._hosts = [other for other in self._hosts if other != host]
        self._note(f"left out: {_lacks((host, lacks))}")

    def _changed(self, joined: Sequence[Host], lost: Sequence[Host]) -> str:
        changes = [f"{host} has joined" for host in joined]
        changes += [f"{host} {'is leaving' if self.is_leaving(host.node_id) else 'is lost'}" for host in lost]
        if not self._hosts:
            return f"{', '.join(changes)}: no host is left for a trial, and the search waits for one to join"
        return f"{', '.join(changes)}: {counted(self.concurrency, 'trial')} at a time"


def _lacks(found: tuple[Host, Sequence[str]]) -> str:
    host, lacks = found
    return f"{host} lacks {', '.join(lacks)}"


def wait_for_hosts(
    config: Config,
    note: Note,
    look: Callable[[], Sequence[Host]],
    death: Callable[[], str],
    ask: Callable[[Mapping[str, float], int], AbstractContextManager[None]] = asked_for,
) -> None:
    """Wait until there is a host at all, where `resources.concurrent_trials` says how many trials it is for.

    Without that the start is refused, as nobody knows what to wait for. An autoscaler is asked for hosts.

    Args:
        config, note: as of `Placement`.
        look: the living hosts of now.
        death: what has become of a cluster that is dead; else empty. It comes before any other question,
            which would be the end of this process.
        ask: for hosts with so many times such resources, as long as its context lasts.

    Raises:
        SearchError: the cluster is dead.
    """
    resources = config.resources

    def awaited() -> Resources | None:
        if cause := death():
            raise SearchError(
                f"{cause} while the search waited for hosts, and no trial has begun; start the head again, "
                "or another one and name that with --address"
            )
        return absent(resources, look())

    if resources.concurrent_trials is None or (size := awaited()) is None:
        return
    note(
        "no host has what a trial asks for: waiting for hosts to join, as resources.concurrent_trials is "
        f"{resources.concurrent_trials}; Ctrl-C leaves"
    )
    while size is not None:  # hosts for one size may come before those for another
        asked = size
        with ask(bundle(asked), resources.concurrent_trials * asked.workers_per_trial):
            while (size := awaited()) == asked:
                time.sleep(_WAIT_SECONDS)
