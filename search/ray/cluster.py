"""A cluster that somebody else runs: how a search joins it, and notices that its head is gone."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from threading import Event, Thread

from search.errors import SearchError
from search.ray.dead import PATIENCE_SECONDS, DeathNotice, Told, give_up_tables
from search.ray.output import wait_for_output
from search.ray.patches import HeadLine, job_config, send_token_if_refused
from search.ray.private import user_has_token
from trainables.process.places import make_home_known

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_SOON_SECONDS = 0.1
_USUAL_SECONDS = 0.5
_ANSWER_SECONDS = 3.0
"""For which one question to the head waits."""
_LONGEST_LOOK = 5.0
"""Time in which this process, or the whole machine, stood still does not count as the head's."""
TOLD_SECONDS = 10.0
"""Silence of the head that a person is told of."""
SILENCE_SECONDS = 40.0
"""Silence after which it is taken for dead; after 60 s Ray itself ends its processes."""


class Cluster(Thread):
    """Watches the cluster that this process is a driver of, until `leave`.

    Virtual epochs that run are trained on without the head; so one that comes back with all that it knew, or
    whose cable is plugged in again, has kept nobody up.

    Args:
        address: of a cluster that is joined here; None is the one that this process has joined before.

    Raises:
        SearchError: it cannot be joined.
    """

    def __init__(self, address: str | None) -> None:
        super().__init__(name="head", daemon=True)
        self._is_own = address is not None
        if address is not None:
            _join(address)
        import ray

        self.note: Callable[[str], None] = lambda text: None
        """Called, in another thread, with a line that a person should read."""
        self._death, self._is_stranger = "", False
        self._asked, self._was_heard = 0.0, True
        self._over, self._notice = Event(), DeathNotice()
        self._head = ray.get_runtime_context().gcs_address
        self._line = line_to(self._head, is_own=self._is_own)
        self.start()

    @property
    def is_silent(self) -> bool:
        """Whether the head has not answered the last question, or takes longer than usual."""
        return not self._was_heard or 0 < self._asked < time.monotonic() - _USUAL_SECONDS

    @property
    def leaving(self) -> set[str]:
        """Ids of the hosts that are to be taken away, such as preempted ones."""
        return self._line.draining

    def death(self) -> str:
        """What has become of the head, if the search cannot go on with it; else empty.

        Waits while it is silent: whoever asks it then waits too, and the answer of a head that does not know
        this driver ends the process.
        """
        while self.is_silent and self.is_alive() and not self._death and not self._over.wait(_SOON_SECONDS):
            pass
        if self._is_stranger and self._is_own:
            self._over.wait(PATIENCE_SECONDS)
        return self._death

    def on_death(self, tell: Told, leave: Told) -> None:
        """See `Executor.on_death`; a process that had joined by itself is its user's, and not ended."""
        self._notice.to(tell, leave if self._is_own else lambda cause: None)

    def run(self) -> None:
        silence, told = 0.0, False
        while not self._death and not self._over.wait(_LOOK_SECONDS):
            begin = self._asked = time.monotonic()
            heard = self._line.ask(_ANSWER_SECONDS)
            self._asked, self._was_heard = 0.0, heard is HeadLine.ANSWERS
            silence += min(_LOOK_SECONDS + time.monotonic() - begin, _LONGEST_LOOK)
            if self._was_heard:
                if told:
                    self._say(f"the cluster's head at {self._head} answers again: the search goes on")
                silence, told = 0.0, False
            elif heard is HeadLine.STRANGER:
                self._is_stranger = True
                self._death = (
                    f"the cluster's head at {self._head} was started anew, and does not know this search"
                )
            elif silence >= SILENCE_SECONDS:
                self._death = f"the cluster's head at {self._head} has not answered for {SILENCE_SECONDS:g} s"
            elif silence >= TOLD_SECONDS and not told:
                told = True
                self._say(_silent_text(self._head))
        if self._death:
            self._notice.give(self._death, self._over, 0.0 if self._is_stranger else PATIENCE_SECONDS)

    def leave(self) -> None:
        """Be no driver any more, unless this process was one before; may be called again."""
        if self._over.is_set():
            return
        self._over.set()
        self.join()  # after the answer to its last question
        if not self._is_own:
            return
        # One late answer says nothing of a head.
        if self._death or not (self._was_heard or self._line.ask(_ANSWER_SECONDS) is HeadLine.ANSWERS):
            give_up_tables()
            return
        import ray

        wait_for_output(None)
        ray.shutdown()

    def _say(self, text: str) -> None:
        try:
            self.note(text)
        except Exception:  # such as of a closed output: the watch goes on
            log.exception("%s", text)


def _silent_text(head: str) -> str:
    more = SILENCE_SECONDS - TOLD_SECONDS
    return (
        f"the cluster's head at {head} has not answered for {TOLD_SECONDS:g} s: running virtual epochs go on "
        f"and nothing that was saved is lost; if it stays away for {more:g} s more, the search ends, and the "
        "same command goes on with a new head"
    )


def set_environment() -> None:
    make_home_known()
    if sys.flags.optimize > 1:
        raise SearchError(
            "Python runs with -OO (PYTHONOPTIMIZE=2), and Ray cannot be imported without its docstrings; "
            "leave that out, or use -O"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"


def _join(address: str) -> None:
    """Become a driver of the cluster at the address."""
    set_environment()
    # `host:port`, as `ray start` prints it, and not `auto` or with a protocol
    if re.fullmatch(r"[^/]+:\d+", address):
        _check_listening(address)
        if user_has_token():
            send_token_if_refused(address)
    import ray

    try:
        ray.init(address, configure_logging=False, log_to_driver=True, job_config=job_config())
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address, error) from error


def line_to(head: str, *, is_own: bool) -> HeadLine:
    """The line to the head of a cluster that this process is a driver of.

    Args:
        head: `host:port`.
        is_own: it was joined here, and is left again if the head does not answer.

    Raises:
        SearchError: the head does not answer any more.
    """
    import ray
    from ray.exceptions import RpcError

    try:
        return HeadLine(head)
    except Exception as error:  # Ray has several without a base of their own
        if is_own and isinstance(error, RpcError):  # after 40 s
            give_up_tables()
        elif is_own:
            ray.shutdown()
        raise _unreachable(head, error) from error


def _check_listening(address: str) -> None:
    """Raise SearchError if nobody listens at the address; Ray itself would try for a quarter of an hour."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> SearchError:
    hint = "give the address that `ray start` printed, or auto on a machine of the cluster"
    return SearchError(f"Ray could not be reached at {address}: {error}; {hint}")
