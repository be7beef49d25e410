"""Forecasts: simulated searches come to what real ones come to, and a plan stands beside the fact."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally, search_locally
from simulated_search import RULES, Simulation, config_of, noisy
from tiny_tasks import search_config

from search.commands.plan import plan
from search.config.schema import Budget
from search.errors import ConfigError, RefusedError, SearchError
from search.forecast import memory
from search.forecast.buys import buys, range_of, scaled
from search.forecast.costs import Costs, TrialCost
from search.forecast.simulated_run import simulate
from search.ray.hosts import Host
from search.run.before.forecasted import Range, read_forecast
from search.run.disk.folder import write_json
from search.run.signals import Terminated
from search.screen.texts.forecast import forecast_text
from search.screen.texts.summary import summary_text
from trainables.data.virtual_epoch import VirtualEpochs

pytestmark = pytest.mark.usefixtures("no_fsync", "small_machine")

LENGTHS = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=1200)


def a_cost(seconds: float = 2.0, **params: Any) -> TrialCost:
    sizes = {"checkpoint_bytes": 1000.0, "event_bytes": 10.0}
    return TrialCost(params=params, lengths=LENGTHS, seconds=(seconds,), trained=seconds / 2, **sizes)


def a_config(rule: str = "none", **budget: Any) -> Any:
    return config_of(**RULES[rule], budget={"max_virtual_epochs": 9, **budget})


# --- one simulated search


def test_what_is_fixed_is_forecast_exactly() -> None:
    costs = Costs(trials=(a_cost(),), process_start=5.0, job_start=1.0)
    found = simulate(a_config(trials=4), costs, 2, seed=0)
    # Two rounds of two trials: nine virtual epochs of 2 s each, after the process's or the job's start.
    assert found.seconds == pytest.approx(5 + 18 + 1 + 18)
    assert (found.trials, found.virtual_epochs, found.fully_trained, found.steps) == (4, 36, 4, 180)


def test_limits_end_a_simulated_search_as_a_real_one() -> None:
    costs = Costs(trials=(a_cost(),))
    timed = simulate(a_config(time="1m"), costs, 1, seed=0)
    assert timed.seconds <= 60
    assert timed.trials == 3, "18 s each; a fourth would not fit"
    hours = simulate(config_of(**RULES["none"], budget={"max_virtual_epochs": 9, "gpu_hours": 27 / 3600},
                               resources={"gpus_per_trial": 1}), costs, 1, seed=0)  # fmt: skip
    assert hours.trials == 3, "9 s each by their own reports"


def test_a_grid_takes_what_each_of_its_points_takes() -> None:
    space = {"model": {"hidden": {"choice": [8, 16]}}, "batch_size": 16}
    config = config_of(space, **RULES["none"], sampler={"name": "grid"}, budget={"max_virtual_epochs": 9})
    costs = Costs(trials=(a_cost(1.0, **{"model.hidden": 8}), a_cost(100.0, **{"model.hidden": 16})))
    for seed in range(5):
        assert simulate(config, costs, 1, seed).seconds == pytest.approx(9 * 101)


def test_a_large_trial_is_simulated_to_wait_for_its_room_and_nobody_to_begin_before_it() -> None:
    space = {"model": {"hidden": {"choice": [8, 16, 32]}}, "batch_size": 16}
    where = {"where": {"model.hidden": {"16": {"cpus_per_trial": 2}}}}
    sections: dict[str, Any] = {"sampler": {"name": "grid"}, "budget": {"max_virtual_epochs": 9}}
    config = config_of(space, **RULES["none"], **sections, resources=where)
    trials = tuple(a_cost(1.0, **{"model.hidden": width}) for width in (8, 16, 32))
    here = [Host({"CPU": 2.0}, node_id="here")]
    assert simulate(config, Costs(trials=trials, hosts=here), 2, seed=0).seconds == pytest.approx(27)
    assert simulate(config, Costs(trials=trials), 2, seed=0).seconds == pytest.approx(18), "if all are alike"


def test_trials_that_diverge_are_short() -> None:
    costs = Costs(trials=(a_cost(),), broken_off=0.5)
    found = [simulate(a_config(trials=20), costs, 1, seed).virtual_epochs for seed in range(10)]
    assert 0.3 * 180 < sum(found) / 10 < 0.7 * 180


@pytest.mark.parametrize("rule", RULES)
def test_every_scheduler_can_be_forecast(rule: str) -> None:
    found = simulate(a_config(rule, full_trainings=6), Costs(trials=(a_cost(), a_cost(4.0))), 2, seed=1)
    assert 0 < found.virtual_epochs <= 54
    assert found.trials > 0
    assert 0 < found.kept_bytes <= found.peak_bytes


def test_the_disk_holds_the_best_and_what_may_continue() -> None:
    found = simulate(a_config(trials=40), Costs(trials=(a_cost(),)), 2, seed=0)
    assert found.other_bytes == 360 * (10 + 600)
    assert found.kept_bytes == 5 * 2 * 1000, "checkpoint.keep_trials times checkpoint.keep"
    assert found.kept_bytes < found.peak_bytes <= 40 * 2 * 1000


# --- many of them


def test_a_range_is_what_lies_between_the_deciles() -> None:
    assert range_of([float(number) for number in range(11)]) == Range(1.0, 5.0, 9.0)
    assert range_of([3.0]) == Range(3.0, 3.0, 3.0)


def test_costs_that_differ_make_a_range() -> None:
    costs = Costs(trials=(a_cost(1.0), a_cost(10.0)))
    bought = buys(a_config(trials=6), costs, 1)
    assert bought.seconds.low < bought.seconds.middle < bought.seconds.high
    assert bought.seconds.low >= 54
    assert bought.seconds.high <= 540
    assert bought.trials == Range(6.0, 6.0, 6.0)


def test_other_budgets_are_multiples_of_each_limit() -> None:
    budget = Budget.model_validate({"trials": 25, "time": "1h", "steps": 1001})
    half = scaled(budget, 0.5)
    assert (half.trials, half.time, half.steps) == (12, 1800.0, 500)
    assert scaled(Budget(full_trainings=1.5), 0.5).full_trainings == 1.0
    found = buys(a_config(trials=4), Costs(trials=(a_cost(),)), 2, factor=4.0)
    assert (found.trials.middle, found.full_trainings.middle, found.budget) == (16.0, 16.0, "16 trials")


def test_a_long_search_is_forecast_from_a_shorter_one() -> None:
    bought = buys(
        a_config(trials=100_000),
        Costs(trials=(a_cost(),), process_start=5.0, fixed_bytes=5e9),
        2,
        seconds=0.1,
    )
    assert bought.trials.middle == 100_000
    assert bought.seconds.middle == pytest.approx(100_000 * 9, rel=0.02)
    checkpoints, left = 5 * 2 * 1000, 900_000 * 610
    assert bought.disk_bytes.middle == pytest.approx(5e9 + checkpoints + left, rel=0.001)


@pytest.mark.parametrize("trainings", [6, 20])
def test_as_many_trials_as_a_search_begins(tmp_path: Path, trainings: int) -> None:
    config = a_config("asha", full_trainings=trainings)
    begun = [
        len(Simulation(tmp_path / str(seed), config, noisy(seed), workers=2).run().records)
        for seed in range(5)
    ]
    bought = buys(config, Costs(trials=(a_cost(),)), 2)
    assert bought.trials.low * 0.75 <= sum(begun) / 5 <= bought.trials.high * 1.25, (bought.trials, begun)


# --- the probe, on trials that train


def a_plan(seconds: float = 30.0, overrides: tuple[str, ...] = (), **sections: Any) -> Any:
    return plan(search_config(**sections), overrides=overrides, probe_seconds=seconds, local=True)


def test_memory_is_seen_of_trials_that_end_before_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_INTERVAL", 3600.0)
    assert a_plan(10.0).stages[0].trial_memory > 50e6


def test_a_plan_is_made_of_what_trials_take_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    phases: list[str] = []
    found = plan(search_config(), probe_seconds=30.0, local=True, report=phases.append)
    assert list(tmp_path.iterdir()) == []
    (stage,) = found.stages
    assert stage.configurations > 2
    assert (stage.concurrency, stage.notes) == (1, [])
    assert stage.scheduler == "asha, rungs at 1, 3 virtual epochs, up to 9 virtual epochs"
    assert 0 < stage.virtual_epoch.low <= stage.virtual_epoch.high < 5
    assert found.trials == Range(9.0, 9.0, 9.0)
    assert found.seconds.low >= 9 * stage.virtual_epoch.low
    assert 1000 < stage.checkpoint_bytes < 10**6
    assert stage.trial_memory is not None
    assert 50e6 < stage.trial_memory < (stage.machine_memory or 0)
    assert [each.factor for each in stage.others] == [0.5, 2.0, 4.0]
    assert "simulating the search" in phases
    shown = forecast_text(found, config="seg.yaml", options=["--plan", "plan.json"])
    assert "x 1    9 trials" in shown
    assert shown.endswith("\nnext\n  tune-search seg.yaml --plan plan.json")


def test_long_virtual_epochs_are_forecast_from_shorter_ones() -> None:
    short = a_plan(45.0, virtual_epoch={"steps": 100}).stages[0]
    long = a_plan(45.0, virtual_epoch={"steps": 100_000}).stages[0]
    assert "trained were virtual epochs of" in long.notes[0]
    # A thousand times the steps, without a thousand times the validation and the checkpoint.
    assert 100 < long.virtual_epoch.middle / short.virtual_epoch.middle < 1500


def test_a_probe_too_short_for_a_trial_says_so() -> None:
    found = a_plan(5.0, virtual_epoch={"steps": 5}, task="slow_tasks_of_forecast:SlowTask").stages[0]
    assert found.configurations == 1
    assert "only the first steps of one were timed" in found.notes[0]
    assert found.virtual_epoch.middle >= 5 * 3


def test_a_plan_of_trials_that_all_fail_is_refused() -> None:
    trial = {**search_config()["trial"], "model": {"hidden": 8, "fail_at": 1}}
    with pytest.raises(SearchError, match=r"cursed"):
        a_plan(task="tiny_tasks:FailingTask", trial=trial)


def test_a_probe_must_have_time() -> None:
    with pytest.raises(ConfigError, match=r"--probe: received 1s; must be at least 5s"):
        a_plan(1.0)


def test_stages_are_forecast_in_turn() -> None:
    stages = [
        {"name": "lr", "budget": {"trials": 3}},
        {"name": "size", "trial": {"batch_size": {"choice": [16, 32]}}, "sampler": {"name": "grid"}},
    ]
    found = a_plan(20.0, stages=stages)
    assert [stage.name for stage in found.stages] == ["lr", "size"]
    assert found.trials == Range(5.0, 5.0, 5.0)
    assert found.seconds.middle == sum(stage.bought.seconds.middle for stage in found.stages)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_plan_can_be_interrupted(number: signal.Signals) -> None:
    told: list[str] = []

    def interrupt(text: str) -> None:
        told.append(text)
        if text.endswith("measured"):
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt) as error:
        plan(search_config(), probe_seconds=60.0, local=True, report=interrupt)
    assert isinstance(error.value.__cause__, Terminated) == (number == signal.SIGTERM)
    assert "simulating the search" not in told


# --- beside the fact


@pytest.fixture
def planned(tmp_path: Path) -> Path:
    """What `plan --out` writes of the tiny search."""
    write_json(tmp_path / "plan.json", a_plan(10.0).as_dict())
    return tmp_path / "plan.json"


def test_the_summary_has_forecast_and_fact(tmp_path: Path, planned: Path) -> None:
    summary = search_locally(search_config(), results=tmp_path, plan=planned)
    run = tmp_path / "digits"
    written = json.loads((run / "summary.json").read_text(encoding="utf-8"))["forecast"]
    assert written == summary.forecast
    assert written["trials"] == {"forecast": {"low": 9.0, "middle": 9.0, "high": 9.0}, "fact": 9}
    assert written["seconds"]["fact"] == summary.seconds
    assert 0.3 < written["disk_bytes"]["fact"] / written["disk_bytes"]["forecast"]["middle"] < 3
    assert "\nforecast          " in summary_text(summary)
    # What goes on with another budget is another search.
    longer = resume_locally(run, overrides=["budget.trials=10"])
    assert longer.forecast is None
    assert "forecast" not in json.loads((run / "summary.json").read_text(encoding="utf-8"))


def test_a_plan_of_another_configuration_is_refused(tmp_path: Path, planned: Path) -> None:
    other = ["budget.trials=5", "trial.model.hidden={choice: [8, 16]}"]
    with pytest.raises(RefusedError) as error:
        search_locally(search_config(), overrides=other, results=tmp_path, plan=planned)
    assert str(error.value).splitlines() == [
        f"{planned} was made of another configuration:",
        "  trial.model.hidden.choice is [8, 16, 32] in the plan, and [8, 16] in this search",
        "  budget.trials is 9 in the plan, and 5 in this search",
        "make it anew by `tune-search plan CONFIG --out FILE` with the same --set, or leave it out",
    ]
    assert not (tmp_path / "digits" / "study.journal").exists()
    other_name = search_locally(search_config(name="other"), results=tmp_path, plan=planned)
    assert other_name.forecast is not None


def test_a_file_that_is_no_plan_is_refused(tmp_path: Path) -> None:
    for content in ("", "[]", "{}", '{"format": 1}', "\udcff"):
        (tmp_path / "plan.json").write_text(content, encoding="utf-8", errors="surrogateescape")
        with pytest.raises(SearchError, match=r"is not what `tune-search plan CONFIG --out FILE` writes"):
            read_forecast(tmp_path / "plan.json")
    with pytest.raises(SearchError, match=r"cannot read .*: No such file") as unreadable:
        read_forecast(tmp_path / "none.json")
    assert unreadable.value.exit_code == 1


def test_texts_of_ranges() -> None:
    found = a_plan(5.0, virtual_epoch={"steps": 5})
    stage = replace(
        found.stages[0], trial_memory=1e9, machine_memory=24e9, trial_gpu_memory=2e9, gpu_memory=80e9
    )
    shown = forecast_text(
        replace(found, stages=[stage], race_seconds=math.nextafter(60.0, 61)), config="a.yaml"
    )
    assert (
        "each with up to 1.0 GB of 24.0 GB memory, and 2.0 GB of 80.0 GB on a GPU, where 40 find room"
        in shown
    )
    assert "confirm           up to 1 min 00 s more" in shown
