"""No further progress: which trials end on a plateau, and which searches do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from decisions import assert_decisions
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
from test_early_stopping import Records, decide, trial
from test_restarts import assert_alike_when_killed

from search.schedulers.early_stopping import Decision, Promotion, Rungs, Unstopped
from search.schedulers.plateau import EndedByPlateau, is_on_plateau, smoothed
from search.study.study import Outcome

EPSILON = 0.01


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The death of a process loses nothing that was written; only a power cut would, and none comes here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def plateau(patience: int, min_delta: float = 0.0, ema: float = 0.0, mode: Any = "max") -> EndedByPlateau:
    return EndedByPlateau(Unstopped(), patience=patience, min_delta=min_delta, ema=ema, mode=mode)


def test_a_trial_ends_that_has_not_become_better() -> None:
    rule = plateau(2)
    assert decide(rule, trial(0, 0.5, 0.4)) is Decision.GO_ON
    assert decide(rule, trial(0, 0.5, 0.5, 0.5)) is Decision.STOP
    assert decide(rule, trial(0, 0.5, 0.4, 0.6)) is Decision.GO_ON
    assert decide(rule, trial(0, 0.5, 0.6, 0.4, 0.4)) is Decision.STOP


def test_an_improvement_of_no_more_than_min_delta_is_none() -> None:
    rule = plateau(1, min_delta=0.1, mode="min")
    assert decide(rule, trial(0, 0.5, 0.45)) is Decision.STOP
    assert decide(rule, trial(0, 0.5, 0.3)) is Decision.GO_ON


def ended_after(rule: EndedByPlateau, losses: list[float]) -> int:
    """Virtual epochs after which a trial with these losses ends."""
    depths = range(1, len(losses) + 1)
    stops = (n for n in depths if decide(rule, trial(0, *losses[:n])) is Decision.STOP)
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
    rule = plateau(1, EPSILON, mode="min")
    # As written, loss - last_loss > EPSILON ends at the first fall, and trains on while the loss rises.
    as_written = {"distance": lambda loss, last: loss - last}
    assert [article_ends_after(losses, **as_written) for losses in (falling, rising)] == [2, 6]
    # With abs alone a rising loss is still trained on.
    assert article_ends_after(rising, distance=lambda loss, last: abs(loss - last)) == 6
    assert [ended_after(rule, losses) for losses in (falling, rising)] == [6, 2]


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


def test_any_rule_goes_with_it() -> None:
    rungs = Rungs(grace_period=1, reduction_factor=3)
    rule = EndedByPlateau(Promotion(rungs, "max", 9), patience=2, min_delta=0.0, ema=0.0, mode="max")
    assert rule.rungs == rungs
    assert decide(rule, trial(0, 0.5)) is Decision.PAUSE
    assert decide(rule, trial(0, 0.5, 0.6)) is Decision.GO_ON
    assert decide(rule, trial(0, 0.5, 0.6, 0.7)) is Decision.PAUSE
    assert decide(rule, trial(0, 0.5, 0.5, 0.5)) is Decision.STOP


def test_where_the_best_of_a_rung_has_ended_on_a_plateau_nobody_goes_on_alone() -> None:
    rule = Promotion(Rungs(), "max", 27)
    ended = trial(0, 0.1, 0.5, 0.9, 0.9, 0.9, outcome=Outcome.STOPPED)
    study: Any = Records(ended, trial(1, 0.1, 0.4, 0.8))
    assert rule.next_promotion(study, closing=True) is None
    study = Records(trial(0, 0.1, 0.2, 0.3, 0.3, 0.3, outcome=Outcome.STOPPED), trial(1, 0.1, 0.4, 0.8))
    assert rule.next_promotion(study, closing=True) is study.records[1]


# --- of the search


def settled(*values: float) -> list[Any]:
    return [
        trial(number, value, order=number + 1, reported=number + 1, outcome=Outcome.COMPLETED)
        for number, value in enumerate(values)
    ]


def on_plateau(records: list[Any], trials: int, min_delta: float = 0.0, mode: str = "max") -> bool:
    study: Any = Records(*records)
    study.mode = mode
    return is_on_plateau(study, Unstopped(), trials=trials, min_delta=min_delta)


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


@pytest.mark.parametrize("rule", ["asha", "none"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_search_ends_on_a_plateau_and_a_restart_leaves_it_ended(
    tmp_path: Path, rule: str, workers: int
) -> None:
    budget = {"trials": 30, "max_virtual_epochs": 3, "plateau": {"trials": 4, "min_delta": 0.01}}
    config = config_of(sampler={"name": "random"}, budget=budget, **RULES[rule])
    curve = by_number([0.1, 0.2, 0.3, 0.9] + [0.5] * 26)
    simulation = Simulation(tmp_path, config, curve, workers=workers).run()
    assert simulation.coordinator.ending == "the best has not moved by more than 0.01 in 4 trials"
    assert 8 <= len(simulation.records) <= 16
    assert assert_decisions(tmp_path, config)["begin"] == len(simulation.records)
    again = Simulation(tmp_path, config, curve, workers=workers)
    before = outcomes(again.records)
    assert outcomes(again.run().records) == before
    budget = {"trials": 30, "max_virtual_epochs": 3, "plateau": {"trials": 9, "min_delta": 0.01}}
    config = config_of(sampler={"name": "random"}, budget=budget, **RULES[rule])
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
