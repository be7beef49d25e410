"""Priors of a person on domains: read, drawn from, begun with, and overcome."""

from __future__ import annotations

import copy
import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_search import FLAT_SPACE, SPACE, Simulation, config_of, cut_journal, num_lines, outcomes

import search
from search.commands.schema import BUNDLED
from search.config.auto_batch import auto_batch
from search.config.stages import load_config
from search.errors import ConfigError
from search.samplers.build import build_sampler
from search.samplers.priors import PriorSampler
from search.space.domains import Choice, Integer, Prior, Real
from search.space.parse import parse_space, read_space
from search.space.priors import draw_prior, log_density

pytestmark = pytest.mark.usefixtures("no_fsync")

LR = Real("lr", (), "loguniform", 1e-4, 1e-1, prior=Prior(1e-3, "high"))
WIDTH = Integer("width", (), "lograndint", 1, 100, prior=Prior(10, "medium"))
RATE = Real("rate", (), "quniform", 0.0, 1.0, 0.25, prior=Prior(0.25, "low"))
PLACES = np.linspace(0, 1, 4001)[1:-1]


def with_priors(**sections: Any) -> Any:
    """The conditional space with priors of its optimizer, and of a learning rate."""
    space = copy.deepcopy(SPACE)
    space["model"]["hidden"] |= {"prior": 32, "confidence": "high"}
    space["optimizer"]["prior"] = "adamw"
    space["optimizer"]["choice"][0]["lr"] |= {"prior": 1e-2, "confidence": "high"}
    return config_of(space, **sections)


# --- reading


def only_problem(domain: Any) -> str:
    _, problems = read_space({"x": domain})
    (problem,) = problems
    return f"{problem.path.removeprefix('trial.x').removeprefix('.')}: {problem.message}"


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (
            {"loguniform": [1e-4, 0.1], "prior": 1},
            "prior: received 1, which is not in loguniform 0.0001 .. 0.1; take one between the",
        ),
        (
            {"uniform": [0, 1], "prior": "0.5"},
            "prior: received the text '0.5'; must be a number; write 0.5 with",
        ),
        (
            {"uniform": [0, 1], "prior": None},
            "prior: received null, which is not in uniform 0.0 .. 1.0; must be",
        ),
        (
            {"quniform": [0, 1, 0.25], "prior": 0.3},
            "prior: received 0.3, which is not in quniform 0.0 .. 1.0 step 0.25; the nearest of its",
        ),
        (
            {"randint": [1, 9], "prior": 4.0},
            "prior: received 4.0, which is not in randint 1 .. 9; the nearest of",
        ),
        (
            {"choice": ["a", "b"], "prior": "c"},
            "prior: received 'c'; must be one of the options, choice a, b",
        ),
        (
            {"choice": [{"name": "a"}, {"name": "b"}], "prior": {"name": "c"}},
            "prior: received {name: 'c'}; must be",
        ),
        (
            {"choice": [{"name": "a", "lr": 1}, {"name": "b"}], "prior": {"name": "a", "lr": 2}},
            "prior: received {name: 'a', lr: 2}; must be one of the options, choice a, b; write prior: a",
        ),
        (
            {"uniform": [0, 1], "confidence": "high"},
            "confidence: received 'high' without a prior; write prior:",
        ),
        (
            {"uniform": [0, 1], "prior": 0.5, "confidence": "hihg"},
            "confidence: received 'hihg'; must be low, medium or high; did you mean 'high'?",
        ),
        (
            {"uniform": [0, 1], "prior": 0.5, "confidence": 3},
            "confidence: received 3; must be low, medium or high",
        ),
        (
            {"prior": 0.5, "confidence": "low"},
            ": received prior 0.5 without a domain that it is of; write {log",
        ),
        ({"loguniforn": [1, 2], "prior": 1}, ": unknown domain 'loguniforn'; did you mean 'loguniform'?"),
        (
            {"uniform": [0, 1], "priour": 1},
            ": uniform must stand alone in its mapping, received also 'priour'; did",
        ),
    ],
)
def test_mistakes_in_a_prior_are_told(domain: Any, message: str) -> None:
    assert only_problem(domain).startswith(message)


def test_a_prior_that_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "seg.yaml"
    file.write_text(
        "task: classification\nobjective: {metric: accuracy, mode: max}\nvirtual_epoch: {steps: 1}\n"
        "trial:\n  data: {source: digits}\n  model: {name: cnn}\n  optimizer:\n    name: adamw\n"
        "    lr:\n      loguniform: [1e-4, 1e-1]\n      prior: 2\n"
        "    weight_decay: {prior: 0.1}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as error:
        load_config(file)
    first, second = str(error.value).splitlines()
    assert first.startswith(f"{file}:11: trial.optimizer.lr.prior: received 2, which is not in loguniform")
    assert second.startswith(f"{file}:12: trial.optimizer.weight_decay: received {{prior: 0.1}}; must be")
    assert second.endswith("a prior stands beside a domain, as in {loguniform: [low, high], prior: 0.1}")


def test_a_prior_of_a_choice_is_an_option_or_the_name_of_one() -> None:
    tree = {
        "optimizer": {"choice": [{"name": "adamw"}, {"name": "sgd"}], "prior": "sgd"},
        "sizes": {"choice": [[8, 16], [32]], "prior": [32]},
        "loss": {"choice": [{"name": "ce"}, {"name": "dice"}], "prior": {"name": "ce"}},
        "dropout": {"choice": [None, 0.1], "prior": None, "confidence": "low"},
        "width": {"randint": [1, 9]},
    }
    space = parse_space(tree)
    assert space.prior_point == {"optimizer": "sgd", "sizes": "[32]", "loss": "ce", "dropout": None}
    assert space.describe()[3:] == [
        "dropout: choice null, 0.1, prior null (low confidence)",
        "width: randint 1 .. 9",
    ]


def test_a_mapping_of_a_name_alone_is_a_prior_of_an_option_with_more_keys() -> None:
    options = [{"name": "adamw", "lr": {"uniform": [0, 1], "prior": 0.5}}, {"name": "sgd", "lr": 1}]
    assert parse_space({"o": {"choice": options, "prior": {"name": "sgd"}}}).prior_point == {"o": "sgd"}
    # Beside an option without a name, they are numbered.
    mixed = {"choice": [*options, "none"], "prior": {"name": "sgd"}}
    assert parse_space({"o": mixed}).prior_point == {"o": "1"}
    expected = {"o": "adamw", "o.adamw.lr": 0.5}
    assert parse_space({"o": {"choice": options, "prior": {"name": "adamw"}}}).prior_point == expected


def test_own_options_may_be_called_prior() -> None:
    space = parse_space({"model": {"name": "my:Model", "prior": 0.1, "lr": {"uniform": [0, 1]}}})
    assert space.prior_point == {}
    assert space.resolve({"model.lr": 0.5}).options == {
        "model": {"name": "my:Model", "prior": 0.1, "lr": 0.5}
    }


def test_the_end_of_a_range_that_is_auto_may_have_a_prior() -> None:
    from search.config.document import read_document

    tree = {"trial": {"batch_size": {"lograndint": [4, "auto"], "prior": 16}}}
    auto = auto_batch(read_document(tree, ()))
    assert auto is not None
    assert auto.stand_in().tree["trial"]["batch_size"] == {"lograndint": [4, 17], "prior": 16}
    assert auto.with_size(64).tree["trial"]["batch_size"] == {"lograndint": [4, 64], "prior": 16}


def test_python_has_priors_too() -> None:
    made = search.loguniform(1e-4, 1e-1, prior=1e-3, confidence="high")
    assert made == {"loguniform": [1e-4, 1e-1], "prior": 1e-3, "confidence": "high"}
    assert search.randint(1, 9, prior=np.int64(3)) == {"randint": [1, 9], "prior": 3}
    assert search.choice([None, 1], prior=None) == {"choice": [None, 1], "prior": None}
    with pytest.raises(ValueError, match=r"^uniform\(0, 1, prior=2\): prior: received 2, which is not in"):
        search.uniform(0, 1, prior=2)
    with pytest.raises(ValueError, match=r"confidence='high'\): confidence: received 'high' without a prior"):
        search.quniform(0, 1, 0.5, confidence="high")


def test_editors_know_priors() -> None:
    domain = json.loads(BUNDLED.read_text(encoding="utf-8"))["$defs"]["loguniform"]
    assert set(domain["properties"]) == {"loguniform", "prior", "confidence"}
    assert domain["properties"]["confidence"]["enum"] == ["low", "medium", "high"]


# --- densities


@pytest.mark.parametrize("domain", [LR, WIDTH, RATE])
def test_draws_lie_inside_and_most_often_at_the_prior(domain: Any) -> None:
    drawn = [draw_prior(domain, float(place)) for place in PLACES]
    assert all(domain.contains(value) for value in drawn)
    assert drawn == sorted(drawn)
    assert all(domain.contains(draw_prior(domain, place)) for place in (0.0, 1e-300, 1 - 1e-16))


def test_a_range_is_drawn_as_a_gaussian_in_its_own_scale_that_is_cut_at_the_bounds() -> None:
    # 1e-3 is a third of the way from 1e-4 to 1e-1: the mass is between -8/3 and 16/3 deviations of 1/8.
    normal = statistics.NormalDist()
    below, inside = normal.cdf(-8 / 3), normal.cdf(16 / 3) - normal.cdf(-8 / 3)
    for place in (0.1, 0.5, 0.9):
        expected = 1 / 3 + normal.inv_cdf(below + place * inside) / 8
        assert (math.log10(draw_prior(LR, place)) + 4) / 3 == pytest.approx(expected, abs=1e-9)
    density = [math.exp(log_density(LR, 10 ** (3 * float(place) - 4))) for place in PLACES]
    assert sum(density) / len(density) == pytest.approx(1, abs=2e-3)
    assert log_density(LR, 1e-3) == pytest.approx(math.log(8 * normal.pdf(0) / inside))


@pytest.mark.parametrize("domain", [WIDTH, RATE])
def test_finite_ranges_are_drawn_as_often_as_their_density_says(domain: Any) -> None:
    drawn = [draw_prior(domain, float(place)) for place in PLACES]
    probabilities = {value: math.exp(log_density(domain, value)) for value in domain.values()}
    assert sum(probabilities.values()) == pytest.approx(1)
    for value, probability in probabilities.items():
        assert drawn.count(value) / len(drawn) == pytest.approx(probability, abs=2 / len(drawn))


@pytest.mark.parametrize(("confidence", "weight"), [("low", 2), ("medium", 4), ("high", 6)])
def test_the_option_of_a_prior_has_more_weight(confidence: Any, weight: int) -> None:
    space = parse_space({"x": {"choice": ["a", "b", "c"], "prior": "b", "confidence": confidence}})
    ((choice, _),) = space.root.domains()
    assert isinstance(choice, Choice)
    drawn = [draw_prior(choice, float(place)) for place in PLACES]
    assert drawn.count("b") / len(drawn) == pytest.approx(weight / (weight + 2), abs=1e-3)
    assert drawn.count("a") / len(drawn) == pytest.approx(1 / (weight + 2), abs=1e-3)
    assert log_density(choice, "b") == pytest.approx(math.log(weight / (weight + 2)))


def test_a_surer_prior_is_narrower() -> None:
    spreads = []
    for confidence in ("high", "medium", "low"):
        domain = Real("x", (), "uniform", 0.0, 1.0, prior=Prior(0.5, confidence))  # type: ignore[arg-type]
        spreads.append(statistics.pstdev(draw_prior(domain, float(place)) for place in PLACES))
    assert spreads == sorted(spreads)
    assert spreads[0] == pytest.approx(0.125, rel=0.01)


# --- searches


def test_the_first_trial_is_the_mode_of_the_priors(tmp_path: Path) -> None:
    config = with_priors(budget={"trials": 2, "max_virtual_epochs": 1})
    first, second = Simulation(tmp_path, config).run().records
    mode = {"model.hidden": 32, "optimizer": "adamw", "optimizer.adamw.lr": 1e-2}
    assert first.known == mode
    assert {name: first.params[name] for name in mode} == mode
    assert second.known is None


def test_points_to_evaluate_come_before_the_mode(tmp_path: Path) -> None:
    point = {"model": {"hidden": 8}}
    config = with_priors(
        sampler={"points_to_evaluate": [point]}, budget={"trials": 2, "max_virtual_epochs": 1}
    )
    first, second = Simulation(tmp_path, config).run().records
    assert first.known == {"model.hidden": 8}
    assert second.params["model.hidden"] == 32
    assert second.params["optimizer.adamw.lr"] == 1e-2
    assert config.raw["sampler"]["points_to_evaluate"] == [point]


def test_a_point_that_is_the_mode_is_trained_once(tmp_path: Path) -> None:
    space = copy.deepcopy(SPACE)
    space["model"]["hidden"] |= {"prior": 32}
    space["optimizer"]["prior"] = "adamw"
    for option, key, value in ((0, "lr", 1e-2), (0, "weight_decay", 1e-4), (1, "lr", 0.5)):
        space["optimizer"]["choice"][option][key] |= {"prior": value}
    point = {"model": {"hidden": 32}, "optimizer": {"name": "adamw", "lr": 1e-2, "weight_decay": 1e-4}}
    sections = {"sampler": {"points_to_evaluate": [point]}, "budget": {"trials": 3, "max_virtual_epochs": 1}}
    records = Simulation(tmp_path, config_of(space, **sections)).run().records
    assert [record.known is not None for record in records] == [True, False, False]
    assert len({frozenset(record.params.items()) for record in records}) == 3


def test_a_grid_begins_with_the_most_probable_points() -> None:
    space = parse_space(
        {
            "a": {"quniform": [0, 1, 0.5], "prior": 0.5},
            "b": {"choice": ["x", "y"], "prior": "y", "confidence": "high"},
        }
    )
    assert space.grid()[:2] == [{"a": 0.5, "b": "y"}, {"a": 0.0, "b": "y"}]
    assert len(space.grid()) == 6
    plain = parse_space({"a": {"choice": [3, 1, 2]}})
    assert [point["a"] for point in plain.grid()] == [3, 1, 2]


def test_the_share_of_prior_draws_is_half_at_first_and_falls_with_the_number() -> None:
    sampler = PriorSampler(None, {}, seed=0, startup_trials=10)  # type: ignore[arg-type]
    assert [sampler.share(number) for number in (0, 9, 10, 20, 100)] == [0.5, 0.5, 0.5, 0.25, 0.05]
    taken = [
        sum(PriorSampler(None, {}, seed=s, startup_trials=10).takes_priors(n) for n in range(10))  # type: ignore[arg-type]
        for s in range(200)
    ]
    assert statistics.mean(taken) == pytest.approx(5, abs=0.5)


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_trials_that_do_not_take_the_priors_are_those_of_the_other_sampler(
    tmp_path: Path, sampler: str
) -> None:
    options: dict[str, Any] = {"sampler": {"name": sampler}, "budget": {"trials": 8, "max_virtual_epochs": 1}}
    with_them = with_priors(**options)
    records = Simulation(tmp_path / "a", with_them).run().records
    without = Simulation(tmp_path / "b", config_of(**options)).run().records
    prior = build_sampler(with_them.sampler, with_them.space, list)
    assert isinstance(prior, PriorSampler)
    same = [a.params == b.params for a, b in zip(records, without, strict=True)]
    assert same[1:] == [not prior.takes_priors(number) for number in range(1, 8)]
    assert 1 < sum(same) < 7


def test_without_priors_the_sampler_is_the_one_that_is_named() -> None:
    config = config_of()
    assert not isinstance(build_sampler(config.sampler, config.space, list), PriorSampler)


def test_a_search_with_priors_is_the_same_wherever_it_was_interrupted(tmp_path: Path) -> None:
    config = with_priors(
        sampler={"startup_trials": 4},
        scheduler={"name": "asha"},
        budget={"trials": 7, "max_virtual_epochs": 3},
    )
    whole = Simulation(tmp_path / "whole", config).run()
    expected = outcomes(whole.records)
    lines = num_lines(tmp_path / "whole")
    for cut in range(4, lines, 9):
        folder = cut_journal(tmp_path / "whole", tmp_path / f"cut-{cut}", cut)
        assert outcomes(Simulation(folder, config).run().records) == expected


def test_a_wrong_prior_is_overcome(tmp_path: Path) -> None:
    space = copy.deepcopy(FLAT_SPACE)
    space["optimizer"]["lr"] |= {"prior": 1e-4, "confidence": "high"}
    config = config_of(space, budget={"trials": 40, "max_virtual_epochs": 1})
    records = Simulation(
        tmp_path, config, lambda r, _: -abs(math.log10(r.params["optimizer.lr"]) + 1.5)
    ).run()
    late = [math.log10(record.params["optimizer.lr"]) for record in records.records[20:]]
    assert statistics.median(late) > -2.5  # the prior is at -4, the best at -1.5
