"""Tasks for searches on several hosts."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from patience import PATIENCE
from tiny_tasks import AccuracyMetrics, DigitsTask


class MeetingTask(DigitsTask):
    """Ends a virtual epoch only when trials on `data.hosts` hosts have come as far, each once."""

    def metrics(self) -> AccuracyMetrics:
        folder, wanted = Path(self.options.data["folder"]), self.options.data["hosts"]
        (folder / socket.gethostname()).touch()
        deadline = time.monotonic() + PATIENCE
        while len(list(folder.iterdir())) < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {[file.name for file in folder.iterdir()]} came, not {wanted}")
            time.sleep(0.05)
        return super().metrics()
