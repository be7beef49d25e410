"""Commands that are shown can be pasted into a shell, whatever the paths in them."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from rooms import modules

from search.text import command, short_path

PATHS = ["my results/run", "größe", "it's", "$HOME", "a&b", "-x", "[1]", "100%", "~", "*"]


@pytest.mark.parametrize("path", PATHS)
def test_a_shell_reads_the_path_that_was_meant(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program, verb, read = shlex.split(command("resume", tmp_path / path))
    assert (program, verb) == ("tune-search", "resume")
    assert Path(read).absolute() == tmp_path / path
    assert not read.startswith("-")


def test_a_path_elsewhere_is_whole(tmp_path: Path) -> None:
    assert command("verify", Path("/data/my runs")) == "tune-search verify '/data/my runs'"
    assert short_path(Path("/data")) == "/data"


def test_no_command_is_put_together_by_hand() -> None:
    """A path inside an f-string would lack its quotes; `command` adds them."""
    by_hand = re.compile(r"(tune-search|tensorboard) [a-z -]*\{")
    found = [
        f"{os.path.relpath(file)}:{number}"
        for package in ("search", "trainables")
        for file in modules(package).values()
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if by_hand.search(line)
    ]
    assert found == []
