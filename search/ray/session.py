"""The Ray that a search runs on: that of this process, a named cluster, or a local one for its time."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from logging.handlers import MemoryHandler
from threading import Event, Thread

from search.errors import SearchError
from search.ray.allowed import few_processes, store_bytes
from search.ray.cluster import Cluster, set_environment
from search.ray.dead import PATIENCE_SECONDS, DeathNotice, Told, give_up_tables
from search.ray.groups import group_of_their_own
from search.ray.hosts import Host, living_hosts
from search.ray.output import wait_for_output
from search.ray.patches import (
    GCS,
    INIT_LOGGER,
    dead_processes,
    init_local_ray,
    logs_folder,
    started_here,
    trials_take_waiting_workers,
)
from search.ray.private import LONGEST_IN_SESSION, private_folder, private_token
from trainables.process.cores import num_cores
from trainables.process.places import LONGEST_SOCKET

_LOOK_SECONDS = 0.5
_START_SECONDS = 300.0
_ATTEMPTS = 3
"""To start Ray, which gives up after 30 s by itself: on a busy machine its processes may need longer."""
_TOO_LATE = "The current node timed out during startup"
"""How the error of that begins."""
_LONGEST_FOLDER = LONGEST_SOCKET - len(f"/ray/{LONGEST_IN_SESSION}")

_WORKER_IMPORTS = "trainables.workers.trainable"
_MOST_WORKERS = 16
_MOST_PENDING = 100_000

log = logging.getLogger(__name__)


class RaySession:
    """The Ray of a search. One that somebody else runs is joined only if `address` says so; the one that this
    process has already is used, and stays.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = address
        self._local: LocalRay | None = None
        self._cluster: Cluster | None = None
        self._own: Sequence[Host] = ()

    def begin(self) -> None:
        """Start a local Ray in the background, unless this process has one or an address is given.

        Raises:
            SearchError: Python runs in a way that Ray does not bear.
        """
        if self.address or self._local is not None:
            return
        set_environment()
        import ray

        if not ray.is_initialized():
            if few := few_processes():
                log.warning(few)
            self._local = LocalRay()
            self._local.start()

    def wait_until_ready(self) -> None:
        """Begin if nobody has, and wait until Ray can be used.

        Raises:
            SearchError: Ray cannot be started or reached.
        """
        if self.address and self._cluster is None:
            self._cluster = Cluster(self.address)
        self.begin()
        for _ in range(_ATTEMPTS - 1):
            if self._local is None or self._local.came_up():
                break
            log.warning("Ray has not come up within 30 s, as on a busy machine: it is started once more")
            self._local.end()  # the kernel ends the processes that it has started with its thread
            self._local = LocalRay()
            self._local.start()
        if self._local is not None:
            self._local.wait()
        elif self._cluster is None and not started_here():
            self._cluster = Cluster(None)

    def on_death(self, tell: Told, leave: Told) -> None:
        """See `Executor.on_death`; of a Ray that this process has started by itself nobody is told."""
        if (watched := self._local or self._cluster) is not None:
            watched.on_death(tell, leave)

    def death(self) -> str:
        """What has become of a Ray that is dead; else empty. See `Cluster.death` too."""
        if self._local is not None:
            return self._local.death
        return "" if self._cluster is None else self._cluster.death()

    def starting_trials(self) -> AbstractContextManager[None]:
        """For the time in which Ray Tune starts trials."""
        return nullcontext() if self._local is None else trials_take_waiting_workers()

    def hosts(self) -> Sequence[Host]:
        """The hosts of now, or of before the head fell silent.

        A local Ray is asked once: nothing joins it, and a dead one does not answer.
        """
        if self._local is None:
            stale = self._cluster is not None and self._cluster.is_silent and self._own
            self._own = self._own if stale else living_hosts()
        else:
            self._own = self._own or living_hosts()
        return self._own

    def leaving(self) -> set[str]:
        """Ids of the hosts that are to be taken away, such as preempted ones."""
        return set() if self._cluster is None else self._cluster.leaving

    def close(self) -> None:
        """End what was begun, after a start that is under way; may be called again."""
        if self._cluster is not None:
            self._cluster.leave()
        if self._local is not None:
            self._local.end()
        self._local, self._cluster, self._own = None, None, ()


class LocalRay(Thread):
    """A local Ray from its start to its end.

    The thread stays for all that time: the kernel ends Ray's processes with the thread that has started them.
    """

    def __init__(self) -> None:
        super().__init__(name="ray", daemon=True)
        self._ready, self._over = Event(), Event()
        self._error: BaseException | None = None
        self._notice = DeathNotice()
        self._dead: dict[str, int] = {}
        self._stuck = False
        """Its start waits for a process that is dead, and for ever."""
        self.death = ""
        """What has become of Ray, if it did not end by itself."""
        # What Ray logs while it starts waits for the log file of the search.
        self._logger = logging.getLogger(INIT_LOGGER)
        self._held_back = MemoryHandler(10_000, flushLevel=logging.CRITICAL + 1, target=self._logger)  # type: ignore[arg-type]
        self._held_back.addFilter(_is_worth_logging)
        self._logger.addHandler(self._held_back)
        self._logger.propagate = False

    def came_up(self) -> bool:
        """Wait as `wait` does; False if Ray has given up its own start, as its processes took too long."""
        try:
            self.wait()
        except SearchError as error:
            if str(error.__cause__).startswith(_TOO_LATE):
                return False
            raise
        return True

    def wait(self) -> None:
        """Wait until Ray can be used.

        Raises:
            SearchError: it cannot be started.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self._ready.wait(_LOOK_SECONDS):
            if time.monotonic() > deadline or (self._died() and not self._ready.wait(PATIENCE_SECONDS)):
                self._stuck = True
                give_up_tables()
                cause = self.death or f"it has not answered for {_START_SECONDS:g} s"
                raise SearchError(f"Ray could not be started: {cause}; `--local` runs the trials without it")
        self._log_directly()
        self._held_back.flush()
        if isinstance(self._error, OSError | RuntimeError | ValueError) or type(self._error) is Exception:
            raise SearchError(f"Ray could not be started: {self._error}{_path_text()}") from self._error
        if self._error is not None:
            raise self._error

    def on_death(self, tell: Told, leave: Told) -> None:
        """See `Executor.on_death`."""
        self._notice.to(tell, leave)

    def end(self) -> None:
        """End Ray, and wait for that; a start that is under way is completed first."""
        self._over.set()
        if not self._stuck:
            self.join()
        self._log_directly()
        self._held_back.buffer.clear()  # of a start that nobody waited for

    def run(self) -> None:
        try:
            with private_folder() as folder, private_token(folder), group_of_their_own():
                self._start_ray(folder)
                self._ready.set()
                while not self._over.wait(_LOOK_SECONDS) and not self._died():
                    pass
                if self.death:
                    self._notice.give(self.death, self._over)
                self._shut_down()
        except BaseException as error:  # which `wait` raises
            self._error = error
        finally:
            self._ready.set()

    def _start_ray(self, folder: str | None) -> None:
        if not self._over.is_set():
            # Ray starts as many workers as there are cores; of many, most would hold torch for nothing.
            cores = num_cores()
            imports = [_WORKER_IMPORTS] if cores <= _MOST_WORKERS else []
            init_local_ray(folder, cores, imports, store_bytes=store_bytes())

    def _died(self) -> bool:
        self._dead = self._dead or dead_processes()
        self.death = self.death or _death_text(self._dead)
        return bool(self._dead)

    def _shut_down(self) -> None:
        import ray

        self._died()
        if GCS in self._dead:
            give_up_tables()  # what is left of Ray ends with its group
        else:
            wait_for_output(logs_folder())
            ray.shutdown()

    def _log_directly(self) -> None:
        self._logger.removeHandler(self._held_back)
        self._logger.propagate = True


def is_ray_here() -> bool:
    """Whether this process has a Ray already, as after `ray.init()` in Python."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def _death_text(dead: Mapping[str, int]) -> str:
    return " and ".join(f"Ray's {name} {_how_ended(code)}" for name, code in dead.items())


def _how_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _path_text() -> str:
    """What keeps Ray from making its sockets, and the way out."""
    folder = os.environ.get("RAY_TMPDIR", "")
    if len(os.fsencode(folder)) > _LONGEST_FOLDER:
        return (
            f"; RAY_TMPDIR is {folder}: for sockets its path must have at most {_LONGEST_FOLDER} bytes, "
            "leave it unset or name another"
        )
    return ""


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Ray reports that it sets no SIGTERM handler outside the main thread; the program has its own."""
    return not record.getMessage().startswith("SIGTERM handler is not set")


def quiet_tune() -> None:
    """Settings of Ray Tune, before it is imported: it executes, and keeps and prints nothing."""
    # The coordinator bounds them, as hosts join and leave; Tune's own bound is fixed for good.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(_MOST_PENDING)
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "3600"
    # For a report of its own, which nobody sees; the question ends this process if the head is a new one.
    os.environ["TUNE_STATE_REFRESH_PERIOD"] = "1e9"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # It misses the result files of Ray's own loggers, which are off.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
