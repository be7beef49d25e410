from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE

pytestmark = pytest.mark.usefixtures("no_fsync")


_PRINTS = """
import os, sys
from pathlib import Path
from search.screen.live import screen
try:
    with screen(Path(sys.argv[1])) as view:
        print("chatter of a library")
        os.write(2, b"chatter of another process\\n")
        view.phase("loading data")
        if len(sys.argv) > 2:
            raise ValueError("stop")
except ValueError:
    pass
print(type(view).__name__)
"""


@pytest.mark.parametrize("error", [[], ["error"]])
def test_in_a_pipe_the_screen_is_plain_and_chatter_goes_to_the_log(tmp_path: Path, error: list[str]) -> None:
    log = tmp_path / "logs" / "search.log"
    done = subprocess.run(
        [sys.executable, "-c", _PRINTS, str(log), *error],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    first, last = done.stdout.splitlines()
    assert first.endswith(" loading data")
    assert last == "PlainView"
    assert done.stderr == ""
    assert sorted(log.read_text().splitlines()) == ["chatter of a library", "chatter of another process"]


@pytest.mark.parametrize(("term", "view"), [("xterm-256color", "LiveView"), ("dumb", "PlainView")])
def test_on_a_terminal_the_screen_is_live_unless_that_cannot_draw(
    tmp_path: Path, term: str, view: str
) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _PRINTS, str(tmp_path / "search.log"), "error"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": term},
    )
    os.close(theirs)
    output = b""
    try:
        while chunk := os.read(ours, 4096):
            output += chunk
    except OSError:  # what a pseudo-terminal answers when its other end is closed
        pass
    os.close(ours)
    assert process.wait(30) == 0
    assert output.decode().splitlines()[-1].endswith(view)
    assert output.count(b"\x1b[?25l") == output.count(b"\x1b[?25h")
