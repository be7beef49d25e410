"""What running jobs leave of the hosts, so that a large trial gets its room and small ones do not take it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

from search.ray.hosts import Host

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Claim:
    """What one job asks of Ray."""

    bundle: Mapping[str, float]
    """What each of its workers takes of a host, see `search.run.before.fit.bundle`."""
    workers: int = 1
    node: str = ""
    """Ray's id of the host where its first worker is; empty while that is not known."""
    not_on: Sequence[str] = ()
    """Ray's ids of hosts where it must not run."""

    @property
    def total(self) -> dict[str, float]:
        """What all workers take together."""
        return {name: amount * self.workers for name, amount in self.bundle.items()}

    def is_smaller_than(self, other: Claim) -> bool:
        """Whether it takes less of something, and more of nothing."""
        own, others = self.total, other.total
        names = {*own, *others}
        return own != others and all(
            own.get(name, 0) <= others.get(name, 0) + _TOLERANCE for name in names if ":" not in name
        )


def has_room(hosts: Sequence[Host], running: Iterable[Claim], wanted: Claim) -> bool:
    """Whether these jobs leave room for one more on a host where that may run.

    Those on other hosts, as on one that is to be taken away, take nothing of these.

    Args:
        hosts: where jobs may run.
        running: those that run, or are about to.
        wanted: what the further one asks for.
    """
    left = [_Left(host) for host in hosts]
    there = {"", *(host.node_id for host in hosts)}
    of_these = [claim for claim in running if claim.node in there]
    for claim in sorted(of_these, key=lambda claim: not claim.node):  # first those whose host is known
        left = _placed(left, claim) or left
    return _placed(left, wanted) is not None


def _placed(left: Sequence[_Left], claim: Claim) -> list[_Left] | None:
    """What remains if a job takes what it asks for, its first worker where that runs; None if too little."""
    remaining = [each.copy() for each in left]
    own = [each for each in remaining if each.node == claim.node]
    order = own + [each for each in remaining if each.node not in (claim.node, *claim.not_on)]
    fits = all(any(each.take(claim.bundle) for each in order) for _ in range(claim.workers))
    return remaining if fits else None


class _Left:
    """What is left of one host."""

    def __init__(self, host: Host) -> None:
        self.node = host.node_id
        self._left = dict(host.resources)
        self._devices = [1.0] * int(host.resources.get("GPU", 0))

    def copy(self) -> _Left:
        """The same, to take of."""
        found = copy(self)
        found._left, found._devices = dict(self._left), list(self._devices)
        return found

    def take(self, bundle: Mapping[str, float]) -> bool:
        """Take what one worker asks for, if there is as much; its share of a GPU is of a single device."""
        share = bundle.get("GPU", 0)
        fitting = [number for number, free in enumerate(self._devices) if free + _TOLERANCE >= share]
        others = {name: amount for name, amount in bundle.items() if name != "GPU" and amount}
        if (share and not fitting) or any(
            self._left.get(name, 0) + _TOLERANCE < amount for name, amount in others.items()
        ):
            return False
        for name, amount in others.items():
            self._left[name] -= amount
        if share:  # as Ray does, which fills a device before it takes the next
            self._devices[min(fitting, key=lambda number: self._devices[number])] -= share
        return True
