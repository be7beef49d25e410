from __future__ import annotations

from records import decide, trial

from search.schedulers.base import Decision
from search.schedulers.hyperband import Hyperband


def test_hyperband_deals_trials_to_brackets_by_their_number() -> None:
    scheduler = Hyperband(grace_period=1, reduction_factor=3, mode="max", num_virtual_epochs=9)
    brackets = [scheduler.bracket(number) for number in range(18)]
    # n of the paper for R = 9, eta = 3: 9, 5 and 3.
    assert [brackets[:17].count(bracket) for bracket in range(3)] == [9, 5, 3]
    assert brackets[17] == brackets[0]
    assert set(brackets[:4]) == {0, 1, 2}


def test_a_bracket_has_its_own_first_rung_and_its_own_rivals() -> None:
    scheduler = Hyperband(grace_period=1, reduction_factor=3, mode="max", num_virtual_epochs=9)
    of = [[number for number in range(17) if scheduler.bracket(number) == bracket] for bracket in range(3)]
    best = trial(of[1][0], 0.9)
    assert decide(scheduler, trial(of[0][0], 0.1), best) is Decision.GO_ON
    assert decide(scheduler, trial(of[0][0], 0.1), trial(of[0][1], 0.9)) is Decision.STOP
    assert decide(scheduler, trial(of[1][1], 0.1), best) is Decision.GO_ON
    deep = trial(of[1][0], 0.9, 0.9, 0.9)
    assert decide(scheduler, trial(of[1][1], 0.1, 0.1, 0.1), deep) is Decision.STOP
