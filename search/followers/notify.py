"""Messages to people by Apprise: the end of a search, a failure, a new best."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apprise

from search.config.schema import Mode
from search.config.sections.loggers import Notify, resolved, without_secret
from search.followers.destination import Destination, DestinationError, Followed, FollowedRun
from search.followers.look import BEST, KILLED
from search.study.trial import as_loss
from search.text import number_text
from trainables.files import atomic_write

_TOLD_AT_END = {"complete": "end", "terminated": "end", "failed": "failure", KILLED: "failure"}
"""Who interrupts a search by hand knows that it has ended."""


class NotifyDestination(Destination):
    """Sends messages, each once, but for one that was under way when this process was killed.

    Args:
        notify: who is told of what.
        told: the file that says what people have been told.
        clock: seconds since 1970.
    """

    def __init__(self, notify: Notify, told: Path, clock: Callable[[], float] = time.time) -> None:
        self._notify, self._told, self._clock = notify, told, clock
        self._mode: Mode = "max"
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its lines have addresses with tokens
        self._people = []
        for address in notify.to:
            person = apprise.Apprise()
            if not person.add(resolved(address)):
                raise DestinationError(f"{_scheme(address)} is no address that Apprise knows")
            self._people.append((_scheme(address), person))

    @property
    def place(self) -> str:
        return ", ".join(scheme for scheme, _ in self._people)

    def open(self, run: FollowedRun) -> None:
        self._mode = run.search.facts["mode"]

    def write(self, followed: Followed, *, parent: Followed | None) -> None:
        if parent is not None:
            return
        before = self._read()
        if before.get("run") != followed.id:
            before = {"run": followed.id}
        said = dict(before)
        if not followed.has_ended:
            said["ended"] = False
            self._tell_best(followed, said)
        elif not said.get("ended"):
            kind = _TOLD_AT_END.get(followed.facts.get("ended", ""))
            if kind in self._notify.on:
                self._send(f"{followed.name}: {followed.state}", _text(followed))
            said["ended"] = True
        if said != before:
            atomic_write(self._told, json.dumps(said))

    def _tell_best(self, followed: Followed, said: dict[str, Any]) -> None:
        """The first value of all is no news, nor is one that comes soon after another one was told."""
        value = followed.facts.get(BEST)
        if value is None:
            return
        if "best" not in said:
            said["best"], said["at"] = value, 0.0
        if as_loss(value, self._mode) >= as_loss(said["best"], self._mode) or "best" not in self._notify.on:
            return
        if self._clock() - said["at"] >= (self._notify.best_every or 0.0):
            self._send(f"{followed.name}: new best", _text(followed))
            said["best"], said["at"] = value, self._clock()

    def _send(self, title: str, body: str) -> None:
        failed = [name for name, person in self._people if not person.notify(title=title, body=body)]
        if len(failed) == len(self._people):  # whoever was told is not told again because of the others
            raise DestinationError(f"no message could be sent to {', '.join(failed)}")

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._told.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _scheme(address: str) -> str:
    """All that is told of an address: its rest may be a secret."""
    scheme, found, _ = without_secret(address).partition("://")
    return f"{scheme}://…" if found and "$" not in scheme else "an address"


def _text(followed: Followed) -> str:
    facts = followed.facts
    lines = [followed.reason] if followed.reason else []
    lines.append(f"{facts['trials']} trials")
    if BEST in facts:
        lines.append(f"best {facts['objective']} {number_text(facts['best_value'])}, trial {facts['best']}")
        prefix = "best/"
        lines += [
            f"{key.removeprefix(prefix)}: {each}" for key, each in facts.items() if key.startswith(prefix)
        ]
    return "\n".join(lines)
