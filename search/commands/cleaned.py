"""The trials of which `clean` has taken the checkpoints, so that nobody misses them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from search.run.disk.folder import RunFolder
from trainables.files import atomic_write

_FILE = "cleaned.json"


def cleaned_trials(folder: RunFolder) -> set[int]:
    """Their numbers; of a search in stages, in the folder of the stage."""
    try:
        found = json.loads((folder.path / _FILE).read_text(encoding="utf-8"))
        return {int(number) for number in found["trials"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def add_cleaned(folder: RunFolder, numbers: Iterable[int]) -> None:
    """Record that checkpoints of these trials are about to be removed.

    Raises:
        OSError: the file cannot be written.
    """
    before = cleaned_trials(folder)
    together = before | set(numbers)
    if together != before:
        atomic_write(folder.path / _FILE, json.dumps({"trials": sorted(together)}) + "\n")
