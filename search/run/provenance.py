"""The code, libraries and working folder that a run was made with, and what has changed since."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search.config.config import Config
from search.run.folder import RunFolder, write_json
from trainables.checkpoint import library_versions
from trainables.data.fingerprint import Fingerprint

_PACKAGES = ("tune-search", "ray", "optuna")


def record_provenance(config: Config, folder: RunFolder, data: Fingerprint | None = None) -> list[str]:
    """Add an entry to provenance.json if anything differs from the last one; returns the changes as text."""
    entries = _read(folder)
    now = {
        "working_folder": os.getcwd(),
        "versions": library_versions() | {name: version(name) for name in _PACKAGES},
        "task": task_source(config),
        **({} if data is None else {"data": data.as_dict()}),
    }
    last = entries[-1] if entries else {}
    if any(last.get(key) != now[key] for key in now):
        entries.append({"began": f"{datetime.now(UTC):%F %T} UTC", **now})
        write_json(folder.provenance, {"sessions": entries})
    return list(_changes(last or now, now))


def task_source(config: Config) -> dict[str, str]:
    """The class that `task:` names, its file, and the file's SHA-256."""
    file = Path(inspect.getfile(config.task_class()))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"class": config.task_path, "file": str(file), "sha256": digest}


@contextmanager
def working_folder(folder: RunFolder) -> Iterator[None]:
    """Change to the folder where the run was started, if it exists: relative paths are meant from there."""
    recorded = [entry["working_folder"] for entry in _read(folder)[-1:]]
    with chdir(next(filter(os.path.isdir, recorded), os.getcwd())):
        yield


def _read(folder: RunFolder) -> list[dict[str, Any]]:
    """The sessions so far; entries that this program would not write are ignored."""
    try:
        entries = json.loads(folder.provenance.read_text(encoding="utf-8"))["sessions"]
        return [entry for entry in entries if _is_whole(entry)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _is_whole(entry: Any) -> bool:
    kinds = {"working_folder": str, "versions": dict, "task": dict}
    return isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in kinds.items())


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = before["versions"], now["versions"]
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield f"{name} was {old.get(name, 'not there')} and is {new.get(name, 'not there')} now"
    if before["task"].get("sha256") != now["task"]["sha256"]:
        yield f"the code of {now['task']['class']} in {now['task']['file']} has changed"
