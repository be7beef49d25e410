"""The Ray that a search runs on: that of this process, a named cluster, or a local one for its time."""

from __future__ import annotations

import atexit
import logging
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from logging.handlers import MemoryHandler
from threading import Event, Thread

from search.errors import SearchError
from search.ray.allowed import few_processes, store_bytes
from search.ray.groups import group_of_their_own
from search.ray.hosts import Host, living_hosts
from search.ray.patches import (
    GCS,
    INIT_LOGGER,
    dead_processes,
    init_local_ray,
    job_config,
    send_token_if_refused,
    trials_take_waiting_workers,
)
from search.ray.private import LONGEST_IN_SESSION, private_folder, private_token, user_has_token
from trainables.process.cores import num_cores
from trainables.process.places import LONGEST_SOCKET, make_home_known

_CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_PATIENCE_SECONDS = 5.0
"""For which a search whose Ray is dead may go on: then it waits for what does not come."""

_START_SECONDS = 300.0
_ATTEMPTS = 3
"""To start Ray, which gives up after 30 s by itself: on a busy machine its processes may need longer."""
_TOO_LATE = "The current node timed out during startup"
"""How the error of that begins."""
_LONGEST_FOLDER = LONGEST_SOCKET - len(f"/ray/{LONGEST_IN_SESSION}")

_WORKER_IMPORTS = "trainables.trainable"
_MOST_WORKERS = 16
_MOST_PENDING = 100_000

_tables_gone = Event()

log = logging.getLogger(__name__)

Told = Callable[[str], None]


class RaySession:
    """The Ray of a search. One that somebody else runs is joined only if `address` says so; the one that this
    process has already is used, and stays.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = address
        self._local: LocalRay | None = None
        self._joined = False
        self._own: Sequence[Host] = ()

    def begin(self) -> None:
        """Start a local Ray in the background, unless this process has one or an address is given.

        Raises:
            SearchError: Python runs in a way that Ray does not bear.
        """
        if self.address or self._local is not None:
            return
        _set_environment()
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
        if self.address and not self._joined:
            _join(self.address)
            self._joined = True
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

    def on_death(self, tell: Told, leave: Told) -> None:
        """See `Executor.on_death`. A cluster that somebody else runs may come back: Ray waits for it."""
        if self._local is not None:
            self._local.on_death(tell, leave)

    def death(self) -> str:
        """What has become of a local Ray that is dead; else empty."""
        return "" if self._local is None else self._local.death

    def starting_trials(self) -> AbstractContextManager[None]:
        """For the time in which Ray Tune starts trials."""
        return nullcontext() if self._local is None else trials_take_waiting_workers()

    def hosts(self) -> Sequence[Host]:
        """The hosts of now; a local Ray is asked once: nothing joins it, and a dead one does not answer."""
        if self._local is None:
            return living_hosts()
        self._own = self._own or living_hosts()
        return self._own

    def close(self) -> None:
        """End what was begun, after a start that is under way; may be called again."""
        if self._joined:
            import ray

            ray.shutdown()
            self._joined = False
        if self._local is not None:
            self._local.end()
            self._local, self._own = None, ()


class LocalRay(Thread):
    """A local Ray from its start to its end.

    The thread stays for all that time: the kernel ends Ray's processes with the thread that has started them.
    """

    def __init__(self) -> None:
        super().__init__(name="ray", daemon=True)
        self._ready, self._over = Event(), Event()
        self._error: BaseException | None = None
        self._told: tuple[Told, Told] | None = None
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
            if time.monotonic() > deadline or (self._died() and not self._ready.wait(_PATIENCE_SECONDS)):
                self._stuck = True
                _tables_gone.set()
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
        self._told = tell, leave

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
                self._outlive_ray()
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

    def _outlive_ray(self) -> None:
        """Ray is dead: say so, and see that nobody waits for it."""
        deadline, told = time.monotonic() + _PATIENCE_SECONDS, False
        while not self._over.wait(_LOOK_SECONDS):
            if self._told is None:
                continue
            tell, leave = self._told
            if not told:
                tell(self.death)
            elif time.monotonic() > deadline:
                leave(self.death)
            told = True

    def _shut_down(self) -> None:
        import ray

        self._died()
        if GCS in self._dead:
            # It would be asked for a minute; what is left of Ray ends with its group.
            atexit.unregister(ray.shutdown)
            _tables_gone.set()
        else:
            ray.shutdown()

    def _log_directly(self) -> None:
        self._logger.removeHandler(self._held_back)
        self._logger.propagate = True


def is_ray_here() -> bool:
    """Whether this process has a Ray already, as after `ray.init()` in Python."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def exit_if_crippled(code: int) -> None:
    """End this process here if Ray's tables went before it: with Python's own end Ray's C++ code crashes."""
    if _tables_gone.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


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


def _set_environment() -> None:
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
    _set_environment()
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


def quiet_tune() -> None:
    """Settings of Ray Tune, before it is imported: it executes, and keeps and prints nothing."""
    # The coordinator bounds them, as hosts join and leave; Tune's own bound is fixed for good.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(_MOST_PENDING)
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "3600"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # It misses the result files of Ray's own loggers, which are off.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
