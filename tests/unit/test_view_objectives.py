"""The live table of a search with several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from simulated_search import SPACE, Simulation
from tiny_tasks import search_config
from watched_search import live_view, rendered, watched

from search.config.config import Config
from search.config.schema import Objective
from search.config.sections.limits import quantity_text
from search.config.stages import load_config
from search.study.front import front_of
from search.study.trial import TrialRecord
from search.text import number_text

pytestmark = pytest.mark.usefixtures("no_fsync")

OBJECTIVES = [{"metric": "accuracy", "mode": "max"}, {"metric": "parameters", "mode": "min"}]


def several(**sections: Any) -> Config:
    config = search_config(trial=SPACE, sampler={"name": "random"}, **sections)
    del config["objective"]
    return load_config({"objectives": OBJECTIVES, **config}).first


def parameters(record: TrialRecord) -> dict[str, float]:
    return {"parameters": 1000.0 * record.params["model.hidden"]}


def table(lines: list[str]) -> dict[int, list[str]]:
    """The cells of each trial that is shown."""
    return {int(line[:5]): line.split() for line in lines if line[:5].strip().isdigit()}


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_table_has_every_objective_of_each_trial(tmp_path: Path, width: int) -> None:
    view, console = live_view(width)
    simulation = watched(tmp_path, view, several(), workers=2, measured=parameters).run(max_reports=12)
    lines = rendered(view, console)
    assert max(map(len, lines)) <= width
    header = next(line for line in lines if line.startswith("trial ")).split()
    assert header[:6] == ["trial", "state", "epoch", "accuracy", "best", "parameters"]
    assert header[-1] == "hyperparameters"
    assert ("samples/s" in header) == (width >= 100)
    shown = table(lines)
    assert len(shown) >= 4
    for number, cells in shown.items():
        record = simulation.records[number]
        last_and_best = [record.values[-1], max(record.values)] if record.values else []
        values = [number_text(value) for value in last_and_best]
        measured = quantity_text("parameters", record.measured["parameters"])
        assert cells[3 : 4 + len(values)] == [*values, measured]


def test_the_trials_of_the_front_come_first_among_those_that_do_not_run(tmp_path: Path) -> None:
    view, console = live_view(100)
    config = several(budget={"trials": 12, "max_virtual_epochs": 3})
    simulation = watched(tmp_path, view, config, measured=parameters).run(max_reports=25)
    assert config.objectives is not None
    front = [record.number for record in front_of(simulation.records, config.objectives)]
    lines = rendered(view, console)
    others = [number for number in table(lines) if not simulation.records[number].running]
    assert others[: len(front)] == front
    assert len(others) > len(front) > 1
    assert f"front: trials {', '.join(map(str, front))}" in lines


def test_the_front_is_computed_anew_only_after_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []

    def counted(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> list[TrialRecord]:
        computed.append(len(records))
        return front_of(records, objectives)

    monkeypatch.setattr("search.screen.live.front_of", counted)
    view, console = live_view(100)
    simulation = watched(tmp_path, view, several(), measured=parameters).run(max_reports=6)
    first = rendered(view, console)
    assert rendered(view, console) == first
    assert len(computed) == 1
    simulation.run(max_reports=3)
    assert rendered(view, console) != first
    assert len(computed) == 2


def test_of_three_objectives_the_speed_gives_way_on_a_narrow_terminal(tmp_path: Path) -> None:
    config = several()
    assert config.objectives is not None
    latency = config.objectives[1].model_copy(update={"metric": "latency"})
    config = config.model_copy(update={"objectives": [*config.objectives, latency]})

    def measured(record: TrialRecord) -> dict[str, float]:
        return {**parameters(record), "latency": 0.02 + record.number / 1000}

    for width in (100, 112):
        view, console = live_view(width)
        simulation: Simulation = watched(tmp_path / str(width), view, config, measured=measured)
        simulation.run(max_reports=8)
        lines = rendered(view, console)
        header = next(line for line in lines if line.startswith("trial "))
        assert "latency" in header
        assert ("samples/s" in header) == (width == 112)
        assert max(map(len, lines)) <= width
        for number, cells in table(lines).items():
            assert f"{20 + number} ms" in " ".join(cells)
