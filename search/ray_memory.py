"""Lets Ray Tune outlive a trial whose process Ray ends because the machine runs out of memory.

Ray reports such a death as an OutOfMemoryError, which Tune takes for a mistake of its own: it raises, and the
whole search would end. Here it becomes the death of an actor, which is what it is.
"""

from __future__ import annotations

from contextlib import suppress
from functools import wraps
from typing import Any

from ray.exceptions import OutOfMemoryError, RayActorError

OUT_OF_MEMORY = "the machine ran out of memory, and Ray ended the trial's process"
"""Begins what Ray Tune writes about such a trial."""


def outlive_memory_kills() -> None:
    """Have Tune treat a process that was ended for its memory as one that has died; again changes nothing."""
    # No public interface of Ray comes near it. Without this one the search can still be resumed.
    with suppress(ImportError, AttributeError):
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
