"""The Ray that a search runs on: that of this process, a named cluster, or a local one for its time."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from search.config.config import Config
from search.config.tasks import BUILT_IN
from search.errors import SearchError
from search.ray.lean import imported_by_workers, let_workers_inherit, trials_take_waiting_workers
from search.ray.local import LocalRay
from search.ray.private import is_of_machine, send_token_where_asked

_KNOCK_SECONDS = 10.0


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
            self._local = LocalRay(imported_by_workers(built_in or None))
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


def _join(address: str) -> None:
    """Become a driver of the cluster at the address."""
    _set_environment()
    _knock(address)
    send_token_where_asked(address)
    import ray

    try:
        ray.init(address, configure_logging=False, log_to_driver=True)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address, error) from error


def _knock(address: str) -> None:
    """Raise SearchError if nobody listens at the address; Ray itself would try for a quarter of an hour."""
    if not is_of_machine(address):
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


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


def concurrent_trials(config: Config, available: Mapping[str, float]) -> int:
    """Trials that run at once, from what a trial asks for and what is there.

    Raises:
        SearchError: not even one trial fits.
    """
    resources = config.resources
    fits = int(available.get("CPU", 0) / resources.cpus_per_trial + 1e-9)
    lacking = (
        []
        if fits
        else [f"cpus_per_trial is {resources.cpus_per_trial:g}, there are {available.get('CPU', 0):g}"]
    )
    if resources.gpus_per_trial > 0:
        gpus, share = available.get("GPU", 0), resources.gpus_per_trial
        on_gpus = int(gpus) * int(1 / share + 1e-9) if share <= 1 else int(gpus / share)
        fits = min(fits, on_gpus)
        if not on_gpus:
            lacking.append(f"gpus_per_trial is {share:g}, there are {gpus:g}")
    if lacking:
        raise SearchError(
            f"resources: {'; '.join(lacking)}. "
            "Ask for less with --set, or name a larger Ray cluster with --address"
        )
    return min(fits, resources.concurrent_trials or fits)
