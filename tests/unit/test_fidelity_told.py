"""What is said of an audit before and while it runs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from simulated_search import Simulation, config_of
from tiny_tasks import search_config

from search.commands.check import check
from search.run.disk.folder import RunFolder
from search.screen.live import PlainView
from search.screen.texts.summary import check_text

pytestmark = pytest.mark.usefixtures("no_fsync")


def test_check_says_that_fewer_than_five_audited_trials_tell_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, told in ((4, True), (5, False), (0, False)):
        asked = search_config(scheduler={"name": "asha", "audit": number}, virtual_epoch={"steps": 1})
        text = check_text(check(asked))
        assert ("no correlation can be told of fewer than 5 trials" in text) == told


def test_the_log_marks_audited_trials(tmp_path: Path) -> None:
    asked = config_of(sampler={"name": "random"}, scheduler={"name": "asha", "audit": 3})
    out = io.StringIO()
    simulation = Simulation(tmp_path, asked)
    view = PlainView(out, tmp_path / "search.log")
    simulation.coordinator.watch = view.event
    view.begin(simulation.coordinator, asked, RunFolder(tmp_path))
    simulation.run()
    started = [line[9:] for line in out.getvalue().splitlines() if " started" in line]
    marked = [
        int(line.split()[1]) for line in started if "started, let through to full length: hidden=" in line
    ]
    assert marked == [record.number for record in simulation.records if record.audited]
    assert len(marked) == 3
