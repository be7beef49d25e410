"""Progress of commands: a bar that leaves nothing behind on a terminal, lines when they are due elsewhere."""

from __future__ import annotations

import io
import re
import time

import pytest

from search.screen.progress_bar import ProgressBar
from search.screen.texts.summary import retraining_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    return Terminal()


def text_of(terminal: Terminal) -> str:
    """What was drawn, without colours and movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())


def test_on_a_terminal_phase_and_progress_stand_beside_a_bar_that_is_wiped_away(terminal: Terminal) -> None:
    with ProgressBar(terminal, "loading data [of a task]") as bar:
        bar._bar.refresh()  # type: ignore[union-attr]
        assert "━ loading data [of a task]" in text_of(terminal)
        bar.report("read 1.5 MB of 3.0 MB", 1.5, 3.0)
        bar._bar.refresh()  # type: ignore[union-attr]
        assert "━ read 1.5 MB of 3.0 MB" in text_of(terminal)
        bar.report("x" * 100, 2.0, 3.0)
        bar._bar.refresh()  # type: ignore[union-attr]
        assert "x" * 30 + "…" in text_of(terminal)
    assert terminal.getvalue().endswith("\x1b[2K")
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h") == 1


@pytest.mark.parametrize("term", ["dumb", "unknown", None])
def test_a_terminal_that_cannot_draw_gets_lines(
    terminal: Terminal, term: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TERM") if term is None else monkeypatch.setenv("TERM", term)
    with ProgressBar(terminal, "loading data"):
        pass
    assert terminal.getvalue() == "loading data\n"


def test_in_a_pipe_phases_come_at_once_and_progress_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now, out = [0.0], io.StringIO()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with ProgressBar(out, "loading data", interval=5.0) as bar:
        for number in range(12):
            bar.report(f"{number} of 12", number, 12)
            now[0] += 1.0
    assert out.getvalue().splitlines() == ["loading data", "5 of 12", "10 of 12"]


def test_of_a_retraining_the_tasks_own_metrics_come_first() -> None:
    record = {"virtual_epoch": 2, "step": 40, "samples": 640, "seconds": 3.0, "train_loss": 0.5, "lr": 0.1}
    text = retraining_progress({**record, "epoch": 0.1, "valid_loss": 0.4, "miou": 0.75, "iou/a": 0.9}, 6)
    assert text == (
        "virtual epoch 2/6  6 s left  miou 0.75  valid_loss 0.4  train_loss 0.5  lr 0.1  epoch 0.1"
    )
    assert retraining_progress(record | {"val/loss": 0.3}, 6).startswith(
        "virtual epoch 2/6  6 s left  val/loss 0.3"
    )
