"""The values that a trial's processes wrote for TensorBoard, each file read once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event


class Written(NamedTuple):
    """What was written at a step."""

    at: float
    """When, in seconds since 1970, as the trial's machine has it."""
    values: Mapping[str, float]


class EventValues:
    """The scalars of a trial by its steps. Of a step that was trained again, the last ones count.

    Args:
        folder: of the trial.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaders: dict[Path, RawEventFileLoader] = {}
        self._found: dict[int, tuple[float, dict[str, float]]] = {}

    def look(self) -> None:
        """Read what has been added since; the end of a file that is being written is left for later.

        Raises:
            OSError: a file cannot be read.
        """
        for file in sorted(self._folder.glob("events.out.tfevents.*")):
            if file not in self._loaders:
                self._loaders[file] = RawEventFileLoader(str(file))
            for raw in self._loaders[file].Load():
                self._take(Event.FromString(raw))

    def _take(self, event: Event) -> None:
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value" and math.isfinite(value.simple_value):
                self._found.setdefault(event.step, (event.wall_time, {}))[1][value.tag] = value.simple_value

    def at(self, step: int) -> Written | None:
        """What was written at a step, if anything."""
        found = self._found.get(step)
        return None if found is None else Written(*found)
