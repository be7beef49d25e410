"""A function that stands still between two of its results, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch


class TrialEnded(BaseException):
    """Leaves the function of a trial that is paused or stopped; `finally` and `with` are executed.

    Not an Exception, so that `except Exception` in the user's code does not hold it up.
    """


class Suspended:
    """Runs a function until it calls `pause`, and further each time that `resume` is called.

    A thread of its own also has its own modes of torch (no_grad, autocast), so that the function may be
    paused inside of them.

    Args:
        function: without arguments.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._caller, self._callee = threading.Semaphore(0), threading.Semaphore(0)
        self._num_threads = torch.get_num_threads()
        self._paused_with: Any = None
        self._error: BaseException | None = None
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="trial", daemon=True)
        self.returned = False
        """The function has come to its end, or raised."""

    def resume(self) -> Any:
        """What the function pauses with next; None once it has returned.

        Raises:
            BaseException: whatever the function raises.
        """
        if self.returned:
            return None
        if not self._thread.is_alive():
            self._thread.start()
        self._paused_with = None
        self._callee.release()
        self._caller.acquire()
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._paused_with

    def pause(self, value: Any) -> None:
        """In the function: stand still until it is resumed.

        Raises:
            TrialEnded: it is not to go on.
        """
        self.raise_if_ending()
        self._paused_with = value
        self._caller.release()
        self._callee.acquire()
        self.raise_if_ending()

    def raise_if_ending(self) -> None:
        """In the function: leave it if it is not to go on."""
        if self._ending:
            raise TrialEnded

    def end(self) -> None:
        """Leave the function where it stands, or at its next step if it runs, and wait for it.

        Raises:
            BaseException: what the function raises on its way out.
        """
        self._ending = True
        if self.returned or not self._thread.is_alive():
            return
        self._callee.release()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        torch.set_num_threads(self._num_threads)  # as each thread has its own
        self._callee.acquire()
        try:
            if not self._ending:
                self._function()
        except TrialEnded:
            pass
        except BaseException as error:  # for the caller, SystemExit too
            self._error = error
        self.returned = True
        # What the function held is free before anyone goes on.
        del self._function
        self._caller.release()
