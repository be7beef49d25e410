"""Every name of Ray that is not public, why it is used, and what breaks where Ray changes it.

| what | why | upstream |
|---|---|---|
| `Node.start_monitor`, `Node.start_api_server` do nothing | autoscaler and dashboard server start even where the dashboard is not wanted: 1.2 s of processor time, 190 MB | PR 26042 |
| `class_cache.DEFAULT_ENV_VARS`, `ENV_VARS_TO_PROPAGATE` are empty while trials start | for a process with variables Ray starts a new one, and those that wait are of no use | none known |
| `class_cache.ENV_VARS_TO_PROPAGATE` without credentials | Tune hands them to every trial in a description that Ray logs with its values | none known |
| `RayActorManager._actor_task_failed` takes OutOfMemoryError as an actor's death | Tune takes it for an error of its own, and the search would end with one trial | none known |
| `Trial.run_metadata.checkpoint_manager.checkpoint_config` is set per trial | a trial that has saved already need not be asked to save: half of the time between two short trials | none known |
| `Trial._default_result_or_future`, and `last_result`, `metric_analysis` and `metric_n_steps` of `Trial.run_metadata`, are emptied when a job has ended | Tune keeps them of every job to the end of the search, and reads them no more: most of what a job leaves in the driver's memory | none known |
| `TuneController.checkpoint`, `tune.tune.ExperimentAnalysis`, `tuner_internal.ResultGrid` do nothing while a search runs | at the end Tune pickles every job for a restore, and makes a table of each: 40 s after 3,000 trials, and the study on disk is the truth | none known |
| `ray.init(_temp_dir=, _system_config={"preload_python_modules": ...})` | a session folder that others cannot write in; workers that have imported torch before there is a trial: 2.5 s of each start | none known |
| `JobConfig._runtime_env_has_working_dir`, `JobConfig(_py_driver_sys_path=)` | in a worker the current folder comes before the installed packages, and a file `torch.py` in it hides the library | none known |
| the logger `ray._private` | what Ray logs while it starts waits for the log file of the search | none known |
| `_private.worker._global_node.dead_processes` | a driver waits for a dead Ray for 60 s without a word, and is then ended by Ray's C++ code, also within a call that no signal interrupts | none known |
| `_private.worker._global_node.get_logs_dir_path` | what trials print in the last half second of a search is lost where its driver does not wait; it need not where they are silent | none known |
| `_private.worker._global_node.is_head` | a Ray that this process has started has no other search on its GPUs | none known |
| `maybe_enable_token_auth_if_token_available`, `GcsClient` | Ray sends its token of its own accord to `auto` alone | none known |
| `GcsClient.get_draining_nodes(timeout=)` | a driver waits for 60 s without a word for a head that is gone, and is then ended by Ray's C++ code; hosts that are to be taken away are in no public list | none known |

Checked with the versions in `CHECKED`; tests/e2e/test_patches_ray.py has a test for each row. Nothing here asks
whether a name exists: where one is gone, that is an error and not a slower or less safe search.
"""

# ruff: noqa: E501  # the table above
from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

CHECKED = ("2.60.0",)

INIT_LOGGER = "ray._private"
"""What Ray logs while it starts; the handlers of `ray` itself are cleared there."""

OUT_OF_MEMORY = "the machine ran out of memory, and Ray ended the trial's process"
"""Begins what Ray Tune writes about such a trial."""

GCS = "gcs_server"
"""Ray's name for the process that holds its tables, and that each driver asks."""

VITAL = (GCS, "raylet")
"""The second one starts all others."""

_CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}


_OTHER_CLUSTER = "WrongClusterID"
"""In Ray's error about a question to a head that has begun another cluster since."""

_INHERITED = {"PL_DISABLE_FORK": "1"}
"""What Tune gives to the processes of trials by itself."""


def init_local_ray(
    folder: str | None, num_cpus: int, imports: Sequence[str] = (), store_bytes: int | None = None
) -> None:
    """Start a local Ray without the processes that nobody uses in a search.

    Args:
        folder: of its session; None is Ray's own.
        num_cpus: cores that trials share; Ray itself does not see what this process may use of the machine.
        imports: modules that its workers import before anybody asks for one.
        store_bytes: of its object store; None is Ray's own choice.
    """
    import ray

    for name, value in _INHERITED.items():
        os.environ.setdefault(name, value)
    with _without_unused_processes():
        ray.init(
            "local",
            num_cpus=num_cpus,
            object_store_memory=store_bytes,
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=True,
            job_config=job_config(),
            _temp_dir=folder,
            _system_config={"preload_python_modules": list(imports)} if imports else None,
        )


def job_config() -> Any:
    """What Ray's workers are told about this process: they find this program, and not the user's folders first.

    Those come after the installed packages, see `TrialWorker`.
    """
    import ray.job_config

    class Quiet(ray.job_config.JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True  # then Ray adds neither the script's folder nor the current one

    own = Path(__file__).parents[2]
    installed = own.name in ("site-packages", "dist-packages")
    return Quiet(_py_driver_sys_path=[] if installed else [str(own)])


@contextmanager
def trials_take_waiting_workers() -> Iterator[None]:
    """Meanwhile Tune asks for processes without variables of their own; those of a local Ray inherit them."""
    from ray.tune.execution import class_cache

    kept = {name: getattr(class_cache, name) for name in ("DEFAULT_ENV_VARS", "ENV_VARS_TO_PROPAGATE")}
    for name, value in kept.items():
        setattr(class_cache, name, type(value)())
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(class_cache, name, value)


@contextmanager
def tune_keeps_nothing() -> Iterator[None]:
    """Meanwhile Tune saves no state of its own, and `fit` returns None."""
    from ray.tune import tune
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.impl import tuner_internal

    places: list[tuple[Any, str]] = [
        (TuneController, "checkpoint"),
        (tune, "ExperimentAnalysis"),
        (tuner_internal, "ResultGrid"),
    ]
    kept = [(place, name, getattr(place, name)) for place, name in places]
    for place, name in places:
        setattr(place, name, _nothing)
    try:
        yield
    finally:
        for place, name, before in kept:
            setattr(place, name, before)


def dead_processes() -> dict[str, int]:
    """Exit codes of those of a local Ray's processes that have ended, and without which it does nothing."""
    from ray._private import worker

    node = worker._global_node
    dead = [] if node is None else node.dead_processes()
    return {name: process.returncode for name, process in dead if name in VITAL}


def logs_folder() -> Path:
    """Where the workers of this process's Ray write what they print, if it has started that Ray."""
    from ray._private import worker

    return Path(worker._global_node.get_logs_dir_path())


def started_here() -> bool:
    """Whether this process has started its Ray, rather than joined one that others may use too."""
    from ray._private import worker

    node = worker._global_node
    return node is not None and node.is_head()


@contextmanager
def _without_unused_processes() -> Iterator[None]:
    from ray._private.node import Node

    kept = {name: getattr(Node, name) for name in ("start_monitor", "start_api_server")}
    for name in kept:
        setattr(Node, name, _nothing)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Node, name, method)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """In the place of a method that starts a process, or of what nobody reads."""


def repair_tune() -> None:
    """A search outlives trials that ran out of memory, and no credentials are logged."""
    _outlive_memory_kills()
    from ray.tune.execution import class_cache

    # The processes of a local Ray inherit them anyway.
    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(_CREDENTIALS)


def _outlive_memory_kills() -> None:
    """Ray ends a process when memory is short, with an error that is not that of a dead actor."""
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.exceptions import OutOfMemoryError, RayActorError

    on_failure = RayActorManager._actor_task_failed
    if hasattr(on_failure, "__wrapped__"):
        return

    @wraps(on_failure)
    def as_death(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=f"{OUT_OF_MEMORY}: {exception}")
        on_failure(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = as_death


def save_at_end(trial: Any, *, needed: bool) -> None:
    """Whether Tune asks the trial's process for a checkpoint, which keeps that from its next trial."""
    trial.run_metadata.checkpoint_manager.checkpoint_config.checkpoint_at_end = needed


def forget(trial: Any) -> None:
    """Let go of what Tune keeps of a job that has ended."""
    trial.run_metadata.last_result = {}
    trial.run_metadata.metric_analysis = {}
    trial.run_metadata.metric_n_steps = {}
    trial._default_result_or_future = None


def send_token_if_refused(address: str) -> None:
    """Have Ray send this user's token if the cluster at the address refuses those that send none.

    A cluster without tokens must not be joined with one: its processes would be refused by this one.
    """
    from ray._private.authentication.authentication_token_setup import (
        maybe_enable_token_auth_if_token_available as send_token,
    )
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError

    try:
        GcsClient(address=address)
    except AuthenticationError:
        send_token(warn_if_disabled=False)
    except Exception:  # of an address where nobody answers; joining it says so
        return


class HeadLine:
    """Asks the head of a cluster for a sign of life, and for the nodes that are to be taken away.

    By a client of its own: where the head does not know this driver, Ray's state of the cluster ends the process.

    Args:
        address: of its tables, `host:port`; they answer now.
    """

    ANSWERS, SILENT, STRANGER = "answers", "silent", "stranger"
    """The last one is of a head that was started anew with nothing of what it knew."""

    def __init__(self, address: str) -> None:
        from ray._raylet import GcsClient  # type: ignore[attr-defined]

        self._client = GcsClient(address=address)
        self._is_logged = False
        """The error of a silence that lasts."""
        self.draining: set[str] = set()
        """Ids of nodes, when the head last answered: by `ray drain-node`, an autoscaler, a SIGTERM to
        `ray start --block`."""

    def ask(self, seconds: float) -> str:
        """One of the above; waits for so long at most."""
        try:
            self.draining = set(self._client.get_draining_nodes(timeout=seconds))
        except Exception as error:
            if not self._is_logged:
                log.warning("the head has no answer for this search: %s", error)
            self._is_logged = True
            # Ray takes the answer for one about tokens: AuthenticationError.
            return self.STRANGER if _OTHER_CLUSTER in str(error) else self.SILENT
        self._is_logged = False
        return self.ANSWERS
