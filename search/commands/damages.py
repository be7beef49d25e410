"""What `verify` finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search.errors import RefusedError
from search.exports.files import SUMS
from search.run.disk.folder import RunFolder
from search.text import command, short_path


@dataclass(frozen=True)
class Damage:
    """A file or folder of a run that is not as it was written."""

    path: str
    """Relative to the run's folder."""
    what: str
    cost: str
    """What is lost, or has to be computed again."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was checked, and what was found damaged."""

    folder: Path
    owner: str | None
    """The search that runs there now: files that it is writing, or has not written yet, are no damage."""
    trials: int
    virtual_epochs: int
    checkpoints: int
    num_bytes: int
    """Size of the checkpoints."""
    damages: list[Damage]


def refuse_export(folder: RunFolder) -> None:
    """Raise RefusedError for an export, with the way out for somebody who wants that checked."""
    if folder.journal.is_file() or not (folder.path / SUMS).is_file():
        return
    if RunFolder(folder.path.parent).has_begun:
        way_out = f"`{command('verify', folder.path.parent)}` checks it with its search"
    else:
        way_out = f"`sha256sum -c {SUMS}` in it checks its files"
    raise RefusedError(f"{short_path(folder.path)} is an export, and no folder of a search: {way_out}")
