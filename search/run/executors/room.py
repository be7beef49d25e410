"""What running jobs leave of the hosts, so that a large trial gets its room and small ones do not take it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from search.ray.hosts import Host

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Claim:
    """What one job asks of Ray."""

    bundle: Mapping[str, float]
    """What each of its workers takes of a host, see `search.run.fit.bundle`."""
    workers: int = 1
    node: str = ""
    """Ray's id of the host where its first worker is; empty while that is not known."""

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
    """Whether these jobs leave room for one more.

    One that fits on no host at all waits for another host, and not for them: it has room too.

    Args:
        hosts: where jobs run.
        running: those that run, or are about to.
        wanted: what the further one asks for.
    """
    left = [_Left(host) for host in hosts]
    for claim in sorted(running, key=lambda claim: not claim.node):  # first those whose host is known
        _place(left, claim)
    return _place(left, wanted) or not _place([_Left(host) for host in hosts], wanted)


def fits_alone(host: Host, claim: Claim) -> bool:
    """Whether a host that runs nothing else has what a job asks for."""
    return _place([_Left(host)], claim)


def _place(left: Sequence[_Left], claim: Claim) -> bool:
    """Take what a job asks for, its first worker where it is known to run; whether there is as much."""
    own = [each for each in left if each.node == claim.node]
    order = own + [each for each in left if each.node != claim.node]
    return all(any(each.take(claim.bundle) for each in order) for _ in range(claim.workers))


class _Left:
    """What is left of one host."""

    def __init__(self, host: Host) -> None:
        self.node = host.node_id
        self._left = dict(host.resources)
        self._devices = [1.0] * int(host.resources.get("GPU", 0))

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
