"""Commands that messages name, with what the one that was given said of how the trials run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.config.config import Config
from search.config.stages import SearchConfig
from search.run.disk.folder import RunFolder
from search.text import command


def overriding(config: Config | SearchConfig) -> list[str]:
    """The options that set the values that were set beside the file."""
    return [word for text in config.overrides for word in ("--set", text)]


def going_on(folder: RunFolder, *options: str | Path, flags: Sequence[str] = ()) -> str:
    """The command that continues a search, or a race in its folder.

    Args:
        folder: of the search, of one of its stages, or of the race.
        options: of `resume` or `confirm`.
        flags: see `Executor.flags`.
    """
    return command("confirm" if folder.is_race else "resume", folder.run_path, *options, *flags)


def another_search(
    config: Config | SearchConfig, source: Path, folder: RunFolder, flags: Sequence[str] = ()
) -> str:
    """The command that begins another search with a configuration, beside the one in a folder.

    Args:
        config: as it is asked for now.
        source: its file.
        folder: of the search, or of one of its stages.
        flags: see `Executor.flags`.
    """
    results = folder.run_path.parent
    where: list[str | Path] = [] if results == Path.cwd() / "results" else ["--results", results]
    return command(source, *overriding(config), "--name", f"{config.name}-2", *where, *flags)
