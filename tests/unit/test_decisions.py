"""The check of a search's decisions finds those that are wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from decisions import assert_decisions
from simulated_search import (
    FALLING,
    RULES,
    Simulation,
    by_number,
    config_of,
    cut_journal,
    learning_curve,
    num_lines,
)

from search.schedulers.base import Decision
from search.study.study import JOURNAL

Entries = list[dict[str, Any]]


pytestmark = pytest.mark.usefixtures("no_fsync")


def config(sections: Any) -> Any:
    return config_of(sampler={"name": "random"}, **sections)


def scheduled(**scheduler: Any) -> dict[str, Any]:
    return {"scheduler": scheduler}


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("rule", RULES)
def test_a_search_has_decided_as_its_own_rule_says(tmp_path: Path, rule: str, mode: str) -> None:
    objective = {"metric": "accuracy", "mode": mode}
    own = config_of(sampler={"name": "random"}, **RULES[rule], objective=objective)
    records = Simulation(tmp_path, own, workers=3).run().records
    decided = assert_decisions(tmp_path, own)
    assert decided["begin"] == 9
    virtual_epochs = sum(decided[decision.value] for decision in Decision)
    assert virtual_epochs == sum(record.depth for record in records)


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (RULES["asha"], scheduled(name="asha", reduction_factor=2)),
        (RULES["asha"], scheduled(name="asha", grace_period=2)),
        (RULES["asha"], RULES["none"]),
        (RULES["none"], RULES["asha"]),
        (RULES["asha_stop"], scheduled(name="asha_stop", reduction_factor=2)),
        (RULES["none"], RULES["asha_stop"]),
        (RULES["hyperband"], RULES["asha_stop"]),
        (RULES["median"], scheduled(name="percentile", startup_trials=2, percentile=10.0)),
        (RULES["plateau"], RULES["plateau"] | {"plateau": {"patience": 1, "min_delta": 0.05, "ema": 0.3}}),
        (RULES["plateau"], RULES["none"]),
    ],
    ids=str,
)
def test_by_another_rule_its_decisions_are_wrong(tmp_path: Path, own: Any, other: Any) -> None:
    curve = learning_curve if "plateau" in own else by_number([(n * 4 % 9) / 10 for n in range(9)])
    Simulation(tmp_path, config(own), curve).run()
    assert_decisions(tmp_path, config(own))
    with pytest.raises(AssertionError):
        assert_decisions(tmp_path, config(other))


def without(entries: Entries, matches: Callable[[dict[str, Any]], bool]) -> Entries:
    return [entry for entry in entries if not matches(entry)]


def _promotes(entry: dict[str, Any]) -> bool:
    return "promoted" in entry.get("user_attr", {})


def _with_another_value(entries: Entries) -> Entries:
    """The best trial was worse than it said when it was promoted."""
    first = next(entry for entry in entries if "intermediate_value" in entry)
    return [entry | {"intermediate_value": 0.0} if entry is first else entry for entry in entries]


def _ended_early(entries: Entries) -> Entries:
    """The first pause is an end by the rule."""
    return [
        entry | {"user_attr": {"end": {"sequence": 1, "stopped_by_budget": False}}}
        if "end" in entry.get("user_attr", {})
        else entry
        for entry in entries
    ]


@pytest.mark.parametrize(
    "tampered",
    [
        lambda entries: without(entries, _promotes),
        lambda entries: without(entries, lambda entry: entry.get("step") == 2),
        _with_another_value,
        _ended_early,
    ],
    ids=["without promotions", "without a virtual epoch", "with another value", "with other ends"],
)
def test_what_was_not_decided_that_way_is_found(
    tmp_path: Path, tampered: Callable[[Entries], Entries]
) -> None:
    Simulation(tmp_path, config(RULES["asha"]), by_number(FALLING)).run()
    entries = [json.loads(line) for line in (tmp_path / JOURNAL).read_text().splitlines()]
    (tmp_path / JOURNAL).write_text("".join(json.dumps(entry) + "\n" for entry in tampered(entries)))
    with pytest.raises(AssertionError):
        assert_decisions(tmp_path, config(RULES["asha"]))


# --- with limits of compute

LENGTH = 9
LIMITS: list[dict[str, Any]] = [
    {"full_trainings": 3},
    {"full_trainings": 2.5},
    {"steps": 150},
    {"full_trainings": 4, "trials": 8},
    {"samples": 2400},
    {"time": "40s"},
]


def budgeted(rule: str, seed: int = 0, **budget: Any) -> Any:
    limits = {"max_virtual_epochs": LENGTH, **budget}
    return config_of(sampler={"name": "random", "seed": seed}, **RULES[rule], budget=limits)


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("rule", ["asha", "asha_stop", "hyperband", "median", "none"])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_search_with_a_limit_of_compute_has_decided_as_its_reserve_says(
    tmp_path: Path, rule: str, limits: dict[str, Any], workers: int
) -> None:
    own = budgeted(rule, **limits)
    records = Simulation(tmp_path, own, workers=workers).run().records
    decided = assert_decisions(tmp_path, own)
    assert decided["begin"] == len(records)
    assert any(record.depth == LENGTH for record in records)


@pytest.mark.parametrize("rule", ["asha", "asha_stop"])
def test_a_killed_search_with_a_limit_of_compute_has_decided_as_its_reserve_says(
    tmp_path: Path, rule: str
) -> None:
    own, whole = budgeted(rule, full_trainings=3), tmp_path / "whole"
    Simulation(whole, own, workers=3).run()
    for lines in range(1, num_lines(whole), 9):
        folder = cut_journal(whole, tmp_path / f"cut{lines}", lines)
        Simulation(folder, own, workers=3).run()
        assert assert_decisions(folder, own)["begin"] >= 1, f"killed after write {lines}"


def test_trials_are_held_and_lead_where_the_budget_ends(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for rule in ("asha", "asha_stop"):
        own = budgeted(rule, full_trainings=3)
        Simulation(tmp_path / rule, own, workers=3).run()
        counts += assert_decisions(tmp_path / rule, own)
    assert counts["hold"] > 0
    assert counts["go on for the budget"] > 0


@pytest.mark.parametrize(
    ("rule", "limits", "other"),
    [
        ("asha", {"full_trainings": 3}, {"full_trainings": 2}),
        ("asha", {"full_trainings": 3}, {"full_trainings": 6}),
        ("asha_stop", {"full_trainings": 3}, {"full_trainings": 6}),
        ("asha_stop", {"full_trainings": 3}, {"trials": 24}),
        ("asha", {"trials": 12}, {"full_trainings": 2}),
    ],
    ids=str,
)
def test_by_another_budget_its_decisions_are_wrong(
    tmp_path: Path, rule: str, limits: dict[str, Any], other: dict[str, Any]
) -> None:
    Simulation(tmp_path, budgeted(rule, **limits), workers=3).run()
    with pytest.raises(AssertionError):
        assert_decisions(tmp_path, budgeted(rule, **other))


def test_audited_trials_go_through_their_rungs(tmp_path: Path) -> None:
    own = config_of(sampler={"name": "random"}, scheduler={"name": "asha", "audit": 3})
    records = Simulation(tmp_path, own, workers=3).run().records
    assert sum(record.audited for record in records) == 3
    assert assert_decisions(tmp_path, own)["begin"] == len(records)
