"""The folder that `predict` writes: what wrote it, so that only the same command goes on with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from search.errors import RefusedError
from search.run.disk.folder import write_json
from search.text import shown_apart
from trainables.checkpoints.checkpoint import sha256
from trainables.files import list_partial
from trainables.predicting.ensemble import ENSEMBLE, is_ensemble
from trainables.predicting.inference import WEIGHTS, Inference

RECORD = "predict.json"
_LOCK = ".predict.lock"


@dataclass(frozen=True)
class Predicted:
    """What a command has predicted."""

    folder: Path
    unit: str
    """What was predicted: `image`, `row` or `sample`."""
    written: int
    kept: int = 0
    """Were there before."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with each input that could not be predicted, by its name."""
    notes: tuple[str, ...] = ()
    """What may be wrong with the others."""
    main: str = ""
    """The file or folder below `folder` to look at first."""
    scores: Mapping[str, float] | None = None
    """Metrics against the masks that were given."""
    num_scored: int = 0


@contextmanager
def begun(out: Path, export: Path, inference: Inference, options: Mapping[str, Any]) -> Iterator[None]:
    """Make the folder, or make sure that the same command has written what is there; and own it meanwhile.

    Args:
        options: all that changes what is written, JSON values.

    Raises:
        RefusedError: something else is there, what another command has written, or one that still writes.
    """
    now = {"model": _sum(export), "inference": inference.as_json(), "options": dict(options)}
    now = json.loads(json.dumps(now))
    if out.exists() and not out.is_dir():
        raise RefusedError(f"{out} is a file; --out must be a folder")
    if not (out / RECORD).is_file():
        _refuse_foreign(out)
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise RefusedError(
            f"another process writes {out}: wait until it ends, or give another --out"
        ) from error
    try:
        if (before := read_record(out)) is not None:
            _refuse_others(out, before, now)
        else:
            write_json(out / RECORD, now)
        yield
    finally:
        # Removed while it is held: FileLock notices that in a waiting process, which makes a new one.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def read_record(folder: Path) -> Mapping[str, Any] | None:
    """What has written a folder; None where nothing says so.

    Raises:
        RefusedError: a file has the name of the record and is none.
    """
    file = folder / RECORD
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeError) as error:
        raise RefusedError(_no_record(file, f"is damaged ({error})")) from error
    if isinstance(found, dict) and all(
        isinstance(found.get(key), kind)
        for key, kind in (("model", str), ("inference", dict), ("options", dict))
    ):
        return found
    raise RefusedError(_no_record(file, "is not of `predict`"))


def _sum(export: Path) -> str:
    """SHA-256 of the weights; of an ensemble that of the file which holds those of its members."""
    return sha256(export / (ENSEMBLE if is_ensemble(export) else WEIGHTS))


def is_output(folder: Path) -> bool:
    """Whether `predict` has written a folder."""
    try:
        return read_record(folder) is not None
    except RefusedError:
        return False


def _no_record(file: Path, what: str) -> str:
    return f"{file} {what}, so it is not known what has written the folder: give another --out"


def _refuse_foreign(out: Path) -> None:
    """Raise RefusedError if the folder holds something, and not that of `predict`."""
    there = [] if not out.is_dir() else sorted({*out.iterdir()} - {*list_partial(out), out / _LOCK})
    if there:
        raise RefusedError(
            f"{out} exists and is not of `predict`: it has no {RECORD}, and holds {there[0].name}; "
            "give another --out"
        )


def _refuse_others(out: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    different = []
    for name, value in now["options"].items():
        if before["options"].get(name) != value:
            texts = shown_apart(before["options"].get(name), value)
            different.append(f"{name.replace('_', '-')} {texts[0]} and now {texts[1]}")
    if before["model"] != now["model"] or before["inference"] != now["inference"]:
        different.insert(0, "another model")
    if different:
        raise RefusedError(
            f"{out} was written with {'; '.join(different)}: give another --out, or remove {out} to begin "
            "anew"
        )
