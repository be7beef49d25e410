"""Whether a checkpoint can be the one that the study knows of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from search.config.schema import Mode
from search.study.trial import TrialRecord


def mismatch(info: Mapping[str, Any], virtual_epoch: int, record: TrialRecord) -> str | None:
    """Why a checkpoint cannot be the trial's; None if it can."""
    history = info.get("history")
    if not isinstance(history, list) or len(history) != virtual_epoch:
        return f"its history is not one of {virtual_epoch} virtual epochs; remove it"
    if info.get("trial") != record.number:
        return f"it is of trial {info.get('trial')}; remove it"
    if info.get("options") != json.loads(json.dumps(record.options_at(virtual_epoch))):
        return "it was trained with other options than the study has for the trial; remove it"
    return None


def other_value(info: Mapping[str, Any], record: TrialRecord) -> str | None:
    """Where a checkpoint's history and the study differ."""
    metric = info["metric"]
    for number, (entry, value) in enumerate(zip(info["history"], record.values, strict=False), start=1):
        if entry.get(metric) != value:
            return f"says {metric} {entry.get(metric)} at virtual epoch {number}, and the study {value}"
    return None


def newest_written(record: TrialRecord, mode: Mode, every: int) -> int:
    """The newest virtual epoch in the study after which a checkpoint was written; 0 before the first."""
    written = [
        number
        for number in range(1, record.depth + 1)
        if number % every == 0 or record.best_virtual_epoch(mode, number) == number
    ]
    return max(written, default=0)
