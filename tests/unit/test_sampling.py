from __future__ import annotations

import math
import os
import statistics
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from simulated_search import FLAT_SPACE, SPACE, Simulation, config_of, learning_curve, open_study

from search.samplers.samplers import MAX_LEARNED, StudyView, _thinned, halving_scores
from search.schedulers.early_stopping import Rungs
from search.space.space import Resolved
from search.study.study import JOURNAL, Outcome, TrialRecord, read_records
from trainables.data.virtual_epoch import VirtualEpochs

STEPS = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=None)
SAMPLERS = ["random", "forest", "tpe", "gp", "cmaes", "qmc"]


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The death of a process loses nothing that was written; only a power cut would, and none comes here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def trial(number: int, *values: float, **fields: Any) -> TrialRecord:
    return TrialRecord(number, number, Resolved({}, {}, {}), values=list(values), lengths=STEPS, **fields)


def space_for(sampler: str) -> Any:
    return FLAT_SPACE if sampler in ("gp", "cmaes") else SPACE


def drawn(folder: Path, sampler: str, seed: int = 0, trials: int = 9) -> list[dict[str, Any]]:
    config = config_of(
        space_for(sampler),
        sampler={"name": sampler, "seed": seed, "startup_trials": 4},
        budget={"trials": trials, "max_virtual_epochs": 3},
    )
    return [record.resolved.params for record in Simulation(folder, config).run().records]


# --- scores


def scores(records: list[TrialRecord], mode: Any = "max") -> dict[int, float]:
    return {record.number: score for record, score in halving_scores(records, Rungs(), mode).items()}


def test_a_deeper_rung_ranks_above_a_better_value_at_a_shallow_one() -> None:
    records = [trial(0, 0.9), trial(1, 0.1, 0.2, 0.3), trial(2, 0.5), trial(3, 0.1, 0.1, 0.1)]
    found = scores(records)
    assert sorted(found, key=found.__getitem__) == [2, 0, 3, 1]
    assert (min(found.values()), max(found.values())) == (0.0, 1.0)


def test_with_mode_min_the_smaller_value_scores_higher() -> None:
    assert scores([trial(0, 0.9), trial(1, 0.1)], "min") == {0: 0.0, 1: 1.0}


def test_a_full_length_ranks_above_its_last_rung() -> None:
    found = scores([trial(0, *[0.9] * 3), trial(1, *[0.5] * 4, outcome=Outcome.COMPLETED)])
    assert found[1] > found[0]


def test_a_former_full_length_ranks_with_its_last_rung_once_another_trial_has_gone_further() -> None:
    former = [trial(n, *[value] * 3, outcome=Outcome.COMPLETED) for n, value in enumerate([0.5, 0.3])]
    rung = trial(2, *[0.4] * 3)
    assert scores([*former, rung])[1] > scores([*former, rung])[2]
    further = trial(3, *[0.1] * 9)
    found = scores([*former, rung, further])
    assert sorted(found, key=found.__getitem__) == [1, 2, 0, 3]


def test_diverged_and_out_of_memory_rank_worst_and_failed_is_left_out() -> None:
    records = [
        trial(0, 0.9, 0.9, 0.9, outcome=Outcome.DIVERGED),
        trial(1, outcome=Outcome.OUT_OF_MEMORY),
        trial(2, 0.9, outcome=Outcome.FAILED),
        trial(3, 0.1),
        trial(4),
    ]
    assert scores(records) == {0: 0.0, 1: 0.0, 3: 1.0}


def test_equals_score_alike() -> None:
    found = scores([trial(0, 0.5), trial(1, 0.5), trial(2, 0.7)])
    assert found[0] == found[1] < found[2]


# --- the view


def test_in_the_view_paused_trials_are_complete_and_running_ones_run(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})

    def curve(record: TrialRecord, virtual_epoch: int) -> float:
        return math.nan if record.number == 1 else learning_curve(record, virtual_epoch)

    simulation = Simulation(tmp_path, config, curve, workers=2).run(max_reports=7)
    study = simulation.study
    view = StudyView(study, simulation.rule.rungs)()
    states = {frozen.number: frozen.state for frozen in view}
    for record in study.records:
        fresh = record.running and not record.values
        expected = TrialState.RUNNING if fresh else TrialState.COMPLETE
        assert states[record.number] is expected
    paused = [r for r in study.records if r.values and not r.running and r.outcome is None]
    assert len(paused) >= 2
    values = {frozen.number: frozen.value for frozen in view if frozen.state is TrialState.COMPLETE}
    assert values[1] == 0.0
    assert all(values[record.number] > 0.0 for record in paused)
    best = max(paused, key=lambda record: (record.depth, record.best("max")))
    assert values[best.number] == 1.0


def test_a_trial_that_goes_on_counts_with_what_it_has_shown(tmp_path: Path) -> None:
    """It goes on because it is among the best; taken for one without a value it would count as bad."""
    simulation = Simulation(tmp_path, config_of(sampler={"name": "random"}), workers=2)
    simulation.run(max_reports=11)
    going_on = [record for record in simulation.study.records if record.running and record.values]
    assert going_on
    view = {frozen.number: frozen for frozen in StudyView(simulation.study, simulation.rule.rungs)()}
    scores = halving_scores(simulation.study.records, simulation.rule.rungs, "max")
    for record in going_on:
        assert view[record.number].state is TrialState.COMPLETE
        assert view[record.number].value == scores[record]


OTHER_SPACES: dict[str, tuple[dict[str, Any], Any]] = {
    # What is changed in FLAT_SPACE, and which of its trials could have been drawn from that.
    "categories": ({"model": {"hidden": {"choice": [64, 32, 16]}}}, lambda p: p["model.hidden"] != 8),
    "a range": ({"batch_size": {"randint": [8, 16]}}, lambda p: True),
    "a domain made fixed": ({"model": {"hidden": 16}}, lambda p: p["model.hidden"] == 16),
    "another fixed value": ({"batch_size": 8}, lambda p: False),
    "a fixed value made a domain": ({"batch_size": {"choice": [8, 16]}}, lambda p: True),
    "a new parameter": ({"accumulate": {"choice": [1, 2]}}, lambda p: False),
    "a narrower range": (
        {"optimizer": FLAT_SPACE["optimizer"] | {"lr": {"loguniform": [1e-3, 1e-1]}}},
        lambda p: p["optimizer.lr"] >= 1e-3,
    ),
}


@pytest.mark.parametrize("change", OTHER_SPACES)
def test_trials_of_another_space_are_seen_as_if_drawn_from_this_one_where_they_could_be(
    tmp_path: Path, change: str
) -> None:
    sections, fits = OTHER_SPACES[change]
    sampler = {"name": "random"}
    before = Simulation(tmp_path, config_of(FLAT_SPACE, sampler=sampler)).run().records
    study = open_study(tmp_path, config_of(FLAT_SPACE | sections, sampler=sampler))
    view = {frozen.number: frozen for frozen in StudyView(study, Rungs())()}
    assert set(view) == {record.number for record in before if fits(record.resolved.params)}
    names = {parameter.name for parameter in study.space.parameters()}
    for number, frozen in view.items():
        assert set(frozen.params) == set(frozen.distributions) == names
        known = {"batch_size": 16} | before[number].resolved.params
        assert frozen.params == {name: known[name] for name in names}
    record = study.ask()
    study.report(record, 0.5, STEPS, seconds=1.0)
    assert {f.number: f.params for f in StudyView(study, Rungs())()}[9] == record.resolved.params


def test_where_a_choice_got_another_name_the_trials_of_the_other_choices_are_seen(tmp_path: Path) -> None:
    adamw, sgd = SPACE["optimizer"]["choice"]
    renamed = SPACE | {"optimizer": {"choice": [sgd | {"name": "rmsprop"}, adamw]}}
    before = Simulation(tmp_path, config_of(sampler={"name": "random"})).run().records
    study = open_study(tmp_path, config_of(renamed, sampler={"name": "random"}))
    seen = [frozen.number for frozen in StudyView(study, Rungs())()]
    assert seen == [r.number for r in before if r.resolved.params["optimizer"] == "adamw"]
    assert 0 < len(seen) < 9


def test_tpe_learns_from_trials_of_another_space(tmp_path: Path) -> None:
    def first_draw(name: str, space: Any) -> dict[str, Any]:
        folder = tmp_path / f"{name}{len(list(tmp_path.iterdir()))}"
        sampler = {"name": "random", "startup_trials": 4}
        Simulation(folder, config_of(FLAT_SPACE, sampler=sampler)).run()
        config = config_of(space, sampler=sampler | {"name": name})
        return open_study(folder, config).ask().resolved.params

    wider = FLAT_SPACE | {"model": {"hidden": {"choice": [8, 16, 32, 64]}}}
    assert first_draw("tpe", wider) != first_draw("random", wider)
    apart = FLAT_SPACE | {"batch_size": 8}
    assert first_draw("tpe", apart) == first_draw("random", apart)


# --- the trials of an older study


def searched(folder: Path, sampler: str, history: list[TrialRecord]) -> list[dict[str, Any]]:
    config = config_of(FLAT_SPACE, sampler={"name": sampler, "startup_trials": 4})
    return [r.resolved.params for r in Simulation(folder, config, history=history).run().records]


def test_with_a_history_the_first_draw_is_not_random_and_is_always_the_same(tmp_path: Path) -> None:
    older = config_of(
        SPACE, sampler={"name": "random", "seed": 5}, budget={"trials": 16, "max_virtual_epochs": 3}
    )
    Simulation(tmp_path / "older", older).run()
    history = read_records(tmp_path / "older" / JOURNAL)
    taught = searched(tmp_path / "taught", "tpe", history)
    assert taught[0] != searched(tmp_path / "random", "random", history)[0]
    assert searched(tmp_path / "again", "tpe", read_records(tmp_path / "older" / JOURNAL)) == taught


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_after_a_history_from_the_same_seed_no_draw_comes_a_second_time(tmp_path: Path, sampler: str) -> None:
    older = searched(tmp_path / "older", sampler, [])
    newer = searched(tmp_path / "newer", sampler, read_records(tmp_path / "older" / JOURNAL))
    assert not {p["optimizer.lr"] for p in older} & {p["optimizer.lr"] for p in newer}


@pytest.mark.parametrize("sampler", ["forest", "tpe", "gp", "cmaes"])
def test_each_trial_of_a_history_counts(tmp_path: Path, sampler: str) -> None:
    """Also one that has the number of the trial that is drawn."""
    older = config_of(FLAT_SPACE, sampler={"name": "random", "seed": 5})
    Simulation(tmp_path / "older", older).run()
    records = read_records(tmp_path / "older" / JOURNAL)
    config = config_of(FLAT_SPACE, sampler={"name": sampler, "startup_trials": 4})

    def first_draw(folder: str, history: list[TrialRecord]) -> dict[str, Any]:
        (tmp_path / folder).mkdir()
        return open_study(tmp_path / folder, config, history=history).ask().resolved.params

    whole = first_draw("whole", records)
    # The last place keeps the numbers of the others and of what is drawn as they are.
    moved = [*records[1:], TrialRecord(9, 9, Resolved({}, {}, {}))]
    assert first_draw("without_the_first", moved) != whole


def test_an_older_study_is_seen_before_the_first_trial_with_those_that_could_be_drawn_here(
    tmp_path: Path,
) -> None:
    older = Simulation(tmp_path / "older", config_of(SPACE, sampler={"name": "random"})).run()
    config = config_of(FLAT_SPACE, sampler={"name": "random"})
    simulation = Simulation(tmp_path / "new", config, history=read_records(tmp_path / "older" / JOURNAL)).run(
        max_reports=1
    )
    view = StudyView(simulation.study, simulation.rule.rungs)()
    fitting = [r for r in older.records if r.resolved.params["optimizer"] == "adamw"]
    assert [f.number for f in view] == [*(r.number for r in fitting), 9]
    assert [f.params["optimizer.lr"] for f in view[:-1]] == [
        r.resolved.params["optimizer.adamw.lr"] for r in fitting
    ]
    assert all(f.state is TrialState.COMPLETE for f in view)


def test_tpe_learns_from_paused_trials(tmp_path: Path) -> None:
    """Most trials are paused to the end: if those told nothing, nearly all would be random."""
    space = {"optimizer": {"name": "adamw", "lr": {"loguniform": [1e-6, 1.0]}}, "batch_size": 16}

    def distance(record: TrialRecord, virtual_epoch: int = 0) -> float:
        return abs(math.log10(record.resolved.options["optimizer"]["lr"]) + 2)

    def median_of_later_trials(sampler: str, seed: int) -> float:
        config = config_of(
            space,
            sampler={"name": sampler, "seed": seed, "startup_trials": 8},
            budget={"trials": 32, "max_virtual_epochs": 9},
        )
        folder = tmp_path / f"{sampler}{seed}"
        records = Simulation(folder, config, lambda r, v: -distance(r, v)).run().records
        return statistics.median(distance(record) for record in records[16:])

    with_tpe = statistics.mean(median_of_later_trials("tpe", seed) for seed in range(3))
    at_random = statistics.mean(median_of_later_trials("random", seed) for seed in range(3))
    assert with_tpe < 0.6 * at_random


# --- a function of (seed, trial number)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_configuration_gives_the_same_trials(tmp_path: Path, sampler: str) -> None:
    trials = 6 if sampler == "gp" else 9
    first = drawn(tmp_path / "a", sampler, trials=trials)
    assert drawn(tmp_path / "b", sampler, trials=trials) == first
    assert len({str(params) for params in first}) == trials


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_seed_gives_other_trials(tmp_path: Path, sampler: str) -> None:
    first = drawn(tmp_path / "a", sampler, trials=3)
    second = drawn(tmp_path / "b", sampler, seed=1, trials=3)
    assert all(a != b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_parameters_are_drawn_independently_of_each_other_and_of_the_trial_before(
    tmp_path: Path, sampler: str
) -> None:
    """A sampler that is made anew for each trial must not draw the same number again and again."""
    params = drawn(tmp_path, sampler, trials=6)
    for name in {name for one in params for name in one if name.endswith(("lr", "momentum", "decay"))}:
        values = [one[name] for one in params if name in one]
        assert len(set(values)) == len(values)


def test_the_first_random_draws_do_not_depend_on_the_sampler(tmp_path: Path) -> None:
    tpe, random = drawn(tmp_path / "tpe", "tpe"), drawn(tmp_path / "random", "random")
    assert tpe[:4] == random[:4]
    assert tpe[4:] != random[4:]


def test_qmc_fills_the_space_more_evenly_than_chance(tmp_path: Path) -> None:
    space = {"optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1.0]}}, "batch_size": 16}
    config = config_of(space, sampler={"name": "qmc"}, budget={"trials": 17, "max_virtual_epochs": 1})
    records = Simulation(tmp_path, config, lambda record, _: float(record.number)).run().records
    places = [(math.log10(r.resolved.options["optimizer"]["lr"]) + 4) / 4 for r in records]
    # 16 points of a scrambled Sobol sequence, after the first: at most two in any eighth.
    eighths = [int(place * 8) for place in places[1:]]
    assert max(eighths.count(eighth) for eighth in range(8)) <= 3
    assert len(set(eighths)) == 8


def test_a_trial_that_is_fully_drawn_is_not_drawn_again_when_the_study_is_opened(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    drawn = Simulation(tmp_path, config).run(max_reports=5).records
    written = (tmp_path / JOURNAL).read_bytes()
    study = open_study(tmp_path, config)
    assert [r.resolved.params for r in study.records] == [r.resolved.params for r in drawn]
    assert (tmp_path / JOURNAL).read_bytes() == written
    sampler: Any = study._sampler
    assert sampler._current is None


# --- many trials


def test_of_very_many_trials_a_sampler_sees_the_best_and_some_of_the_others() -> None:
    scored = [(trial(number, number / 5000), number / 5000) for number in range(5000)]
    shown = [record.number for record, _ in _thinned(scored)]
    assert len(set(shown)) == len(shown)
    assert 0.5 * MAX_LEARNED < len(shown) <= MAX_LEARNED
    assert shown[-150:] == list(range(4850, 5000))
    assert shown[:3] == [0, 16, 32]
    # One trial more, and nearly all are the same ones.
    more = [*scored, (trial(5000, 1.0), 1.0)]
    assert len({record.number for record, _ in _thinned(more)} - set(shown)) == 1
    assert _thinned(scored[:MAX_LEARNED]) == scored[:MAX_LEARNED]


def test_scores_that_follow_a_study_are_those_of_its_records(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, config_of(budget={"trials": 12, "max_virtual_epochs": 9}))
    study = simulation.coordinator.study
    view = StudyView(study, Rungs())
    assert view() == []
    simulation.run()
    followed = {frozen.number: frozen.value for frozen in view()}
    assert len(followed) == 12
    made_anew = halving_scores(study.records, Rungs(), study.mode)
    assert followed == {record.number: score for record, score in made_anew.items()}
