"""What Ray Tune does that no public interface of it changes, and that would harm a search."""

from __future__ import annotations

from contextlib import suppress
from functools import wraps
from typing import Any

from ray.exceptions import OutOfMemoryError, RayActorError

OUT_OF_MEMORY = "the machine ran out of memory, and Ray ended the trial's process"
"""Begins what Ray Tune writes about such a trial."""

_CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}


def repair_tune() -> None:
    """Make the changes; again changes nothing. Where Ray has become another, they are left out."""
    with suppress(ImportError, AttributeError):
        _outlive_memory_kills()
    with suppress(ImportError, AttributeError):
        _keep_credentials_out_of_logs()


def _outlive_memory_kills() -> None:
    """Ray ends a process when memory is short, and tells it with an error that is not that of a dead actor.

    Tune takes that for a mistake of its own and raises: the whole search would end with one trial.
    """
    from ray.air.execution._internal.actor_manager import RayActorManager

    on_failure = RayActorManager._actor_task_failed
    if hasattr(on_failure, "__wrapped__"):
        return

    @wraps(on_failure)
    def as_death(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=f"{OUT_OF_MEMORY}: {exception}")
        on_failure(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = as_death


def _keep_credentials_out_of_logs() -> None:
    """Tune hands these variables to every trial as part of a description that Ray logs with all values.

    The processes of a local Ray inherit them anyway.
    """
    from ray.tune.execution import class_cache

    class_cache.ENV_VARS_TO_PROPAGATE.difference_update(_CREDENTIALS)
