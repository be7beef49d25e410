"""What commands take as a file or folder: one that is there, or an error that names what was meant."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from search.addresses import local_path, stored_run
from search.errors import RefusedError, SearchError
from search.text import command, nearest
from trainables.storage.address import checked_address, is_address, split_address

_MAX_NAMES = 1000
"""Names of a folder that are compared with a mistyped one."""
_YAML = (".yaml", ".yml")


def nearest_path(path: str, *, folder: bool = False) -> str | None:
    """The existing path that was most likely meant by one that does not exist: a folder, or rather a file.

    It has another suffix, is in a folder below the current one, or has one or more parts mistyped.
    """
    is_one = os.path.isdir if folder else os.path.isfile
    below = sorted(name for name in _names(Path()) if os.path.isdir(name) and not name.startswith("."))
    if not os.path.isabs(path):
        for place in ("", *below):
            for suffix in ("",) if folder else ("", *_YAML):
                candidate = os.path.join(place, path + suffix)
                if is_one(candidate):
                    return candidate
    close = _corrected(path)
    return close if close and (is_one(close) or not folder) else None


def _corrected(path: str) -> str | None:
    """The path with the nearest existing name in the place of each part that does not exist."""
    found = Path()
    for part in Path(path).parts:
        if not (found / part).exists():
            close = nearest(part, _names(found))
            if close is None:
                return None
            part = close
        found = found / part
    return str(found)


def _names(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in islice(entries, _MAX_NAMES))
    except OSError:
        return


def did_you_mean(path: str, *, folder: bool = False) -> str:
    """`; did you mean results/seg?`, or nothing where no path is near."""
    close = nearest_path(path, folder=folder)
    return f"; did you mean {close}?" if close else ""


def require_current_folder() -> None:
    """Raise SearchError if the current folder has been removed."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise SearchError("the current folder has been removed; change into one that is there") from None


class LocalPath(click.ParamType[str]):
    """A path of this machine, see `local_path`."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            path = local_path(given := str(value))
        except RefusedError as error:
            self.fail(str(error), param, ctx)
        return given if str(path) == os.path.normpath(given) else str(path)


class ConfigFile(LocalPath):
    """A YAML file with a configuration."""

    name = "config"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = super().convert(value, param, ctx)
        if not os.path.exists(path):
            self.fail(f"there is no file {path}{did_you_mean(path)}", param, ctx)
        if os.path.isdir(path):
            self.fail(_of_folder(path), param, ctx)
        return path


class DataPath(LocalPath):
    """A folder with data, or a file."""

    name = "folder"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = super().convert(value, param, ctx)
        if not os.path.exists(path):
            self.fail(f"there is no folder {path}{did_you_mean(path, folder=True)}", param, ctx)
        return path


class KnownFile(LocalPath):
    """A file that is there."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = super().convert(value, param, ctx)
        if not os.path.isfile(path):
            self.fail(f"there is no file {path}{did_you_mean(path)}", param, ctx)
        return path


class NewFile(LocalPath):
    """A file to write, in a folder that is there: a command may take long until it is written."""

    name = "file"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = super().convert(value, param, ctx)
        if os.path.isdir(path):
            self.fail(f"{path} is a folder; must be a file", param, ctx)
        folder = os.path.dirname(path)
        if folder and not os.path.isdir(folder):
            self.fail(f"there is no folder {folder}{did_you_mean(folder, folder=True)}", param, ctx)
        return path


class RunPath(LocalPath):
    """A folder: of a search, or of an export."""

    name = "run"

    def __init__(
        self, rule: str = "the folder of a search, such as results/seg", *, may_be_gone: bool = False
    ) -> None:
        self._rule = rule
        self._may_be_gone = may_be_gone

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="dir")]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = super().convert(value, param, ctx)
        if not os.path.exists(path):
            if self._may_be_gone:
                return path
            self.fail(f"there is no folder {path}{did_you_mean(path, folder=True)}", param, ctx)
        if not os.path.isdir(path):
            run = os.path.join("results", Path(path).stem)
            hint = f"; did you mean {run}?" if path.endswith(_YAML) and os.path.isdir(run) else ""
            self.fail(f"{path} is a file; must be {self._rule}{hint}", param, ctx)
        return path


class RunsPath(RunPath):
    """A folder of runs, or the address of one in a storage."""

    def __init__(self) -> None:
        super().__init__("a folder of runs")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        given = str(value)
        if not is_address(given) or (given.lower().startswith("file:") and not _has_runs(given)):
            return super().convert(value, param, ctx)
        try:
            return checked_address(given)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Address(click.ParamType[str]):
    """The address of a run in a storage."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            split_address(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


class RunOrAddress(RunPath):
    """The folder of a search, or its address in a storage."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            address = stored_run(str(value))
        except RefusedError as error:
            self.fail(str(error), param, ctx)
        if address is None:
            return super().convert(value, param, ctx)
        return Address().convert(address, param, ctx)


class FetchedRun(RunOrAddress):
    """The same, as a folder: the study and the small files at an address are fetched into results/NAME.

    Args:
        events: fetch TensorBoard's events too.
    """

    def __init__(self, *, events: bool = False) -> None:
        super().__init__()
        self._events = events

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        given = super().convert(value, param, ctx)
        if stored_run(given) is None:
            return given
        if self._events:
            from search.fetching.fetch import fetch  # which imports torch

            return str(fetch(given, checkpoints=False).folder)
        from search.run.disk.storage import fetched_run

        return str(fetched_run(given, "results").path)


def _has_runs(address: str) -> bool:
    """Whether what lies in the folder of a `file:///…` address are runs in a storage."""
    with suppress(OSError, RefusedError):
        return any(stored_run(f"{address.rstrip('/')}/{name}") for name in os.listdir(local_path(address)))
    return False


def _of_folder(path: str) -> str:
    """The way out of a folder in the place of a configuration."""
    from search.run.disk.folder import RunFolder  # which imports Optuna

    if RunFolder(Path(path)).has_begun:
        return f"{path} is the folder of a search; `{command('resume', path)}` continues it"
    files = sorted(name for name in _names(Path(path)) if name.endswith(_YAML))
    such = f", such as {os.path.join(path, files[0])}" if files else ""
    return f"{path} is a folder; must be a YAML file{such}"
