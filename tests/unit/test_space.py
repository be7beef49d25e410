"""Domains under `trial:`: drawn by a real Optuna study, resolved, described and checked."""

from __future__ import annotations

import math

import optuna
import pytest
from small_space import TREE

from search.errors import ConfigError, SearchError
from search.space.parse import parse_space


def problems_of(tree):
    with pytest.raises(ConfigError) as caught:
        parse_space(tree)
    return [str(problem) for problem in caught.value.problems]


def draw(space, num_trials):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=8, multivariate=True, group=True)
    study = optuna.create_study(sampler=sampler)
    drawn = []

    def objective(trial):
        drawn.append((trial, space.suggest(trial)))
        return sum(value for value in drawn[-1][1].params.values() if isinstance(value, float))

    study.optimize(objective, n_trials=num_trials)
    return drawn


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_conditional_space_is_drawn_and_resolved_back_from_the_record():
    space = parse_space(TREE)
    optimizers = set()
    for trial, resolved in draw(space, 40):
        assert space.resolve(trial.params) == resolved
        name = resolved.options["optimizer"]["name"]
        optimizers.add(name)
        assert resolved.params["optimizer"] == name
        assert ("optimizer.sgd.momentum" in resolved.params) == (name == "sgd")
        assert resolved.options["optimizer"]["lr"] == resolved.params[f"optimizer.{name}.lr"]
        assert set(trial.params) == set(resolved.params)
    assert optimizers == {"adamw", "sgd"}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_quniform_values_are_free_of_binary_noise():
    for _, resolved in draw(parse_space(TREE), 30):
        assert repr(resolved.options["model"]["rate"]) in {f"0.{digit}" for digit in range(1, 10)} | {"1.0"}


def test_quniform_of_whole_numbers_gives_whole_numbers_and_ends_on_its_grid():
    space = parse_space({"batch_size": {"quniform": [8, 30, 8]}})
    values = [point["batch_size"] for point in space.grid()]
    assert values == [8, 16, 24]
    assert all(type(value) is int for value in values)
    assert space.describe() == ["batch_size: quniform 8 .. 24 step 8"]


def test_walk_gives_every_node_once_in_order_with_its_conditions():
    tree = {"a": [{"uniform": [0, 1]}], "b": {"choice": [1, {"c": {"choice": [{"d": {"randint": [1, 2]}}]}}]}}
    found = [(node.path[1:], condition) for node, condition in parse_space(tree).root.walk()]
    inner = "b = 1"
    assert found == [
        ((), ""),
        (("a",), ""),
        (("a", 0), ""),
        (("b",), ""),
        (("b", "choice", 0), inner),
        (("b", "choice", 1), inner),
        (("b", "choice", 1, "c"), inner),
        (("b", "choice", 1, "c", "choice", 0), f"{inner} and b.1.c = 0"),
        (("b", "choice", 1, "c", "choice", 0, "d"), f"{inner} and b.1.c = 0"),
    ]


def test_parameters_have_names_descriptions_and_conditions():
    assert parse_space(TREE).describe() == [
        "model.width: choice 16, 32, 64",
        "model.rate: quniform 0.1 .. 1.0 step 0.1",
        "optimizer: choice adamw, sgd",
        "optimizer.adamw.lr: loguniform 0.0001 .. 0.1 (if optimizer = adamw)",
        "optimizer.adamw.betas.1: uniform 0.9 .. 0.999 (if optimizer = adamw)",
        "optimizer.sgd.lr: loguniform 0.001 .. 1.0 (if optimizer = sgd)",
        "optimizer.sgd.momentum: choice 0.0, 0.9 (if optimizer = sgd)",
        "head: choice null, 1, 2 (choice a, [1,2])",
        "head.1.layers: randint 1 .. 4 (if head = 1)",
        "head.2: choice a, [1,2] (if head = 2)",
        "batch_size: quniform 8 .. 24 step 8",
        "steps: lograndint 1 .. 100",
    ]


def test_options_are_labelled_by_index_unless_all_are_mappings_with_distinct_names():
    def labels(*options):
        return [
            next(iter(candidate.params.values()))
            for candidate in parse_space({"x": {"choice": list(options)}}).candidates()
        ]

    assert labels({"name": "a"}, {"name": "b"}) == ["a", "b"]
    assert labels({"name": "a", "y": 1}, {"name": "a", "y": 2}) == ["0", "1"]
    assert labels({"name": "a"}, None) == ["0", None]
    assert labels([1, {"a": 2}], 3.5) == ['[1,{"a":2}]', 3.5]


def test_options_with_long_or_unprintable_names_are_labelled_by_index():
    for name in ("x" * 300, "a\nb"):
        tree = {"o": {"choice": [{"name": name, "x": {"uniform": [0, 1]}}, {"name": "b"}]}}
        assert parse_space(tree).names == ("o", "o.0.x")


def test_labels_are_described_on_one_line_and_not_at_length():
    (described,) = parse_space({"o": {"choice": ["a\nb", "x" * 300]}}).describe()
    assert described == f"o: choice a\\nb, {'x' * 57}..."


def test_candidates_enter_every_option_and_both_bounds():
    candidates = list(parse_space(TREE).candidates())
    seen = {(name, value) for candidate in candidates for name, value in candidate.params.items()}
    expected = {
        "model.width": [16, 32, 64],
        "model.rate": [0.1, 1.0],
        "optimizer": ["adamw", "sgd"],
        "optimizer.adamw.lr": [1e-4, 1e-1],
        "optimizer.adamw.betas.1": [0.9, 0.999],
        "optimizer.sgd.lr": [1e-3, 1.0],
        "optimizer.sgd.momentum": [0.0, 0.9],
        "head": [None, "1", "2"],
        "head.1.layers": [1, 4],
        "head.2": ["a", "[1,2]"],
        "batch_size": [8, 24],
        "steps": [1, 100],
    }
    assert seen == {(name, value) for name, values in expected.items() for value in values}
    assert len(candidates) == 15


def test_number_of_candidates_is_linear_in_the_number_of_options():
    tree = {f"p{i}": {"choice": list(range(10))} for i in range(50)}
    assert len(list(parse_space(tree).candidates())) == 1 + 50 * 9


def test_fixed_tree_has_one_candidate_and_nothing_to_draw():
    space = parse_space({"a": {"b": [1, {"c": 2}]}})
    (candidate,) = space.candidates()
    assert candidate.options == {"a": {"b": [1, {"c": 2}]}}
    assert candidate.params == {}
    assert space.grid() == [{}]
    assert space.describe() == ["nothing is searched"]


def test_origin_leads_from_the_resolved_tree_into_the_options():
    resolved = next(parse_space(TREE).candidates())
    assert resolved.origin[("optimizer", "lr")] == ("trial", "optimizer", "choice", 0, "lr")
    assert resolved.origin[("optimizer", "betas", 1)] == ("trial", "optimizer", "choice", 0, "betas", 1)
    assert resolved.origin[("model", "width")] == ("trial", "model", "width", "choice", 0)
    assert resolved.source(("model", "unknown")) == ("trial", "model")


def test_record_without_a_parameter_or_with_an_unknown_option_is_refused():
    space = parse_space({"a": {"choice": [1, 2]}, "b": {"uniform": [0, 1]}})
    with pytest.raises(SearchError, match=r"the recorded parameters lack 'b' \(uniform 0.0 .. 1.0\)"):
        space.resolve({"a": 1})
    with pytest.raises(SearchError, match="recorded a is 3, which is not in choice 1, 2"):
        space.resolve({"a": 3, "b": 0.5})
    with pytest.raises(SearchError, match="recorded b is 'x'; must be a number"):
        space.resolve({"a": 1, "b": "x"})


def test_what_is_recorded_beyond_a_bound_by_rounding_is_the_bound():
    space = parse_space({"x": {"loguniform": [1e-4, 1e-1]}})
    assert space.resolve({"x": math.nextafter(0.1, 1)}).params == {"x": 0.1}
    assert space.resolve({"x": math.nextafter(1e-4, 0)}).params == {"x": 1e-4}


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ({"uniform": [2, 1]}, "received [2, 1]; uniform needs [low, high] with low < high"),
        ({"uniform": [1, 1]}, "received [1, 1]; uniform needs"),
        ({"uniform": [1]}, "received [1]; uniform needs"),
        ({"uniform": 1}, "received 1; uniform needs"),
        ({"uniform": [0, float("inf")]}, "received inf in [0, inf]; uniform needs"),
        ({"uniform": [0, 10**400]}, "received 1000"),
        ({"loguniform": [0, 1]}, "received [0, 1]; loguniform needs [low, high] with 0 < low < high"),
        ({"loguniform": ["1e-4", 1]}, "received the text '1e-4'; loguniform needs [low, high]"),
        ({"loguniform": ["x", 1]}, "received 'x' in ['x', 1]; loguniform needs"),
        ({"uniform": [True, 2]}, "received true in [true, 2]; uniform needs"),
        ({"quniform": [0, 1]}, "received [0, 1]; quniform needs [low, high, step]"),
        ({"quniform": [0, 1, 2]}, "received [0, 1, 2]; quniform needs"),
        ({"quniform": [0, 1, 0]}, "received [0, 1, 0]; quniform needs"),
        ({"randint": [1.5, 3]}, "received 1.5 in [1.5, 3]; randint needs [low, high] of whole numbers"),
        ({"randint": [3, 3]}, "received [3, 3]; randint needs"),
        (
            {"lograndint": [0, 3]},
            "received [0, 3]; lograndint needs [low, high] of whole numbers with 1 <= low",
        ),
        ({"randint": [0, 2**53 + 1]}, "received [0, 9007199254740993]; whole numbers may be at most 9007"),
        ({"quniform": [0, 2**60, 2**8]}, "received [0, 1152921504606846976, 256]; whole numbers may be at"),
        (
            {"quniform": [0, 1e30, 1.5]},
            "received [0, 1e+30, 1.5]; the bounds may be at most 1125899906842624",
        ),
        ({"uniform": [-1e308, 1e308]}, "received [-1e+308, 1e+308]; the range is wider than the largest"),
        ({"quniform": [0, 1e308, 1e308]}, "received [0, 1e+308, 1e+308]; the range is wider"),
        ({"loguniform": [1.0, 1.0 + 1e-12]}, "received [1.0, 1.000000000001]; high must be larger than low"),
        ({"choice": [1, float("nan")]}, "received NaN, which equals nothing; remove it"),
        ({"choice": []}, "received []; choice needs a list of at least one option"),
        ({"choice": 3}, "received 3; choice needs"),
        ({"choice": [1, 2, 1]}, "option 3 of the choice, 1, repeats option 1, 1"),
        ({"choice": [1, True]}, "option 2 of the choice, true, repeats option 1, 1"),
        ({"choice": [{"a": 1}, {"a": 1}]}, "option 2 of the choice, {a: 1}, repeats option 1"),
        ({"loguniforn": [1, 2]}, "unknown domain 'loguniforn'; did you mean 'loguniform'?"),
        ({"Choices": [1, 2]}, "unknown domain 'Choices'; did you mean 'choice'?"),
        ({"choice": [1, 2], "default": 1}, "choice must stand alone in its mapping, received also 'default'"),
    ],
)
def test_mistake_in_a_domain_is_told(domain, message):
    (problem,) = problems_of({"a": {"x": domain}})
    assert problem.removeprefix("config: trial.a.x").removeprefix(".1").startswith(f": {message}")


def test_largest_ranges_are_allowed():
    tree = {
        "a": {"randint": [-(2**53), 2**53]},
        "b": {"uniform": [-8e307, 8e307]},
        "c": {"quniform": [0, 2**50, 1]},
        "d": {"loguniform": [5e-324, 1.7e308]},
    }
    assert parse_space(tree).names == ("a", "b", "c", "d")


def test_step_equal_to_the_range_is_allowed_whatever_the_binary_noise():
    assert parse_space({"x": {"quniform": [0.2, 0.3, 0.1]}}).grid() == [{"x": 0.2}, {"x": 0.3}]


def test_all_mistakes_come_at_once_with_those_inside_options():
    tree = {
        "a": {"uniform": [2, 1]},
        "b": {"choice": [{"name": "x", "c": {"randint": [2, 1]}}, {"name": "y"}]},
    }
    first, second = problems_of(tree)
    assert first.startswith("config: trial.a: ")
    assert second.startswith("config: trial.b.x.c: ")


def test_mapping_that_resembles_no_domain_is_a_mapping():
    tree = {"a": {"source": [1, 2]}, "b": {"uniforms": {"x": 1}}, "c": {"distribution": [1]}}
    assert next(parse_space(tree).candidates()).options == tree


def test_two_parameters_of_one_name_are_refused():
    tree = {"a.b": {"uniform": [0, 1]}, "a": {"b": {"uniform": [0, 1]}}}
    assert problems_of(tree) == [
        "config: trial.a.b: two parameters have this name, the other is at trial.a.b; rename one"
    ]


def test_trial_as_a_whole_is_no_domain():
    (problem,) = problems_of({"choice": [{"name": "a"}, {"name": "b"}]})
    assert problem.startswith("config: trial: cannot be one choice as a whole")
