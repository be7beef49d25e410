"""Samples that a trial left out, kept in its folder: the summary of a search counts them by file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from trainables.files import atomic_write

SKIPPED_FILE = "skipped.json"


def keep_skipped(folder: Path, skipped: Mapping[str, str]) -> None:
    """Add these files, each with the reason, to those that the trial's folder names already.

    Raises:
        OSError: the disk is full or cannot be written; what was there before stays.
    """
    if not skipped:
        return
    known = read_skipped(folder)
    together = {**skipped, **known}
    if together == known:
        return
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / SKIPPED_FILE, json.dumps(together, indent=1) + "\n")


def read_skipped(folder: Path) -> dict[str, str]:
    """Reasons by file; empty where the trial has skipped none."""
    try:
        found = json.loads((folder / SKIPPED_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(file): str(reason) for file, reason in found.items()} if isinstance(found, dict) else {}
