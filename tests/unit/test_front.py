"""Fronts: ranks by non-domination, crowding, what is promoted, what the sampler learns, what is refused."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from in_process import search_locally
from records import Records, promote, trial
from simulated_search import cut_journal, num_lines, outcomes
from tiny_tasks import search_config

from search.api import Run
from search.commands.confirm import race
from search.config.objectives import measured_names, reported
from search.config.schema import Objective
from search.config.stages import load_config
from search.errors import ConfigError, SearchError
from search.exports.export import export
from search.run.outcome.summary_file import read_summary
from search.samplers.view import FrontScores
from search.schedulers.base import Rungs
from search.schedulers.moasha import MOASHA, FrontTable
from search.screen.texts.summary import summary_text
from search.study.front import (
    _ranks_by_peeling,
    best_first,
    crowding_distances,
    front_of,
    losses_of,
    non_dominated,
    non_dominated_ranks,
    objectives_at,
)
from search.study.reading import read_records
from search.study.trial import Outcome, TrialRecord

pytestmark = pytest.mark.usefixtures("no_fsync")

ACCURACY, LATENCY = Objective(metric="accuracy", mode="max"), Objective(metric="latency", mode="min")
LOSS = Objective(metric="valid_loss", mode="min")
SEVERAL: list[dict[str, Any]] = [
    {"metric": "accuracy", "mode": "max"},
    {"metric": "valid_loss", "mode": "min"},
    {"metric": "parameters", "mode": "min"},
]


def beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def ranks_by_definition(losses: list[tuple[float, ...]]) -> list[int]:
    left, found, rank = set(range(len(losses))), [0] * len(losses), 0
    while left:
        front = {i for i in left if not any(beats(losses[j], losses[i]) for j in left)}
        for position in front:
            found[position] = rank
        left, rank = left - front, rank + 1
    return found


# --- ranks


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("objectives", [2, 3])
def test_ranks_are_those_of_the_definition(seed: int, objectives: int) -> None:
    drawn = random.Random(seed)
    values = [0.0, 1.0, 2.0, 3.0, math.inf] if seed % 2 else [drawn.random() for _ in range(40)]
    losses = [tuple(drawn.choice(values) for _ in range(objectives)) for _ in range(40)]
    expected = ranks_by_definition(losses)
    assert non_dominated_ranks(losses) == expected
    assert _ranks_by_peeling(losses) == expected
    assert non_dominated(losses) == [rank == 0 for rank in expected]


def test_equal_trials_are_of_one_front() -> None:
    assert non_dominated_ranks([(1, 2), (1, 2), (1, 3), (0, 9)]) == [0, 0, 1, 0]
    assert non_dominated_ranks([]) == []
    assert non_dominated([]) == []


def test_crowding_distances_are_those_of_nsga_ii() -> None:
    # The ranges are 4 and 8: the second has (3 - 0) / 4 + (8 - 2) / 8, the third (4 - 1) / 4 + (4 - 0) / 8.
    assert crowding_distances([(0, 8), (1, 4), (3, 2), (4, 0)]) == [math.inf, 1.5, 1.25, math.inf]
    assert crowding_distances([(0, 8)]) == [math.inf]
    assert crowding_distances([(1, 1), (1, 1), (1, 1)]) == [math.inf, 0.0, math.inf]
    assert best_first([(3, 2), (4, 9), (1, 4), (0, 8), (4, 0)]) == [3, 4, 2, 0, 1]


# --- what of a trial counts


def of(number: int, *accuracies: float, latency: float = 0.0, **fields: Any) -> TrialRecord:
    return trial(number, *accuracies, measured={"latency": latency}, **fields)


def test_all_objectives_are_of_the_virtual_epoch_that_is_best_by_the_first() -> None:
    others = [{"valid_loss": loss} for loss in (1.0, 3.0, 0.2)]
    record = trial(0, 0.5, 0.9, 0.7, others=others)
    record.measured = {"latency": 0.02}
    objectives = [ACCURACY, LOSS, LATENCY]
    assert objectives_at(record, objectives) == {"accuracy": 0.9, "valid_loss": 3.0, "latency": 0.02}
    assert losses_of(record, objectives, 1) == (-0.5, 1.0, 0.02)
    assert losses_of(trial(1, 0.1), [ACCURACY, LATENCY]) == (-0.1, math.inf)


def test_the_front_has_no_failed_trials_and_begins_with_the_best_by_the_first() -> None:
    records = [
        of(0, 0.5, latency=0.01),
        of(1, 0.9, latency=0.03),
        of(2, 0.4, latency=0.02),
        of(3, 0.99, latency=0.001, outcome=Outcome.DIVERGED),
        of(4, 0.99, latency=0.001, of_other_data=True),
        trial(5, outcome=Outcome.OVER_LIMIT),
    ]
    assert [record.number for record in front_of(records, [ACCURACY, LATENCY])] == [1, 0]


# --- what is promoted


def test_a_trial_of_the_front_is_promoted_though_others_are_better_by_the_first_objective() -> None:
    scheduler = MOASHA(Rungs(), [ACCURACY, LATENCY], 9)
    slow = [of(number, 0.9 - number / 100, latency=0.5 + number / 100) for number in range(5)]
    fast = of(5, 0.2, latency=0.001)
    assert promote(scheduler, *slow, fast) == 0
    slow[0].values += [0.95, 0.95]
    slow[0].promoted_at = 1
    assert promote(scheduler, *slow, fast) == 5


def test_the_table_ranks_as_at_the_rung_and_follows_changes() -> None:
    records = [of(0, 0.5, latency=0.1), of(1, 0.6, latency=0.2), of(2, 0.4, latency=0.3)]
    table = FrontTable(records, Rungs(), [ACCURACY, LATENCY])
    assert [record.number for record in table.ranked(1)] == [0, 1, 2]
    assert [(rank, record.number) for rank, record in table.waiting(1)] == [(0, 0), (1, 1), (2, 2)]
    records[2].values += [0.99]  # after the rung: nothing there changes
    table.update(records[2])
    assert [table.rank(record, 1) for record in records] == [0, 1, 2]
    assert table.at(1, 2) is records[2]
    records[0].outcome = Outcome.DIVERGED
    table.update(records[0])
    assert [record.number for record in table.ranked(1)] == [1, 2, 0]


def test_every_paused_trial_may_still_be_promoted() -> None:
    """The second and the third are of one front; a new trial may beat one of them alone."""
    scheduler = MOASHA(Rungs(), [ACCURACY, LATENCY], 9)
    records = [of(number, 0.9 - number / 10, latency=0.9 - number / 10) for number in range(6)]
    found = scheduler.may_promote(Records(*records), 0)  # type: ignore[arg-type]
    assert {record.number for record in found} == set(range(6))
    assert scheduler.most_waiting(6) == 6


def test_scores_are_by_rung_then_by_front_then_by_crowding() -> None:
    records = [
        of(0, 0.5, 0.5, 0.5, latency=0.9),  # of rung 2, where it is alone
        of(1, 0.9, latency=0.5),
        of(2, 0.7, latency=0.3),
        of(3, 0.6, latency=0.1),
        of(4, 0.5, latency=0.6),
        of(5, outcome=Outcome.DIVERGED),
        trial(6, outcome=Outcome.OVER_LIMIT),
    ]
    scores = {r.number: s for r, s in FrontScores(records, Rungs(), [ACCURACY, LATENCY])()}
    assert sorted(scores, key=lambda number: (scores[number], number)) == [5, 6, 4, 2, 3, 1, 0]
    assert scores[5] == scores[6] == 0.0
    assert scores[0] == 1.0


# --- what is refused


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"objective": {"metric": "accuracy", "mode": "max"}}, "objective: is given beside objectives"),
        (
            {"objectives": SEVERAL[2:] + SEVERAL[:1]},
            "objectives.0.metric: received 'parameters'; the first must be",
        ),
        ({"objectives": SEVERAL[:1] * 2}, "objectives.1.metric: received 'accuracy' again"),
        ({"objectives": SEVERAL[:1]}, "objectives: "),
        (
            {"objectives": [SEVERAL[0], {"metric": "latency", "mode": "max"}]},
            "objectives.1.mode: received 'max'",
        ),
        ({"objectives": [SEVERAL[0], {"metric": "memory", "mode": "min"}]}, "resources.gpus_per_trial is 0"),
        ({"scheduler": {"name": "hyperband"}}, "scheduler.name: received 'hyperband'; must be asha or none"),
        (
            {"scheduler": {"audit": 2}},
            "scheduler.audit: received 2; the audit compares ranks by one objective",
        ),
        ({"plateau": {"patience": 2}}, "plateau: does not go with several objectives"),
        ({"budget": {"trials": 9, "plateau": {"trials": 3}}}, "budget.plateau: does not go with several"),
        ({"confirm": {"top": 3}}, "confirm: does not go with several objectives: a race has one winner"),
        ({"stages": [{"name": "a"}]}, "stages: does not go with several objectives"),
        ({"task": "own_functions:shows", "trial": {}}, "a training function makes its own while it runs"),
    ],
)
def test_what_is_of_one_objective_is_refused_before_the_search(
    sections: dict[str, Any], message: str
) -> None:
    config = {**several(), **sections}
    with pytest.raises(ConfigError) as error:
        load_config(config)
    assert message in str(error.value)


def test_a_single_objective_may_have_the_name_of_what_can_be_measured() -> None:
    """A task of one's own may report its latency."""
    config = load_config(search_config(objective={"metric": "latency", "mode": "min"})).first
    assert measured_names(config) == ()
    assert [objective.metric for objective in reported(config)] == ["latency"]


# --- a search


def several(**sections: Any) -> dict[str, Any]:
    config = search_config(budget={"trials": 6, "max_virtual_epochs": 3}, **sections)
    del config["objective"]
    return {"objectives": SEVERAL, **config}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    search_locally(several(), results=results)
    return results / "digits"


def test_the_summary_has_the_front_of_the_study(run: Path) -> None:
    records = read_records(run / "study.journal")
    objectives = [Objective(**each) for each in SEVERAL]
    losses = {r.number: losses_of(r, objectives) for r in records if r.values}
    expected = {n for n, loss in losses.items() if not any(beats(other, loss) for other in losses.values())}
    summary = read_summary_of(run)
    assert {best.trial for best in summary.front} == expected
    assert [best.value for best in summary.front] == sorted((b.value for b in summary.front), reverse=True)
    for best in summary.front:
        record = records[best.trial]
        assert best.objectives == objectives_at(record, objectives)
        assert best.objectives["parameters"] == 77 * record.params["model.hidden"] + 10
        assert (run / best.checkpoint / "model.safetensors").is_file()
    assert summary.best is None
    assert summary.objectives == json.loads((run / "summary.json").read_text())["objectives"] == SEVERAL
    assert all(len(record.others) == record.depth for record in records)
    text = summary_text(summary)
    assert f"the front: {len(expected)} trial" in text
    assert f"export {run} --trial {summary.front[0].trial}" in text.replace("\n", " ")


def read_summary_of(run: Path) -> Any:
    return read_summary(Run(run)._folder)


def test_what_needs_one_trial_says_which_there_are(run: Path) -> None:
    front = Run(run).front
    with pytest.raises(SearchError, match="choose one by --trial N") as error:
        export(run)
    lines = str(error.value).split("\n")[1:]
    assert len(lines) == len(front)
    for line, best in zip(lines, front, strict=True):
        assert line.startswith(f"  trial {best.trial}: accuracy {best.value:.4g}, valid_loss")
    with pytest.raises(SearchError, match="has several objectives, and so no best trial: see"):
        _ = Run(run).best
    with pytest.raises(SearchError, match="a race has one winner"):
        race(run)
    assert f"a front of {len(front)}" in repr(Run(run))


def test_a_trial_of_the_front_is_exported_with_its_values(run: Path, tmp_path: Path) -> None:
    last = Run(run).front[-1]
    exported = export(run, trial=last.trial, out=tmp_path / "out")
    assert exported.value == pytest.approx(last.value)
    assert exported.metrics["valid_loss"] == pytest.approx(last.objectives["valid_loss"], rel=1e-5)


def test_a_search_that_is_killed_ends_with_the_same_front(run: Path, tmp_path: Path) -> None:
    expected = read_records(run / "study.journal")
    lines = num_lines(run)
    for writes in (lines // 3, lines // 2, lines - 4):
        folder = tmp_path / f"{writes}" / "digits"
        folder.mkdir(parents=True)
        cut_journal(run, folder, writes)
        (folder / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
        search_locally(several(), results=folder.parent)
        found = read_records(folder / "study.journal")
        assert outcomes(found) == outcomes(expected)
        assert [record.others for record in found] == [record.others for record in expected]


def test_a_budget_of_compute_ends_with_the_best_by_the_first_objective_fully_trained(tmp_path: Path) -> None:
    config = several()
    config["budget"] = {"full_trainings": 3, "max_virtual_epochs": 4}
    summary = search_locally(config, results=tmp_path)
    records = read_records(tmp_path / "digits" / "study.journal")
    assert sum(record.depth for record in records) <= 12
    assert records[summary.front[0].trial].depth == 4
    assert "the best trial by accuracy is fully trained" in summary.reason
