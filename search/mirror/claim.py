"""Which driver may write a run's mirror: the one of the newest session, whose object tells that it lives.

Sessions are numbered, and each has an object of its own that nobody else writes: `owner/000003.json`. It is
created where there is none, of which a storage with conditional writes (S3 has them) lets one driver have its
way. Whether the last owner lives is seen by watching its object, as in `search.run.disk.owner`: clocks of two
machines are not compared.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from search.addresses import OWNERS
from search.errors import SearchError
from search.study.journal import NOTHING_TO_DO, OvertakenError
from trainables.storage.store import Store

SILENCE_SECONDS = 60.0
"""After which an owner that cannot be seen is taken for dead; a sign of life comes every few seconds."""
_LOOK_SECONDS = 1.0
_LEFT: set[tuple[str, int]] = set()
"""Sessions that this process could not say the end of, by their address."""
ENDED, _BEATS = "ended", "beats"


class Claim:
    """The session of this driver in a storage."""

    def __init__(self, store: Store, session: int, me: Mapping[str, Any]) -> None:
        self.session = session
        self._store, self._me, self._beats = store, dict(me), 0

    def beat(self) -> None:
        """Give a sign of life.

        Raises:
            OvertakenError: a newer session has begun.
        """
        self.require_latest()
        self._beats += 1
        self._store.write(_name(self.session), _content(self._me | {_BEATS: self._beats}))

    def require_latest(self) -> None:
        """Raise OvertakenError if a newer session has begun."""
        if self._store.exists(_name(self.session + 1)):
            raise OvertakenError(
                f"session {self.session + 1} of this search has begun elsewhere, and writes "
                f"{self._store.address}; this one stops, and writes nothing more: {NOTHING_TO_DO}"
            )

    def leave(self) -> None:
        """The session has ended, which the storage cannot be told: this process may begin another one."""
        _LEFT.add((self._store.address, self.session))

    def release(self) -> None:
        """Say that the session has ended: nobody waits for a sign of life."""
        self._store.write(_name(self.session), _content(self._me | {_BEATS: self._beats, ENDED: True}))


def newest_session(store: Store) -> int:
    """Number of the newest session; 0 if there was none."""
    listed = (name.rpartition("/")[2].partition(".")[0] for name in store.names(OWNERS))
    number = max((int(each) for each in listed if each.isdecimal()), default=0)
    while store.exists(_name(number + 1)):  # a listing may lag
        number += 1
    return number


def last_owner(store: Store) -> tuple[dict[str, Any], float]:
    """What the newest session has said about itself, and when, in Unix seconds by the storage's clock."""
    number = newest_session(store)
    return (_read(store, number), store.written_at(_name(number))) if number else ({}, 0.0)


def take(
    store: Store,
    me: Mapping[str, Any],
    *,
    lives: Callable[[Mapping[str, Any]], bool | None],
    say: Callable[[str], None],
) -> Claim:
    """Begin a session, after the one before has ended or has died.

    Args:
        store: of the run.
        me: what this driver says about itself, with `pid` and `host`.
        lives: whether the process that has said so lives; None where this cannot be seen from here.
        say: called with a line before a wait.

    Raises:
        SearchError: the run belongs to a search that lives, or one began at the same time.
    """
    number = newest_session(store)
    if number:
        _outlast(store, number, lives, say)
    if not store.create(_name(number + 1), _content(me)):
        raise _refusal(store, _read(store, number + 1))
    return Claim(store, number + 1, me)


def _outlast(
    store: Store, number: int, lives: Callable[[Mapping[str, Any]], bool | None], say: Callable[[str], None]
) -> None:
    before = _read(store, number)
    if (store.address, number) in _LEFT:
        return
    if before.get(ENDED) or (seen := lives(before)) is False:
        return
    if seen:
        raise _refusal(store, before)
    say(f"the last search here was {_who(before)}: waiting up to {SILENCE_SECONDS:.0f} s for a sign of life")
    deadline = time.monotonic() + SILENCE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        now = _read(store, number)
        if now.get(ENDED):
            return
        if now != before:
            raise _refusal(store, now)


def _read(store: Store, number: int) -> dict[str, Any]:
    try:
        said = json.loads(store.read(_name(number)))
    except (ValueError, FileNotFoundError):
        return {}
    return said if isinstance(said, dict) else {}


def _refusal(store: Store, owner: Mapping[str, Any]) -> SearchError:
    return SearchError(
        f"{store.address} belongs to a running search: {_who(owner)}; end that one first; another search "
        "takes another --name"
    )


def _who(owner: Mapping[str, Any]) -> str:
    return f"process {owner.get('pid', '?')} on {owner.get('host', '?')} since {owner.get('since', '?')}"


def _name(number: int) -> str:
    return f"{OWNERS}/{number:06d}.json"


def _content(said: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(said)).encode()
