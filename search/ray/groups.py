"""Ray's processes are out of reach of signals to the group of this one, and end with it nevertheless.

A batch system and a terminal signal every process of a group. Ray's own would be gone at once, and the
running virtual epochs could not be saved.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_GUARD = "trap '' HUP INT TERM; read _; kill -9 0"
"""Waits for the end of its input, which comes with that of this process, and then ends its group.

The kernel ends what this process has started itself. Ray's agents, which those have started, would outlive
them by more than a minute.
"""

_thread = threading.local()


@contextmanager
def group_of_their_own() -> Iterator[None]:
    """Processes that this thread starts are in a group of their own, in this session; all end afterwards."""
    quiet = subprocess.DEVNULL
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, process_group=0
    )
    with guard:
        _thread.group = guard.pid
        try:
            yield
        finally:
            _thread.group = None


def _join_group() -> None:
    group = getattr(_thread, "group", None)
    if group is not None:
        os.setpgid(0, group)


# Ray starts its processes with a `preexec_fn`, before which Python calls this in the new process.
os.register_at_fork(after_in_child=_join_group)
