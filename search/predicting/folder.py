"""The folder that `predict` writes: what wrote it, so that only the same command goes on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.errors import RefusedError
from search.run.folder import write_json
from search.text import shown_apart
from trainables.checkpoint import sha256
from trainables.files import list_partial
from trainables.predicting.inference import WEIGHTS, Inference

RECORD = "predict.json"


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


def begin(out: Path, export: Path, inference: Inference, options: Mapping[str, Any]) -> None:
    """Make the folder, or make sure that the same command has written what is there.

    Args:
        options: all that changes what is written, JSON values.

    Raises:
        RefusedError: something else is there, or what another command has written.
    """
    now = {"model": sha256(export / WEIGHTS), "inference": inference.as_json(), "options": dict(options)}
    now = json.loads(json.dumps(now))
    if out.exists() and not out.is_dir():
        raise RefusedError(f"{out} is a file; --out must be a folder")
    record = out / RECORD
    if record.is_file():
        _refuse_others(out, json.loads(record.read_text(encoding="utf-8")), now)
        return
    there = [] if not out.is_dir() else sorted(set(out.iterdir()) - set(list_partial(out)))
    if there:
        raise RefusedError(
            f"{out} exists and is not of `predict`: it has no {RECORD}, and holds {there[0].name}; "
            "give another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_json(record, now)


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
