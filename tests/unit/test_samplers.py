"""Samplers draw by (seed, trial number) from one view of the study."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from simulated_search import FLAT_SPACE, SPACE, Simulation, config_of, open_study

from search.space.parse import parse_space
from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import TrialRecord

SAMPLERS = ["random", "tpe", "gp", "qmc"]


pytestmark = pytest.mark.usefixtures("no_fsync")


def space_for(sampler: str) -> Any:
    return FLAT_SPACE if sampler == "gp" else SPACE


def drawn(folder: Path, sampler: str, seed: int = 0, trials: int = 9) -> list[dict[str, Any]]:
    config = config_of(
        space_for(sampler),
        sampler={"name": sampler, "seed": seed, "startup_trials": 4},
        budget={"trials": trials, "max_virtual_epochs": 3},
    )
    return [record.resolved.params for record in Simulation(folder, config).run().records]


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


# --- what they learn from


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


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
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
    moved = [*records[1:], TrialRecord(9, 9, parse_space({}), {})]
    assert first_draw("without_the_first", moved) != whole


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
