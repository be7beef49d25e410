"""What the trials of a search need on each host that runs them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from search.config.callables import is_interactive
from search.ray.preflight import Needs
from search.run.executor import Jobs, own_search_path

_MOST_CANDIDATES = 64
"""Combinations of choices whose data are looked for; more of them name the same again."""


def needs_of(jobs: Jobs) -> Needs:
    """What trials need of a host, with paths as they are here."""
    config = jobs.config
    return Needs(
        working_folder=str(Path.cwd()),
        search_path=tuple(own_search_path()),
        task="" if is_interactive(config.task_path) else config.task_path,
        data=() if _are_sent(jobs) else tuple(sorted(set(_data_paths(jobs)))),
        # Checkpoints are exchanged through the storage, and every host has a folder of its own.
        results="" if jobs.stored is not None else str(jobs.folder.run_path),
    )


def _are_sent(jobs: Jobs) -> bool:
    """Whether the samples are sent to trials: all are decoded, and none is read from its file again."""
    names = {name for arrays in jobs.shared.values() for name in arrays}
    read_again = any(
        name.removesuffix("_shapes") + "_inputs" not in names for name in names if "_shapes" in name
    )
    return bool(names) and not read_again


def _data_paths(jobs: Jobs) -> Iterator[str]:
    """Values under `trial.data` that are paths of files, or of folders with something in them, here."""
    for candidate in islice(jobs.config.space.candidates(), _MOST_CANDIDATES):
        for value in _texts(candidate.options.get("data")):
            path = Path(os.path.expandvars(value)).expanduser()
            if os.sep in value and (path.is_file() or (path.is_dir() and any(path.iterdir()))):
                yield value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
