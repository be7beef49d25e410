"""The code, libraries and working folder that a run was made with, and what has changed since."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from search.config.callables import MAIN, is_interactive
from search.config.config import Config
from search.config.tasks import BUILT_IN
from search.run.disk.folder import RunFolder, write_json
from trainables.checkpoints.checkpoint import library_versions
from trainables.data.fingerprint import Fingerprint
from trainables.imported import import_path
from trainables.imported_options import named_by_path, path_of
from trainables.process.causes import is_installed

_PACKAGES = ("tune-search", "ray", "optuna")


def record_provenance(config: Config, folder: RunFolder, data: Fingerprint | None = None) -> list[str]:
    """Add an entry to provenance.json if anything differs from the last one; returns the changes as text."""
    entries = _read(folder)
    now = {
        "working_folder": os.getcwd(),
        "versions": library_versions() | {name: version(name) for name in _PACKAGES},
        "task": task_source(config),
        **({"imported": imported} if (imported := imported_sources(config)) else {}),
        **({} if data is None else {"data": data.as_dict()}),
    }
    last = entries[-1] if entries else {}
    if any(last.get(key) != now[key] for key in now):
        entries.append({"began": f"{datetime.now(UTC):%F %T} UTC", **now})
        write_json(folder.provenance, {"sessions": entries})
    return list(_changes(last or now, now))


def last_versions(folder: RunFolder) -> dict[str, str]:
    """Versions of the libraries with which the search in this folder was last run; empty if unknown."""
    return next((dict(entry["versions"]) for entry in _read(folder)[-1:]), {})


def task_source(config: Config) -> dict[str, str]:
    """The class that `task:` names, its file, and the file's SHA-256."""
    if is_interactive(config.task_path):
        return _interactive_source(config.task_path)
    file = Path(inspect.getfile(config.task_class()))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"class": config.task_path, "file": str(file), "sha256": digest}


def _interactive_source(path: str) -> dict[str, str]:
    """The text of what a notebook or console defines, which no file keeps; a console may not know it."""
    found = getattr(sys.modules[MAIN], path.partition(":")[2])
    with suppress(OSError, TypeError):
        source = inspect.getsource(found)
        digest = hashlib.sha256(source.encode()).hexdigest()
        return {"class": path, "file": "a notebook", "sha256": digest, "source": source}
    code = getattr(found, "__code__", None)
    digest = hashlib.sha256(b"" if code is None else code.co_code).hexdigest()
    return {"class": path, "file": "a console", "sha256": digest}


def imported_sources(config: Config) -> dict[str, dict[str, str]]:
    """What is imported by its path: the file and its SHA-256, or of an installed package its version."""
    parse = config.task_class().Options.parse
    parts = {
        path_of(part)
        for resolved in config.space.candidates()
        for _, part in named_by_path(parse(resolved.options))
    }
    return {path: _imported_source(path) for path in sorted(parts)}


def _imported_source(path: str) -> dict[str, str]:
    import_path(path)
    module = path.partition(":")[0]
    file = Path(sys.modules[module].__file__ or "")
    if file.is_file() and not is_installed(file):
        return {"file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    package = module.partition(".")[0]
    distribution = next(iter(packages_distributions().get(package, ())), package)
    try:
        return {"package": distribution, "version": version(distribution)}
    except PackageNotFoundError:
        return {"package": package}


def own_code(config: Config) -> dict[str, str]:
    """SHA-256 of the files, or versions of the packages, of a task and of what is imported by its path."""
    task = {} if config.task_path in BUILT_IN.values() else {config.task_path: task_source(config)["sha256"]}
    return task | {path: _identity(source) for path, source in imported_sources(config).items()}


def _identity(source: Mapping[str, str]) -> str:
    return source.get("sha256") or f"{source['package']} {source.get('version', '')}".rstrip()


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
    for path, source in now.get("imported", {}).items():
        former = before.get("imported", {}).get(path, source)
        if former.get("sha256") != source.get("sha256"):
            yield f"the code of {path} in {source.get('file', source.get('package'))} has changed"
        elif former.get("version") != source.get("version"):
            yield f"{path} is of {source['package']} {source['version']}, and was of {former['version']}"
