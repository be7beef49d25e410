"""`tune-search fetch`: a run that is in a storage as a folder here, with all that is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from search.run.disk.folder import RunFolder
from search.run.disk.storage import StoredTrials, fetched_run, told
from trainables.checkpoints.checkpoint import DamagedCheckpointError
from trainables.storage.store import Store


@dataclass(frozen=True)
class Fetched:
    """What is here now."""

    folder: Path
    checkpoints: int
    """That were fetched."""
    damaged: tuple[str, ...]
    """Lines about those that are damaged in the storage."""


def fetch(
    address: str,
    results: str | Path = "results",
    *,
    checkpoints: bool = True,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Fetched:
    """Bring a run here from its storage; what is here already stays, and is not fetched again.

    The search may be running, on another machine: nothing is locked, and nothing written in the storage.

    Args:
        address: of the run, such as `s3://bucket/runs/seg`.
        results: folder of all runs.
        checkpoints: fetch them too, beside the study, the small files and TensorBoard's events.
        progress: called with the number of trials that have been fetched, and of all.

    Raises:
        SearchError: there is no such run, the storage refuses, or the folder and the storage have gone on
            apart.
    """
    folder = fetched_run(address, results)
    with told():
        trials = _trials(address, folder)
        fetched, damaged = 0, list[str]()
        for done, (home, number) in enumerate(trials):
            progress(done, len(trials))
            store = StoredTrials(address, home).of(number)
            store.fetch_files()
            for stored in store.missing() if checkpoints else ():
                try:
                    store.get(stored)
                    fetched += 1
                except DamagedCheckpointError as error:
                    damaged.append(f"trial {number}: {error}")
    return Fetched(folder.path, fetched, tuple(damaged))


def _trials(address: str, folder: RunFolder) -> list[tuple[RunFolder, int]]:
    """Trials of the run, of its stages and of its race, that have something in the storage."""
    found: dict[tuple[str, int], None] = {}
    for name in Store(address).names():
        home, trials, below = name.partition("trials/")
        number = below.partition("/")[0]
        if trials and number.isdecimal() and not home.startswith("driver/"):
            found[home, int(number)] = None
    return [(RunFolder(folder.path / home), number) for home, number in found]
