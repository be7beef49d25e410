"""A task whose process stands still in the middle of a search, as one whose machine does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tiny_tasks import AccuracyMetrics, DigitsTask


class StoppedTask(DigitsTask):
    """Stops its process in the second validation, unless the file `data.stopped` says that it did."""

    def metrics(self) -> AccuracyMetrics:
        self._validations = getattr(self, "_validations", 0) + 1
        stopped = Path(self.options.data["stopped"])
        if self._validations == 2 and not stopped.exists():
            stopped.touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().metrics()
