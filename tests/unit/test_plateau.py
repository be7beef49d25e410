"""No further progress: which trials end on a plateau, and which searches do."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from decisions import assert_decisions
from effort import num_calls
from killed_simulations import assert_alike_when_killed
from records import Records, decide, trial
from simulated_search import (
    NONE,
    RULES,
    Simulation,
    by_number,
    config_of,
    cut_journal,
    history,
    num_lines,
    outcomes,
)

from search.config.schema import Plateau
from search.schedulers.asha import ASHA
from search.schedulers.base import Decision, NoScheduler, Rungs, Scheduler
from search.schedulers.plateau import PlateauStopping, is_on_plateau, smoothed
from search.study.indexes import Indexes
from search.study.reading import read_records
from search.study.study import JOURNAL, SearchStudy
from search.study.trial import Outcome, TrialRecord, best_record

EPSILON = 0.01


pytestmark = pytest.mark.usefixtures("no_fsync")


def plateau(patience: int, min_delta: float = 0.0, ema: float = 0.0, mode: Any = "max") -> PlateauStopping:
    options = Plateau(patience=patience, min_delta=min_delta, ema=ema)
    return PlateauStopping(NoScheduler(), options, mode)


def test_a_trial_ends_that_has_not_become_better() -> None:
    scheduler = plateau(2)
    assert decide(scheduler, trial(0, 0.5, 0.4)) is Decision.GO_ON
    assert decide(scheduler, trial(0, 0.5, 0.5, 0.5)) is Decision.STOP
    assert decide(scheduler, trial(0, 0.5, 0.4, 0.6)) is Decision.GO_ON
    assert decide(scheduler, trial(0, 0.5, 0.6, 0.4, 0.4)) is Decision.STOP


def test_an_improvement_of_no_more_than_min_delta_is_none() -> None:
    scheduler = plateau(1, min_delta=0.1, mode="min")
    assert decide(scheduler, trial(0, 0.5, 0.45)) is Decision.STOP
    assert decide(scheduler, trial(0, 0.5, 0.3)) is Decision.GO_ON


def ended_after(scheduler: PlateauStopping, losses: list[float]) -> int:
    """Virtual epochs after which a trial with these losses ends."""
    depths = range(1, len(losses) + 1)
    stops = (n for n in depths if decide(scheduler, trial(0, *losses[:n])) is Decision.STOP)
    return next(stops, len(losses))


def article_ends_after(losses: list[float], *, distance: Any) -> int:
    """`while last_loss is None or distance(loss, last_loss) > EPSILON`, with last_loss kept up to date."""
    last: float | None = None
    for count, loss in enumerate(losses, start=1):
        if last is not None and not distance(loss, last) > EPSILON:
            return count
        last = loss
    return len(losses)


def test_with_patience_one_a_falling_loss_is_trained_until_it_moves_by_no_more_than_epsilon() -> None:
    """The convergence loop of article 003, as it is meant: with the distance of two losses."""
    for rate in (0.3, 0.7, 0.9):
        losses = [rate**n for n in range(100)]
        expected = article_ends_after(losses, distance=lambda loss, last: abs(loss - last))
        assert ended_after(plateau(1, EPSILON, mode="min"), losses) == expected
        assert 3 < expected < 100


def test_neither_trap_of_the_articles_comparison_is_ours() -> None:
    falling, rising = [1.0, 0.8, 0.6, 0.4, 0.2, 0.1], [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    scheduler = plateau(1, EPSILON, mode="min")
    # As written, loss - last_loss > EPSILON ends at the first fall, and trains on while the loss rises.
    as_written = {"distance": lambda loss, last: loss - last}
    assert [article_ends_after(losses, **as_written) for losses in (falling, rising)] == [2, 6]
    # With abs alone a rising loss is still trained on.
    assert article_ends_after(rising, distance=lambda loss, last: abs(loss - last)) == 6
    assert [ended_after(scheduler, losses) for losses in (falling, rising)] == [6, 2]


def test_the_average_is_corrected_for_its_start_as_in_adam() -> None:
    values, decay = [0.9, 0.1, 0.4, 0.3], 0.6
    expected, mean = [], 0.0
    for count, value in enumerate(values, start=1):
        mean = decay * mean + (1 - decay) * value
        expected.append(mean / (1 - decay**count))
    np.testing.assert_allclose(smoothed(values, decay), expected, rtol=1e-12)
    np.testing.assert_allclose(smoothed([0.7] * 5, 0.9), [0.7] * 5, rtol=1e-12)
    assert smoothed(values, 0.0) == values


def test_one_lucky_value_does_not_end_a_trial_whose_average_still_grows() -> None:
    values = [0.1, 0.9, 0.3, 0.5, 0.8]
    assert decide(plateau(3), trial(0, *values)) is Decision.STOP
    assert decide(plateau(3, ema=0.8), trial(0, *values)) is Decision.GO_ON


def test_any_scheduler_goes_with_it() -> None:
    rungs = Rungs(grace_period=1, reduction_factor=3)
    scheduler = PlateauStopping(ASHA(rungs, "max", 9), Plateau(patience=2), "max")
    assert scheduler.rungs == rungs
    assert decide(scheduler, trial(0, 0.5)) is Decision.PAUSE
    assert decide(scheduler, trial(0, 0.5, 0.6)) is Decision.GO_ON
    assert decide(scheduler, trial(0, 0.5, 0.6, 0.7)) is Decision.PAUSE
    assert decide(scheduler, trial(0, 0.5, 0.5, 0.5)) is Decision.STOP


def test_where_the_best_of_a_rung_has_ended_on_a_plateau_nobody_goes_on_alone() -> None:
    scheduler = ASHA(Rungs(), "max", 27)
    ended = trial(0, 0.1, 0.5, 0.9, 0.9, 0.9, outcome=Outcome.STOPPED)
    study: Any = Records(ended, trial(1, 0.1, 0.4, 0.8))
    assert scheduler.next_promotion(study, closing=True) is None
    study = Records(trial(0, 0.1, 0.2, 0.3, 0.3, 0.3, outcome=Outcome.STOPPED), trial(1, 0.1, 0.4, 0.8))
    assert scheduler.next_promotion(study, closing=True) is study.records[1]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"patience": 2}, "its best did not improve in the last 2 virtual epochs"),
        (
            {"patience": 1, "min_delta": 0.5},
            "its best did not improve by more than 0.5 in the last virtual epoch",
        ),
        (
            {"patience": 2, "ema": 0.3, "min_delta": 0.01},
            "its average did not improve by more than 0.01 in the last 2 virtual epochs",
        ),
    ],
)
def test_a_trial_that_ends_on_a_plateau_says_so_in_the_study(
    tmp_path: Path, options: dict[str, Any], why: str
) -> None:
    config = config_of(
        sampler={"name": "random"},
        scheduler=NONE,
        plateau=options,
        budget={"trials": 2, "max_virtual_epochs": 9},
    )
    Simulation(tmp_path, config, by_number([0.5, 0.4])).run()
    depth = options["patience"] + 1
    expected = f"stopped at virtual epoch {depth}: on a plateau ({why})"
    assert [record.reason for record in read_records(tmp_path / JOURNAL)] == [expected] * 2


def test_a_trial_that_another_scheduler_ends_does_not_speak_of_a_plateau(tmp_path: Path) -> None:
    sections = {"scheduler": {"name": "asha_stop"}, "plateau": {"patience": 5}}
    config = config_of(sampler={"name": "random"}, **sections)
    records = Simulation(tmp_path, config, by_number([0.5, 0.4] * 5, gain=0.01)).run().records
    assert "stopped at virtual epoch 1" in {record.reason for record in records}
    assert not any("plateau" in record.reason for record in records)


# --- of the search


def settled(*values: float) -> list[Any]:
    return [
        trial(number, value, sequence=number + 1, last_report=number + 1, outcome=Outcome.COMPLETED)
        for number, value in enumerate(values)
    ]


def on_plateau(records: list[Any], trials: int, min_delta: float = 0.0, mode: str = "max") -> bool:
    study: Any = Records(*records, mode=mode)
    return is_on_plateau(study, NoScheduler(), trials=trials, min_delta=min_delta)


def test_a_search_is_on_a_plateau_when_its_last_trials_were_no_better() -> None:
    assert not on_plateau(settled(0.5, 0.4), 2)
    assert on_plateau(settled(0.5, 0.4, 0.5), 2)
    assert not on_plateau(settled(0.5, 0.4, 0.6), 2)
    assert on_plateau(settled(0.5, 0.4, 0.6), 2, min_delta=0.2)
    assert on_plateau(settled(0.5, 0.6, 0.7), 2, mode="min")


def test_what_failed_or_is_being_trained_does_not_count_and_what_diverged_does() -> None:
    failed, running, diverged = settled(0.5, 0.4, 0.3)
    failed.outcome, running.outcome, diverged.outcome = Outcome.FAILED, None, Outcome.DIVERGED
    assert not on_plateau([*settled(0.5), failed, running], 1)
    assert on_plateau([*settled(0.5), diverged], 1)


def sorted_anew(study: SearchStudy, scheduler: Scheduler, trials: int, min_delta: float) -> bool:
    """The definition: all trials in the order in which they ended or paused last."""

    def at(record: TrialRecord) -> int:
        return record.last_report if record.outcome is None or record.stopped_by_budget else record.sequence

    def is_settled(record: TrialRecord) -> bool:
        if record.outcome is not None and not record.stopped_by_budget:
            return record.outcome is not Outcome.FAILED
        paused = scheduler.after_report(study, record) is Decision.PAUSE
        return record.depth > record.promoted_at and paused

    settled = sorted((record for record in study.records if is_settled(record)), key=at)
    before, now = best_record(settled[:-trials], study.mode), best_record(settled, study.mode)
    if before is None or now is None:
        return False
    if before.mean(study.mode) is None:
        return False
    return abs(now.mean(study.mode) - before.mean(study.mode)) <= min_delta  # type: ignore[operator]


@pytest.mark.parametrize("name", ["asha", "asha and plateau", "asha_stop", "none"])
@pytest.mark.parametrize("mode", ["max", "min"])
def test_what_follows_a_search_says_the_same_as_sorting_all_of_its_trials(
    tmp_path: Path, name: str, mode: str
) -> None:
    objective = {"metric": "accuracy", "mode": mode}
    budget = {"trials": 16, "max_virtual_epochs": 9}
    config = config_of(sampler={"name": "random"}, objective=objective, budget=budget, **RULES[name])

    def noisy(record: TrialRecord, virtual_epoch: int) -> float:
        dice = random.Random(f"{record.number} {virtual_epoch}")
        return float("nan") if dice.random() < 0.05 else dice.randrange(8) / 8

    simulation = Simulation(tmp_path, config, noisy, workers=3)
    study, scheduler, said = simulation.study, simulation.rule, set()
    while not simulation.records or not all(record.outcome for record in simulation.records):
        simulation.step()
        for trials, min_delta in ((1, 0.0), (3, 0.0), (5, 0.2)):
            expected = sorted_anew(study, scheduler, trials, min_delta)
            assert is_on_plateau(study, scheduler, trials=trials, min_delta=min_delta) == expected
            said.add(expected)
    assert said == {True, False}


def test_asking_for_a_plateau_costs_the_same_among_4000_trials_as_among_2000() -> None:
    assert _calls_of_asking(4000) < 1.2 * _calls_of_asking(2000)


def _calls_of_asking(num_trials: int) -> int:
    """Of a study that has been asked before, after one trial has changed."""
    study: Any = Records(*settled(*(number % 97 / 97 for number in range(num_trials))))
    kept = SimpleNamespace(records=study.records, mode="max", indexes=Indexes())
    scheduler = NoScheduler()
    assert is_on_plateau(kept, scheduler, trials=500, min_delta=0.0)  # type: ignore[arg-type]
    kept.indexes.update(study.records[7])
    return num_calls(lambda: is_on_plateau(kept, scheduler, trials=500, min_delta=0.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["asha", "none"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_search_ends_on_a_plateau_and_a_restart_leaves_it_ended(
    tmp_path: Path, name: str, workers: int
) -> None:
    budget = {"trials": 30, "max_virtual_epochs": 3, "plateau": {"trials": 4, "min_delta": 0.01}}
    config = config_of(sampler={"name": "random"}, budget=budget, **RULES[name])
    curve = by_number([0.1, 0.2, 0.3, 0.9] + [0.5] * 26)
    simulation = Simulation(tmp_path, config, curve, workers=workers).run()
    assert simulation.coordinator.ending == "the best has not moved by more than 0.01 in 4 trials"
    assert 8 <= len(simulation.records) <= 16
    assert assert_decisions(tmp_path, config)["begin"] == len(simulation.records)
    again = Simulation(tmp_path, config, curve, workers=workers)
    before = outcomes(again.records)
    assert outcomes(again.run().records) == before
    budget = {"trials": 30, "max_virtual_epochs": 3, "plateau": {"trials": 9, "min_delta": 0.01}}
    config = config_of(sampler={"name": "random"}, budget=budget, **RULES[name])
    assert len(Simulation(tmp_path, config, curve, workers=workers).run().records) > len(before)


def test_a_search_that_ends_on_a_plateau_is_killed_anywhere(tmp_path: Path) -> None:
    budget = {"trials": 30, "max_virtual_epochs": 9, "plateau": {"trials": 5, "min_delta": 0.02}}
    config = config_of(sampler={"name": "random", "seed": 1}, budget=budget, plateau={"patience": 2})
    assert_alike_when_killed(tmp_path, config, stride=11)
    assert 6 <= len(Simulation(tmp_path / "whole", config).records) < 30


def test_a_search_killed_between_its_plateau_and_its_end_stays_ended(tmp_path: Path) -> None:
    """The trial that ran on for a moment had become better; what was decided before stands."""
    budget = {"trials": 9, "max_virtual_epochs": 1, "plateau": {"trials": 3, "min_delta": 0.0}}
    config = config_of(sampler={"name": "random"}, scheduler=NONE, budget=budget)
    curve = by_number([0.9, 0.1, 0.1, 0.1, 1.0, 1.1, 1.2, 1.3, 1.4])
    whole = tmp_path / "whole"
    assert len(Simulation(whole, config, curve, workers=2).run().records) == 5
    told = history(whole)
    cut = cut_journal(whole, tmp_path / "cut", num_lines(whole) - 1)
    Simulation(cut, config, curve, workers=2).run()
    assert history(cut) == told
