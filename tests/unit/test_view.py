from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from simulated_search import Simulation, by_number, config_of
from watched_search import live_view, rendered, watched

from search.run.events import Event, EventKind
from search.screen.live import PlainView
from search.screen.texts.trial import params_text
from search.text import value_text
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")


def test_a_long_cause_is_shown_in_full_once(tmp_path: Path) -> None:
    out = io.StringIO()
    view = PlainView(out, tmp_path / "search.log")
    simulation = watched(tmp_path, view).run()
    record, cause = simulation.coordinator.study.records[1], "ValueError: " + "a long text " * 20
    for number in (1, 1, 2):
        event = Event(EventKind.RETRIED, replace(record, number=number), {}, cause)
        view.event(event)
    lines = [line[9:] for line in out.getvalue().splitlines()[-3:]]
    assert lines[0].startswith("trial 1 failed, retrying: ValueError: a long text")
    assert lines[1:] == ["trial 1 failed, retrying: as before", "trial 2 failed, retrying: as trial 1"]


def test_plain_output_is_one_line_per_event_without_control_characters(tmp_path: Path) -> None:
    out = io.StringIO()
    view = PlainView(out, tmp_path / "search.log")
    view.phase("loading data")
    simulation = watched(
        tmp_path,
        view,
        faults=lambda number, v, attempt: FailureKind.ERROR if number == 2 and attempt == 0 else None,
    ).run()
    view.note("a note\nof two lines\x1b[31m\r")
    view.end()
    lines = out.getvalue().splitlines()
    assert len(lines) == 1 + 1 + len(simulation.events) + 1
    assert all(character.isprintable() for line in lines for character in line)
    assert lines[-1].endswith("a note of two lines [31m")


def test_plain_output_says_what_happened(tmp_path: Path) -> None:
    out = io.StringIO()
    config = config_of(
        {"model": {"hidden": 8}, "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}}},
        sampler={"name": "random", "points_to_evaluate": [{"optimizer": {"lr": 0.01}}]},
        budget={"trials": 3, "max_virtual_epochs": 2},
    )
    watched(
        tmp_path,
        PlainView(out, tmp_path / "search.log"),
        config,
        curve=by_number([0.5, 0.25, 0.125], gain=0.25),
        faults=lambda number, v, attempt: FailureKind.ERROR if number == 1 and attempt == 0 else None,
    ).run()
    lines = [line[9:] for line in out.getvalue().splitlines()]
    assert lines[:9] == [
        f"search digits: 3 trials, up to 2 virtual epochs each, 1 at a time, in {tmp_path}",
        "trial 0 started lr=0.01",
        "trial 0 virtual epoch 1/2 accuracy 0.75 best 0.75 1234 samples/s",
        "trial 0 paused at virtual epoch 1",
        lines[4],
        "trial 1 failed, retrying: error in virtual epoch 1",
        "trial 1 started " + lines[4].split()[-1],
        "trial 1 virtual epoch 1/2 accuracy 0.5 best 0.5 1234 samples/s",
        "trial 1 paused at virtual epoch 1",
    ]
    assert "trial 0 promoted at virtual epoch 1" in out.getvalue()
    assert "trial 0 completed: full length" in out.getvalue()


def test_plain_output_of_a_resumed_search_counts_what_was_done(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, scheduler={"name": "none"})
    Simulation(tmp_path, config).run(max_reports=20)
    out = io.StringIO()
    watched(tmp_path, PlainView(out, tmp_path / "search.log"), config).step()
    assert "9 trials, 2 of them already done, up to 9" in out.getvalue()
    assert "trial 2 resumed at virtual epoch 2" in out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("reports", [0, 1, 2, 5, 12, 30])
def test_the_live_view_fits_the_terminal_at_every_stage(tmp_path: Path, width: int, reports: int) -> None:
    view, console = live_view(width)
    simulation = watched(
        tmp_path,
        view,
        workers=4,
        faults=lambda number, v, attempt: FailureKind.ERROR if number == 2 else None,
    )
    if reports:
        simulation.run(max_reports=reports)
    lines = rendered(view, console)
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("digits  ━")
    assert lines[1].startswith(f"{len(simulation.records)} of 9 trials begun, ")
    shown = [int(line[:5]) for line in lines[2:] if line[:5].strip().isdigit()]
    assert set(shown) >= {record.number for record in simulation.coordinator.running}
    assert len(shown) == len(set(shown))
    assert ("samples/s" in lines[3]) == (width == 120)


def test_before_the_first_trial_the_live_view_says_what_it_waits_for(tmp_path: Path) -> None:
    view, console = live_view(80)
    view._spinner.update(text="starting Ray")
    assert rendered(view, console) == ["⠋ starting Ray"]
    watched(tmp_path, view)
    assert rendered(view, console)[:2] == [
        "digits  ━━━━━━━━━━━━━━━━━━━━━━━━    0%  time left unknown",
        "0 of 9 trials begun, 0 running, 0 steps in 0 s",
    ]


def test_parameters_are_cut_to_the_line_and_shown_in_full_for_the_best(tmp_path: Path) -> None:
    view, console = live_view(80)
    simulation = watched(tmp_path, view, workers=2)
    simulation.run(max_reports=6)
    lines = rendered(view, console)
    assert any(line.endswith("…") for line in lines)
    best = simulation.coordinator.best
    assert best is not None
    start = next(index for index, line in enumerate(lines) if line.startswith("best: trial"))
    text = " ".join(lines[start:])
    assert text.startswith(f"best: trial {best.number}, accuracy ")
    for name, value in best.resolved.params.items():
        assert f"{name.rpartition('.')[2]}={value_text(value)}" in text


def test_the_best_of_the_others_stand_below_the_running_ones_broken_ones_last(tmp_path: Path) -> None:
    view, console = live_view(120)
    nan = float("nan")
    config = config_of(sampler={"name": "random"}, budget={"trials": 6, "max_virtual_epochs": 3})
    simulation = watched(
        tmp_path,
        view,
        config,
        curve=lambda record, v: (
            nan if (record.number, v) == (2, 2) else [0.1, 0.5, 0.9, 0.3, 0.2, 0.4][record.number]
        ),
    )
    simulation.run(max_reports=8)
    simulation.executor.start_jobs(simulation.coordinator)
    table = [line.split()[:2] for line in rendered(view, console) if line[:5].strip().isdigit()]
    running = [str(record.number) for record in simulation.coordinator.running]
    assert [number for number, _ in table[: len(running)]] == running
    others = [int(number) for number, _ in table[len(running) :]]
    values = [simulation.records[number].best("max") or 0.0 for number in others]
    assert table[-1] == ["2", "diverged"]
    assert values[:-1] == sorted(values[:-1], reverse=True)
    assert values[-1] == 0.9


def test_of_many_running_trials_a_part_is_shown(tmp_path: Path) -> None:
    view, console = live_view(100)
    config = config_of(sampler={"name": "random"}, budget={"trials": 40, "max_virtual_epochs": 3})
    simulation = watched(tmp_path, view, config, workers=30)
    simulation.run(max_reports=3)
    simulation.executor.start_jobs(simulation.coordinator)
    assert "and 18 more running" in rendered(view, console)


def test_failures_are_noted_below_the_table_the_last_three(tmp_path: Path) -> None:
    view, console = live_view(80)
    faults = lambda number, v, attempt: FailureKind.ERROR if number < 5 and not attempt else None  # noqa: E731
    watched(tmp_path, view, faults=faults).run(max_reports=12)
    notes = [line for line in rendered(view, console) if line.startswith("! ")]
    assert notes == [f"! trial {number}: error in virtual epoch 1" for number in (2, 3, 4)]


def test_the_live_view_draws_and_leaves_the_terminal_clean(tmp_path: Path) -> None:
    view, console = live_view(80)
    view.phase("loading data")
    watched(tmp_path, view).run(max_reports=3)
    view.end()
    view.end()
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h") == 1


def test_parameters_carry_the_part_of_their_name_that_tells_them_apart() -> None:
    names = ["optimizer", "optimizer.adamw.lr", "optimizer.sgd.lr", "head.lr", "model.width"]
    assert params_text({"optimizer": "sgd", "optimizer.sgd.lr": 0.00123456, "model.width": 16}, names) == (
        "optimizer=sgd lr=0.00123 width=16"
    )
    assert params_text({"optimizer.sgd.lr": 0.1, "head.lr": 0.2}, names) == "optimizer.sgd.lr=0.1 head.lr=0.2"


@pytest.mark.parametrize(
    ("virtual_epoch", "budget", "shown"),
    [
        ({"steps": 5}, {"full_trainings": 4}, "compute of 4 full trainings: 180 steps"),
        ({"samples": 80}, {"full_trainings": 4}, "compute of 4 full trainings: 36 virtual epochs"),
        ({"samples": 80}, {"steps": 180}, "180 steps"),
    ],
)
def test_a_budget_is_shown_in_one_unit_from_the_beginning(
    tmp_path: Path, virtual_epoch: dict[str, int], budget: dict[str, int], shown: str
) -> None:
    view, console = live_view(100)
    config = config_of(
        budget={**budget, "max_virtual_epochs": 9}, sampler={"name": "random"}, virtual_epoch=virtual_epoch
    )
    simulation = watched(tmp_path, view, config)
    before = rendered(view, console)[2]
    while EventKind.REPORTED not in [kind for kind, *_ in simulation.events]:
        simulation.step()
    after = rendered(view, console)[2]
    assert before == f"{shown}; 0 % spent"
    assert after == f"{shown}; 2 % spent"
