"""The end of the program, also where threads of a task's own would go on for ever."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from search.ray.dead import exit_if_crippled

GRACE_SECONDS = 10.0
"""For threads that have something to finish, such as an upload."""


@contextmanager
def ended(*, whole: bool) -> Iterator[None]:
    """The program ends with what is done in here: with its exit code, and soon.

    Args:
        whole: nothing comes after it. Python would wait for all threads that are no daemons; here they have
            some seconds.
    """
    code = 0
    try:
        yield
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 0
        exit_if_crippled(code)
        raise
    finally:
        if whole and _lasting():
            threading.Thread(target=_leave, args=(code,), name="leaving", daemon=True).start()


def _lasting() -> list[str]:
    """Names of the threads that Python waits for; those of idle pools end with it."""
    threads = (each for each in threading.enumerate() if each is not threading.main_thread())
    return [each.name for each in threads if not each.daemon]


def _leave(code: int) -> None:
    """A daemon: it ends with the process if that ends by itself."""
    threading.Event().wait(GRACE_SECONDS)
    with suppress(OSError, ValueError):
        names = ", ".join(_lasting())
        print(f"a thread of the task ({names}) goes on: the program ends without it", file=sys.stderr)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
