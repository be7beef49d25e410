"""What `init` has written, and what to type next."""

from __future__ import annotations

from search.commands.init.command import Written
from search.screen.texts.data import overview_text
from search.text import command, short_path


def init_text(written: Written, *, width: int | None = None) -> str:
    """What was found in the samples, the file, and the next commands."""
    file = written.file.absolute()
    lines = [
        overview_text(written.found, width=width),
        *(["", f"note: {written.note}"] if written.note else []),
        "",
        f"written to {short_path(file)}",
        "",
        "next",
        f"  {command('check', file)}",
        f"  {command(file)}",
    ]
    return "\n".join(lines)
