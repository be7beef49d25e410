"""How weights came about whose values changed while they were trained: those of a population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.study.lineage import changed
from search.text import dotted
from trainables.checkpoints.checkpoint import Checkpoint

Part = Mapping[str, Any]
"""`trial`, `until` (virtual epoch) and `options` of virtual epochs that were trained with the same values."""


def exported_schedule(checkpoint: Checkpoint) -> dict[str, list[Part]]:
    """What an export holds of how its weights came about: a `schedule`, if their values ever changed."""
    info = checkpoint.info
    before = info.get("schedule", [])
    own = {"trial": info["trial"], "until": checkpoint.virtual_epoch, "options": info["options"]}
    keys = tuple(own)
    return {"schedule": [*({key: part[key] for key in keys} for part in before), own]} if before else {}


def schedule_text(schedule: Sequence[Part]) -> str:
    """`virtual epochs 4 to 6: trial 7, optimizer.lr 0.003 -> 0.0024`, a line for each part."""
    lines, begin, before = [], 1, flat(schedule[0]["options"]) if schedule else {}
    for part in schedule:
        after = flat(part["options"])
        text = f"virtual epochs {begin} to {part['until']}: trial {part['trial']}"
        changes = changed(before, after)
        lines.append(f"{text}, {changes}" if changes else text)
        begin, before = part["until"] + 1, after
    return "\n".join(lines)


def flat(options: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Options by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in options.items():
        at = (*path, key)
        found |= flat(value, at) if isinstance(value, Mapping) else {dotted(at): value}
    return found
