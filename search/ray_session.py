"""The Ray that a search runs on: that of this process, a named cluster, or a local one for its time."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

from search.config import Config
from search.errors import SearchError
from search.ray_private import is_of_machine, make_token_private, private_folder, send_token_where_asked

_KNOCK_SECONDS = 10.0


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Ray for the time of a search. One that somebody else runs is joined only if `address` says so.

    Raises:
        SearchError: it cannot be started or reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    if address:
        _knock(address)
        send_token_where_asked(address)
    import ray

    if ray.is_initialized() and address is None:
        yield
        return
    with nullcontext(None) if address else private_folder() as folder:
        if not address:
            make_token_private()
        try:
            ray.init(
                address or "local",
                include_dashboard=None if address else False,
                configure_logging=False,
                log_to_driver=True,
                _temp_dir=folder,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            if address:
                raise _unreachable(address, error) from error
            raise SearchError(f"Ray could not be started: {error}") from error
        try:
            yield
        finally:
            ray.shutdown()


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
