"""A local Ray that is started, kept and ended by a thread, so that its start takes nobody's time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from threading import Event, Thread

from search.errors import SearchError
from search.ray.patches import INIT_LOGGER, init_local_ray
from search.ray.private import make_token_private, private_folder


class LocalRay(Thread):
    """Ray, from its start to its end.

    The thread stays for all that time: the kernel ends Ray's processes with the thread that has started them,
    which is what ends them when this process is killed.

    Args:
        imports: modules that Ray's workers import before anybody asks for one.
    """

    def __init__(self, imports: Sequence[str] = ()) -> None:
        super().__init__(name="ray", daemon=True)
        self._imports = list(imports)
        self._ready, self._over = Event(), Event()
        self._error: BaseException | None = None
        self._said = _HeldBack()

    def wait(self) -> None:
        """Until Ray can be used.

        Raises:
            SearchError: it cannot be started.
        """
        self._ready.wait()
        self._said.pass_on()
        if isinstance(self._error, ConnectionError | RuntimeError | ValueError):
            raise SearchError(f"Ray could not be started: {self._error}") from self._error
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """End Ray, and wait for that; a start that is under way is completed first. Again does nothing."""
        self._over.set()
        self.join()
        self._said.stop()

    def run(self) -> None:
        try:
            with private_folder() as folder:
                make_token_private()
                self._start_ray(folder)
                self._ready.set()
                self._over.wait()
                self._shut_down()
        except BaseException as error:  # which `wait` raises where somebody hears it
            self._error = error
        finally:
            self._ready.set()

    def _start_ray(self, folder: str | None) -> None:
        if not self._over.is_set():
            init_local_ray(folder, self._imports)

    def _shut_down(self) -> None:
        import ray

        ray.shutdown()


class _HeldBack(logging.Handler):
    """What Ray logs while it starts, held back until there is a place for it: the log file of the search."""

    _NOT_WORTH_SAYING = "SIGTERM handler is not set"
    """By Ray, outside of the main thread; whoever starts a search handles it."""

    def __init__(self) -> None:
        super().__init__()
        self._records: list[logging.LogRecord] = []
        self._logger = logging.getLogger(INIT_LOGGER)
        self._logger.addHandler(self)
        self._logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)

    def pass_on(self) -> None:
        """Let it be logged, as everything from now on is."""
        self.stop()
        records, self._records = self._records, []
        for record in records:
            if not record.getMessage().startswith(self._NOT_WORTH_SAYING):
                self._logger.callHandlers(record)

    def stop(self) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = True
