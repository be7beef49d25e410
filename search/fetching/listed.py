"""The runs in a storage, for `tune-search list`: of each the study and the small files, no checkpoints."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from search.addresses import OWNERS
from search.listing.find import Size
from search.listing.runs import ListedRun, list_runs
from search.mirror.claim import ENDED, last_owner
from search.mirror.fetch import fetch_run
from search.run.folder import RunFolder
from search.run.owner import Owner
from search.run.storage import told
from trainables.storage.address import below
from trainables.storage.store import Store


def list_stored(address: str, phase: Callable[[str], None]) -> list[ListedRun]:
    """The runs below an address, as `list_runs`.

    Args:
        address: of all runs, such as `s3://bucket/runs`.
        phase: called with what is being fetched.

    Raises:
        SearchError: the storage refuses, or a mirror there is damaged.
    """
    sizes: dict[str, int] = {}
    with TemporaryDirectory() as place, told():
        for name in Store(address).folders():
            store, folder = Store(below(address, name)), RunFolder(Path(place) / name)
            if not store.names(OWNERS):
                continue
            phase(f"fetching the study of {name}")
            fetch_run(store, folder.path)
            _keep_owner(store, folder)
            sizes[name] = sum(store.names().values())
        return [
            replace(run, address=below(address, run.name), size=Size(sizes[run.name], True))
            for run in list_runs(place, phase=phase)
        ]


def _keep_owner(store: Store, folder: RunFolder) -> None:
    """Write what the search that runs says about itself, dated by its last sign of life."""
    said, heard = last_owner(store)
    if said and not said.get(ENDED) and folder.path.is_dir():
        known = {name: said[name] for name in Owner.__dataclass_fields__ if name in said}
        folder.owner_file.write_text(json.dumps(known), encoding="utf-8")
        os.utime(folder.owner_file, (heard, heard))
