"""What a person should know about the data when a search starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_heard: list[list[str]] = []


def add_note(text: str) -> None:
    """Say it to whoever hears the notes of the data that are being loaded."""
    for notes in _heard:
        if text not in notes:
            notes.append(text)


@contextmanager
def heard_notes() -> Iterator[list[str]]:
    """The notes while data are loaded in this process; each line is there once."""
    _heard.append([])
    try:
        yield _heard[-1]
    finally:
        _heard.pop()
