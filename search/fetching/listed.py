"""The runs in a storage, for `tune-search list`: of each the study and the small files, no checkpoints."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from search.addresses import OWNERS
from search.errors import SearchError
from search.listing.find import Size
from search.listing.runs import ListedRun, list_runs
from search.listing.state import RunState, State
from search.mirror.claim import ENDED, last_owner
from search.mirror.fetch import fetch_run
from search.run.disk.folder import RunFolder
from search.run.disk.owner import Owner
from search.run.disk.storage import told
from trainables.storage.address import below
from trainables.storage.store import Store


def list_stored(address: str, phase: Callable[[str], None]) -> list[ListedRun]:
    """The runs below an address, as `list_runs`.

    Args:
        address: of all runs, such as `s3://bucket/runs`.
        phase: called with what is being fetched.

    Raises:
        SearchError: the storage refuses. A run whose mirror is damaged is one in the state damaged.
    """
    sizes: dict[str, int] = {}
    damaged: list[ListedRun] = []
    with TemporaryDirectory() as place, told():
        for name in Store(address).folders():
            store, folder = Store(below(address, name)), RunFolder(Path(place) / name)
            if not store.names(OWNERS):
                continue
            phase(f"fetching the study of {name}")
            sizes[name] = sum(store.names().values())
            try:
                fetch_run(store, folder.path)
                _keep_owner(store, folder)
            except SearchError as error:  # what the storage itself says is a StorageError
                shutil.rmtree(folder.path, ignore_errors=True)  # half of it
                state = RunState(State.DAMAGED, str(error), damaged="its mirror")
                damaged.append(ListedRun(name=name, folder=folder.path, state=state))
        listed = [*list_runs(place, phase=phase), *damaged]
        return [
            replace(run, address=below(address, run.name), size=Size(sizes[run.name], True)) for run in listed
        ]


def _keep_owner(store: Store, folder: RunFolder) -> None:
    """Write what the search that runs says about itself, dated by its last sign of life."""
    said, heard = last_owner(store)
    if said and not said.get(ENDED) and folder.path.is_dir():
        known = {name: said[name] for name in Owner.__dataclass_fields__ if name in said}
        folder.owner_file.write_text(json.dumps(known), encoding="utf-8")
        os.utime(folder.owner_file, (heard, heard))
