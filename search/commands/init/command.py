"""Writes a commented configuration for the data in a folder, which `check` accepts as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from search.commands.check_data import DataCheck, Progress
from search.commands.init.choices import lines_of
from search.commands.init.line import Line
from search.commands.init.look import look, recognize
from search.commands.init.recognized import Recognized
from search.commands.init.text import written
from search.commands.schema import BUNDLED, is_schema
from search.commands.schema import NAME as SCHEMA_NAME
from search.config.schema import name_of_file
from search.config.stages import load_config
from search.config.yaml import parse_yaml
from search.errors import RefusedError
from search.text import command
from trainables.files import atomic_write
from trainables.images.layouts.plain import IMAGES, MASKS

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Written:
    """The configuration, and from what it was made."""

    file: Path
    recognized: Recognized
    found: DataCheck
    note: str = ""
    """What cannot be told of the data."""


def init(
    place: str | Path,
    *,
    out: str | Path | None = None,
    report: Report = lambda text, done, of: None,
    progress: Callable[[Progress], None] = lambda read: None,
) -> Written:
    """Look at the data in a folder, or at a table, and write a configuration; nothing is overwritten.

    Args:
        out: the file to write (default: NAME.yaml in the current folder, NAME being that of the data).
        report: called while the data are recognized: what is read, how much of it, and of how much.
        progress: called after each sample that is looked at.

    Raises:
        SearchError: nothing is there that the program reads, something in it is wrong, or the file exists.
    """
    given = Path(place)
    path = Path(os.path.expanduser(place)).absolute()
    if not path.exists():
        raise RefusedError(f"there is no folder {place}")
    name = _name(path)
    file = Path(f"{name}.yaml" if out is None else out)
    if file.is_dir():
        raise RefusedError(f"{file} is a folder; --out must be a file, such as {file / f'{name}.yaml'}")
    if not file.absolute().parent.is_dir():
        raise RefusedError(f"there is no folder {file.parent}; make it, or give another file after --out")
    if file.exists():
        other = command("init", given, "--out", _free(file))
        raise RefusedError(f"{file} exists and is not overwritten; write another one: `{other}`")
    recognized = recognize(path, str(given), report)
    looked = look(recognized, progress)
    beside = _schema_beside(file)
    head = [f"yaml-language-server: $schema={beside.name}"] if beside else []
    head += [f"{looked.recognized.task.capitalize()} of {given}, by tune-search init; adapt it as you like."]
    head += [f"  {command('check', file)}", f"  {command(file)}"]
    lines = [Line(f"name: {name}"), Line(f"task: {looked.recognized.task}")]
    gpu = torch.cuda.is_available()
    text = written(head, [*lines, *lines_of(looked, gpu=gpu)])
    load_config(parse_yaml(text).tree)
    if beside is not None:
        atomic_write(beside, BUNDLED.read_text(encoding="utf-8"))
    atomic_write(file, text)
    return Written(file, looked.recognized, looked.found, looked.note)


def _schema_beside(file: Path) -> Path | None:
    """The schema beside a configuration, found on every machine; None where another file has its name."""
    beside = file.with_name(SCHEMA_NAME)
    return beside if not beside.exists() or is_schema(beside) else None


def _name(path: Path) -> str:
    """That of the data set, of the folder above for `images/` and the like."""
    usual = {name.lower() for name in (*IMAGES, *MASKS)}
    named = path.parent if path.name.lower() in usual else path
    stem = named.name.split(".")[0] if named.is_file() else named.name
    return name_of_file(stem) or "search"


def _free(file: Path) -> Path:
    numbers = (file.with_stem(f"{file.stem}-{number}") for number in range(2, 1000))
    return next(each for each in numbers if not each.exists())
