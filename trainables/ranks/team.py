"""Rank 0's hold on the other processes of its trial: what they do and when, and who of them has failed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from trainables.process.failure import Failure, FailureKind, RankError
from trainables.ranks.group import Ranks
from trainables.ranks.join import JOIN_SECONDS, TCPStore, find_store, join, open_store

log = logging.getLogger(__name__)

SILENT_SECONDS = 60.0
"""A rank that has shown no sign of life for so long is taken for stopped, or for cut off."""
GRACE_SECONDS = 5.0
"""Between the failure of one rank and that of an exchange with it on rank 0."""
_LOOK_SECONDS = 0.5

Answer = Mapping[str, Any]
"""Of a rank to a call: `failed`, a failure's kind, cause and trace, or else what the call returned."""


class LostPeerError(Exception):
    """The process of a rank is gone."""


class Call(Protocol):
    """A call to another rank that may still run."""

    def is_done(self) -> bool: ...

    def answer(self, seconds: float) -> Answer:
        """What it returned.

        Raises:
            LostPeerError: the process is gone.
            TimeoutError: it still runs after so many seconds.
        """
        ...


class Peer(Protocol):
    """A process of another rank, as rank 0 reaches it."""

    def call(self, method: str, *arguments: Any) -> Call:
        """Begin a call of a method of `RankWorker` there."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


class Team:
    """All processes of a trial, held by rank 0, for one trial after the other.

    Args:
        peers: ranks 1, 2, …
        address: of this host, as they reach it.
        patience: seconds for which a rank may show no sign of life.
    """

    def __init__(self, peers: Sequence[Peer], address: str, *, patience: float = SILENT_SECONDS) -> None:
        self._peers, self._address, self._patience = peers, address, patience
        self._store: TCPStore | None = None
        self._beats: TCPStore | None = None
        """The same: a connection serves one call at a time, and those of a start may wait."""
        self._ranks: Ranks | None = None
        self._calls: Sequence[Call] = ()
        self.skipped: dict[str, str] = {}
        """Samples that other ranks have left out, with the reason by file."""
        self.give_up: Callable[[Failure, str], None] = lambda failure, trace: None
        """Called in another thread with what a rank has failed of where this process does not notice by
        itself, in an exchange that does not end; it must end this process."""

    @property
    def ranks(self) -> Ranks:
        """This process's view of them."""
        assert self._ranks is not None
        return self._ranks

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Begin a job in all processes; the others build what this one builds meanwhile.

        Raises:
            RankError: one failed.
        """
        self.skipped = {}
        if self._ranks is None:
            self._join()
        self._call("begin", dict(plan))

    def share(self, state: Mapping[str, Any]) -> None:
        """Give the others the state of this process's trainer, once they have built theirs.

        Raises:
            RankError: one failed, or trains on a device of another kind.
        """
        own = self.ranks.device.type
        for rank, answer in enumerate(self._answers(), 1):
            if answer["device"] != own:
                cause = f"rank 0 trains on {own} and rank {rank} on {answer['device']}; both must be alike"
                raise RankError(Failure(FailureKind.ERROR, cause))
        self._call("receive")
        with self.watched():
            self.ranks.send(state)
        self._answers()

    @contextmanager
    def training(self) -> Iterator[None]:
        """The others train a virtual epoch, as this process does in the block.

        Raises:
            RankError: one failed, or is gone, or shows no sign of life.
        """
        self._call("train")
        with self.watched():
            yield
        for answer in self._answers():
            self.skipped |= answer["skipped"]

    @contextmanager
    def watched(self) -> Iterator[None]:
        """See to it that this process does not wait for a rank for ever, and blame that one for an error."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,), name="ranks", daemon=True)
        watcher.start()
        try:
            yield
        except Exception as error:
            if (found := self._failed(GRACE_SECONDS)) is not None:
                raise found from error
            raise
        finally:
            over.set()
            watcher.join()

    def close(self) -> None:
        """End the other processes."""
        for peer in self._peers:
            peer.close()

    def _join(self) -> None:
        size = len(self._peers) + 1
        self._store = open_store(self._address, size)
        place = self._address, self._store.port
        self._beats = find_store(*place, size)
        self._calls = [peer.call("join", rank, size, *place) for rank, peer in enumerate(self._peers, 1)]
        with self.watched():
            self._ranks = join(self._store, self._address, rank=0, size=size)
        self._answers()

    def _call(self, method: str, *arguments: Any) -> None:
        self._calls = [peer.call(method, *arguments) for peer in self._peers]

    def _answers(self) -> list[Answer]:
        """What all others answer; the time that they may take is bounded from outside, see `TrialPlan`."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,), name="ranks", daemon=True)
        watcher.start()
        try:
            while (found := self._failed(0.0)) is None and not all(call.is_done() for call in self._calls):
                over.wait(0.002)
        finally:
            over.set()
            watcher.join()
        if (found := found or self._failed(0.0)) is not None:  # one may have died between the two questions
            raise found
        return [call.answer(JOIN_SECONDS) for call in self._calls]

    def _failed(self, seconds: float) -> RankError | None:
        """What a rank has failed of, if one does within so many seconds; first of all that one is gone."""
        deadline = time.monotonic() + seconds
        while True:
            done = {rank: call for rank, call in enumerate(self._calls, 1) if call.is_done()}
            found = dict(filter(None, (self._error_of(rank, call) for rank, call in done.items())))
            if False in found or len(done) == len(self._calls) or time.monotonic() >= deadline:
                return found.get(False) or found.get(True)
            time.sleep(0.01)

    def _error_of(self, rank: int, call: Call) -> tuple[bool, RankError] | None:
        """What a rank has failed of, and whether that is an exchange, of which another one is the cause."""
        of = f"rank {rank} of {len(self._peers) + 1}"
        try:
            answer = call.answer(0.0)
        except LostPeerError as error:
            return False, RankError(Failure(FailureKind.DIED, f"the process of {of} died"), str(error))
        if "failed" not in answer:
            return None
        failed = answer["failed"]
        failure = Failure(FailureKind(failed["kind"]), f"{of}: {failed['cause']}")
        return failed["exchange"], RankError(failure, failed["trace"])

    def _watch(self, over: threading.Event) -> None:
        """Look for ranks that have failed or show no sign of life while this process is in an exchange."""
        seen = dict.fromkeys(range(1, len(self._peers) + 1), (-1, time.monotonic()))
        while not over.wait(_LOOK_SECONDS):
            if (error := self._failed(0.0)) is not None and not over.wait(GRACE_SECONDS):
                self.give_up(error.failure, str(error))
                return
            for rank in seen:
                beat, now = self._beat(rank), time.monotonic()
                if beat != seen[rank][0]:
                    seen[rank] = beat, now
                elif now - seen[rank][1] > (self._patience if beat else max(self._patience, START_SECONDS)):
                    cause = (
                        f"rank {rank} of {len(self._peers) + 1} has shown no sign of life for "
                        f"{self._patience:g} s: it is stopped, or its host is cut off"
                    )
                    self.give_up(Failure(FailureKind.HUNG, cause), "")
                    return

    def _beat(self, rank: int) -> int:
        assert self._beats is not None
        return self._beats.add(f"{BEAT}{rank}", 0)


START_SECONDS = 1800.0
"""Until a rank's first sign of life: its process imports torch, and the data may come from another host."""
BEAT = "beat/"
"""Begins the key of the store at which a rank counts up while it lives."""
