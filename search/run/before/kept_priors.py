"""What `priors:` was when a search began, kept in its folder: config.yaml has only what was taken."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search.addresses import local_path
from search.config.document import read_values, write_yaml
from search.config.sections.priors import Priors, as_override
from search.errors import ConfigError, Problem
from search.run.disk.folder import RunFolder
from search.run.disk.hints import going_on
from search.text import command, short_path, shown


def as_kept(asked: Priors, folder: RunFolder) -> dict[str, Any]:
    """`priors:` as the search in this folder keeps it: a run by its path from there, as both may be moved."""
    kept = asked.model_dump(exclude_none=True)
    if asked.from_run is not None:
        kept["from_run"] = os.path.relpath(local_path(asked.from_run).expanduser().absolute(), folder.path)
    return kept


def keep_priors(asked: Priors | None, folder: RunFolder) -> None:
    """Write it, before the search begins; None: the search has no `priors:`."""
    if asked is None:
        folder.priors.unlink(missing_ok=True)
    else:
        write_yaml(folder.priors, as_kept(asked, folder))


def kept_priors(folder: RunFolder) -> Mapping[str, Any] | None:
    """What was written; None if the search began without.

    Raises:
        ConfigError: the file is damaged.
    """
    if not folder.priors.is_file():
        return None
    kept = read_values(folder.priors)
    try:
        Priors.model_validate(kept)
    except ValidationError as error:
        rule = f"received {shown(kept)}, which names no priors ({error.errors()[0]['msg']})"
        way_out = f"`{going_on(folder)}` goes on without it"
        raise ConfigError([Problem(short_path(folder.priors), "", f"{rule}; {way_out}")]) from None
    return kept


def options_of(kept: Mapping[str, Any], folder: RunFolder) -> list[str]:
    """The options that give it again, to any command that takes `--set`."""
    given = dict(kept)
    if "from_run" in given:
        given["from_run"] = short_path(Path(os.path.normpath(folder.path / given["from_run"])))
    return ["--set", as_override(given)]


def option_text(kept: Mapping[str, Any], folder: RunFolder) -> str:
    """The same for a message, as it was most likely given: `--priors-from results/seg`."""
    if set(kept) == {"from_run"}:
        return f"--priors-from {short_path(Path(os.path.normpath(folder.path / kept['from_run'])))}"
    return command(*options_of(kept, folder)).partition(" ")[2]
