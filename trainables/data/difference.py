"""How data differ from what they were: what was added, removed, moved or changed, with names."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trainables.data.fingerprint import LOST, Fingerprint, Stamp
from trainables.findings import some

_SHOWN = 3
"""Names of each kind."""


@dataclass
class Changes:
    """The names of one kind of things that differ."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    moved: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Names that are now among things of another kind, by that kind."""
    touched: int = 0
    """Files written anew in a folder of which all files were, of equal size, whose contents were not read."""
    read: int = 0
    """Of the files written anew, those that were read and are as they were."""

    def text(self, before: int, now: int) -> str:
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        kinds |= {f"moved to the {where}": names for where, names in self.moved.items()}
        parts = [f"{len(names)} {kind} ({some(names, _SHOWN)})" for kind, names in kinds.items() if names]
        if parts and before != now:
            parts.append(f"{before:,} before and {now:,} now")
        return ", ".join(parts)


@dataclass(frozen=True)
class Difference:
    """How data differ from what they were, by what the things are for."""

    changes: Mapping[str, Changes]
    counts: Mapping[str, tuple[int, int]]
    """Number of things before and now."""

    def __bool__(self) -> bool:
        return any(one.added or one.removed or one.changed or one.moved for one in self.changes.values())

    def lines(self) -> list[str]:
        """A line for what has changed of each, such as `training images: 3 added (7.png, 8.png, 9.png)`."""
        texts = {what: one.text(*self.counts[what]) for what, one in self.changes.items()}
        return [f"{what}: {text}" for what, text in texts.items() if text]

    @property
    def touched(self) -> str:
        """What is to be said about files that were written anew and seem to be as they were; may be empty."""
        number = sum(one.touched for one in self.changes.values())
        read = sum(one.read for one in self.changes.values())
        return (
            f"{number} files of the data were written anew, of the same size; {read} others that were too "
            "were read and are as they were, so all are taken to be"
            if number
            else ""
        )


def difference(before: Fingerprint, now: Fingerprint, *, ignoring: Sequence[str] = ()) -> Difference:
    """What has changed.

    Args:
        ignoring: kinds of things of which others may be there or be missing.
    """
    changes, counts = dict[str, Changes](), dict[str, tuple[int, int]]()
    for what in sorted({*before.things, *now.things}):
        old, new = before.things.get(what, {}), now.things.get(what, {})
        found = _compared(old, new)
        if what in ignoring:
            found.added, found.removed = [], []
        changes[what], counts[what] = found, (len(old), len(new))
    _find_moved(changes)
    return Difference(changes, counts)


def _compared(old: Mapping[str, Stamp], new: Mapping[str, Stamp]) -> Changes:
    found = Changes(added=_missing(new, old), removed=_missing(old, new))
    kept, equal = set[str](), Counter[str]()
    """Folders with files that were not written anew; number of those that were and are equal, by folder."""
    unread: list[str] = []
    for name in sorted(old.keys() & new.keys()):
        before, now, folder = old[name], new[name], os.path.dirname(name)
        if LOST in (before.size, now.size):
            continue
        if before.size != now.size:
            found.changed.append(f"{name}: {before.size:,} bytes before, {now.size:,} now")
        elif before.contents and now.contents and before.contents != now.contents:
            found.changed.append(name)
        elif before.time == now.time:
            kept.add(folder)
        elif before.contents and now.contents:
            equal[folder] += 1
        else:
            unread.append(name)
    # A folder that was copied or exported anew has no file of before; one in which some were edited has.
    again = {folder for folder in equal if folder not in kept} if not found.changed else set()
    found.changed += [name for name in unread if os.path.dirname(name) not in again]
    found.touched = sum(os.path.dirname(name) in again for name in unread)
    found.read = equal.total()
    return found


def _missing(here: Mapping[str, Stamp], there: Mapping[str, Stamp]) -> list[str]:
    """What is here and not there; a file that was lost is reported where samples are read."""
    lost = {os.path.splitext(name)[0] for name, stamp in there.items() if stamp.size == LOST}
    names = sorted(name for name in here.keys() - there.keys() if here[name].size != LOST)
    return [name for name in names if os.path.splitext(name)[0] not in lost]


def _find_moved(changes: Mapping[str, Changes]) -> None:
    """What is gone from one kind and new in another is moved."""
    where = {name: what for what, one in changes.items() for name in one.added}
    for one in changes.values():
        for name in one.removed:
            if name in where:
                one.moved[where[name]].append(name)
    moved = {name for one in changes.values() for names in one.moved.values() for name in names}
    for one in changes.values():
        one.added = [name for name in one.added if name not in moved]
        one.removed = [name for name in one.removed if name not in moved]
