"""Reads summary.json, whose values have the types that were written: people and disks change files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, get_args

from search.fidelity.audit import read_audit
from search.race.confirmed import Confirmed
from search.run.disk.folder import RunFolder
from search.run.outcome.summary import Best, StageOutcome, Status, Summary
from search.text import shown


def read_summary(folder: RunFolder) -> Summary:
    """What summary.json of a search or stage holds; raises OSError, ValueError, KeyError or TypeError."""
    try:
        return _of_written(json.loads(folder.summary.read_text(encoding="utf-8")), folder)
    except AttributeError as error:  # of a value that should be a mapping
        raise TypeError(str(error)) from error


def _of_written(written: Mapping[str, Any], folder: RunFolder) -> Summary:
    _require_types(Summary, written)
    best = None if written["best"] is None else _read_best(written["best"])
    confirmed = None if written.get("confirmed") is None else Confirmed.of(written["confirmed"])
    front = [_read_best(each) for each in written.get("front", ())]
    found = {"best": best, "front": front, "confirmed": confirmed, "audit": read_audit(written.get("audit"))}
    stages = [_read_stage(stage) for stage in written.get("stages", [])]
    return Summary(**{**written, **found, "stages": stages, "folder": str(folder.path)})


def _read_stage(written: Mapping[str, Any]) -> StageOutcome:
    _require_types(StageOutcome, written)
    best = None if written["best"] is None else _read_best(written["best"])
    return StageOutcome(**{**written, "best": best})


def _read_best(written: Mapping[str, Any]) -> Best:
    _require_types(Best, written)
    return Best(**written)


_TYPES: dict[str, type | UnionType] = {
    "str": str,
    "int": int,
    "float": int | float | None,
    "list": list,
    "dict": dict,
}
"""By the annotation of a field, what JSON has for it: an infinity is null there."""


def _require_types(of: type[Summary | StageOutcome | Best], written: Mapping[str, Any]) -> None:
    """Raise TypeError for a number, text, list or mapping that is something else, ValueError for a status."""
    for each in fields(of):
        rule = _TYPES.get(str(each.type).partition("[")[0])
        if rule is not None and each.name in written and not isinstance(written[each.name], rule):
            raise TypeError(f"{each.name} is {shown(written[each.name])}, which is no {each.type}")
    if "status" in written and written["status"] not in get_args(Status):
        raise ValueError(
            f"status is {shown(written['status'])}; must be one of {', '.join(get_args(Status))}"
        )
