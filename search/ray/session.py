"""The Ray that a search runs on: that of this process, a named cluster, or a local one for its time."""

from __future__ import annotations

import logging
import os
import re
import socket
from contextlib import AbstractContextManager, nullcontext

from search.config.tasks import BUILT_IN
from search.errors import SearchError
from search.ray.local import LocalRay
from search.ray.patches import let_workers_inherit, send_token_if_refused, trials_take_waiting_workers
from search.ray.private import user_has_token

_KNOCK_SECONDS = 10.0
_WORKER_IMPORTS = "trainables.trainable"
_MOST_WORKERS = 16


class RaySession:
    """The Ray of a search: `with` waits until it can be used, and ends it. One that somebody else runs is
    joined only if `address` says so; the one that this process has already is used, and stays.

    A local Ray can begin earlier, while other things are made ready. Then `close` ends it in any case. Inside
    of a `with`, another one changes nothing.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._local: LocalRay | None = None
        self._joined = False
        self._depth = 0

    def begin(self, task: str = "") -> None:
        """Start a local Ray in the background, unless one is there or an address is given.

        Args:
            task: as in the configuration; one that is built in is imported by the trials' processes already.
        """
        if self._address or self._local is not None:
            return
        _set_environment()
        import ray

        if not ray.is_initialized():
            let_workers_inherit()
            built_in = BUILT_IN.get(task, "").partition(":")[0]
            self._local = LocalRay(_imported_by_workers(built_in or None))
            self._local.start()

    def __enter__(self) -> RaySession:
        """
        Raises:
            SearchError: Ray cannot be started or reached.
        """
        if self._depth == 0:
            if self._address:
                _join(self._address)
                self._joined = True
            self.begin()
            if self._local is not None:
                self._local.wait()
        self._depth += 1
        return self

    def __exit__(self, *exception: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.close()

    def close(self) -> None:
        """End what was begun; a start that is under way is waited for. Again does nothing."""
        if self._joined:
            import ray

            ray.shutdown()
            self._joined = False
        if self._local is not None:
            self._local.end()

    def tune_settings(self) -> AbstractContextManager[None]:
        """For the time in which Ray Tune starts trials here."""
        return nullcontext() if self._local is None else trials_take_waiting_workers()


def _set_environment() -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"


def _imported_by_workers(task_module: str | None) -> list[str]:
    """What Ray's workers import before anybody asks for one; nothing on machines of many cores.

    Ray starts as many workers as there are cores; there, most of them would hold torch for nothing.
    """
    if _num_cores() > _MOST_WORKERS:
        return []
    return [_WORKER_IMPORTS] if task_module is None else [_WORKER_IMPORTS, task_module]


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _join(address: str) -> None:
    """Become a driver of the cluster at the address."""
    _set_environment()
    _knock(address)
    if _is_of_machine(address) and user_has_token():
        send_token_if_refused(address)
    import ray

    try:
        ray.init(address, configure_logging=False, log_to_driver=True)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address, error) from error


def _knock(address: str) -> None:
    """Raise SearchError if nobody listens at the address; Ray itself would try for a quarter of an hour."""
    if not _is_of_machine(address):
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _is_of_machine(address: str) -> bool:
    """Whether it is `host:port`, as `ray start` prints it, and not `auto` or with a protocol."""
    return re.fullmatch(r"[^/]+:\d+", address) is not None


def _unreachable(address: str, error: Exception) -> SearchError:
    hint = "give the address that `ray start` printed, or auto on a machine of the cluster"
    return SearchError(f"Ray could not be reached at {address}: {error}; {hint}")


def ray_resources() -> dict[str, float]:
    """What the Ray of this process has: `CPU`, `GPU` and more."""
    import ray

    return ray.cluster_resources()


def quiet_tune(concurrency: int) -> None:
    """Settings of Ray Tune, before it is imported: it executes, and keeps and prints nothing."""
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(concurrency)
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "3600"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # It misses the result files of Ray's own loggers, which are off.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
