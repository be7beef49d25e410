"""Runs the blocks of a page, as page_blocks.py says."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
from page_blocks import Block
from rooms import ROOT
from ruamel.yaml import YAML

import search
from search.cli.main import cli, main
from search.config.document import read_document
from search.config.schema import Sections
from search.config.stages import load_config
from search.config.tasks import load_task

SMALL = {"--local": [], "--probe": ["5s"]}
"""Options that a command is given where it has them and its line has not: no Ray, and a short probe."""
_SHELL = set("|&;<>$*?`")


class Runner:
    """Runs the blocks of one page in the current folder, in their order."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "page", "search": search}

    def run(self, block: Block) -> None:
        """Run a block.

        Raises:
            AssertionError: a command ended with another code than the page says.
        """
        if file := block.marks.get("file"):
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(block.text)
        if block.language == "yaml":
            _load(block)
        elif block.language == "python":
            code = compile(block.text, block.place, "exec")
            if not {"compile", "file"} & set(block.marks):
                exec(code, self.names)
        else:
            self._shell(block)

    def _shell(self, block: Block) -> None:
        *others, last = block.commands
        for command in others:
            _expect(block, command, 0)
        _expect(block, last, int(block.marks.get("exit", 0)))


def _expect(block: Block, command: str, code: int) -> None:
    for shown, run in block.smaller:
        command = command.replace(shown, run)
    words = shlex.split(command, comments=True)
    plain = words[0] == "tune-search" and not any(set(word) & _SHELL for word in _bare(command))
    ended = _in_process(words[1:]) if plain else _by_bash(command)
    assert ended == code, f"{block.place}: `{command}` ended with {ended}, not {code}"


def _bare(command: str) -> list[str]:
    """The words of a line that no quotes protect, and without its comment."""
    lexer = shlex.shlex(command, posix=False, punctuation_chars=False)
    lexer.whitespace_split = True
    return [word for word in lexer if word[0] not in "\"'"]


def _in_process(words: list[str]) -> int:
    try:
        main(_small(words))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _small(words: list[str]) -> list[str]:
    name = words[0] if words[0] in cli.commands else "search"
    known = {option for parameter in cli.commands[name].params for option in parameter.opts}
    if isinstance(cli.commands[name], click.Group) or "--address" in words:
        return words
    added = [(option, *value) for option, value in SMALL.items() if option in known and option not in words]
    return [*words, *(word for option in added for word in option)]


def _by_bash(command: str) -> int:
    """A line of other programs, or of several; `tune-search` and `python` are those of the tests."""
    programs = Path("programs").absolute()
    programs.mkdir(exist_ok=True)
    for name, what in (("tune-search", "-m search"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {what} "$@"\n')
        (programs / name).chmod(0o755)
    env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], env=env, check=False)
    return done.returncode


def _load(block: Block) -> None:
    """Load a configuration, or a part of one with what it lacks put beside it."""
    texts = block.text.splitlines(keepends=True) if "each-line" in block.marks else [block.text]
    for number, text in enumerate(texts):
        file = Path(block.marks.get("file", f"block-{number}.yaml"))
        file.write_text(text)
        tree = _whole(dict(read_document(file).tree), block.marks.get("beside", ""))
        assert load_config(tree).first.space.candidates() is not None


def _whole(tree: dict[str, Any], beside: str) -> dict[str, Any]:
    """The tree with what it lacks; keys of a trial, and of `resources`, are put below these."""
    tree = (YAML(typ="safe").load(beside) or {}) | tree
    task = tree.get("task", "segmentation")
    of_trial = load_task(task).Options.model_fields if ":" not in task else {}
    if inner := {
        key: tree.pop(key) for key in [*tree] if key in of_trial and key not in Sections.model_fields
    }:
        tree["trial"] = inner
    if "where" in tree:
        tree["resources"] = tree.get("resources", {}) | {"where": tree.pop("where")}
    if not {"objective", "objectives"} & set(tree):
        tree["objective"] = {"metric": "valid_loss", "mode": "min"}
    return {"name": "part", "task": task, "virtual_epoch": {"steps": 20}, "trial": {}} | tree
