"""Domains under `trial:`: drawn by a real Optuna study, resolved, enumerated, described and checked."""

from __future__ import annotations

import math

import optuna
import pytest

from search.errors import ConfigError, SearchError
from search.space.space import parse_space

TREE = {
    "data": {"source": "digits", "root": "${env:DATA}"},
    "model": {"name": "unet", "width": {"choice": [16, 32, 64]}, "rate": {"quniform": [0.1, 1.0, 0.1]}},
    "optimizer": {
        "choice": [
            {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}, "betas": [0.9, {"uniform": [0.9, 0.999]}]},
            {"name": "sgd", "lr": {"loguniform": [1e-3, 1.0]}, "momentum": {"choice": [0.0, 0.9]}},
        ]
    },
    "head": {"choice": [None, {"layers": {"randint": [1, 4]}}, {"choice": ["a", [1, 2]]}]},
    "batch_size": {"quniform": [8, 30, 8]},
    "steps": {"lograndint": [1, 100]},
}


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


def test_grid_has_every_combination_and_options_only_with_their_choice():
    tree = {
        "o": {"choice": [{"name": "x", "n": {"randint": [0, 1]}}, {"name": "y"}]},
        "b": {"choice": [1, 2]},
    }
    assert parse_space(tree).grid() == [
        {"o": "x", "o.x.n": 0, "b": 1},
        {"o": "x", "o.x.n": 0, "b": 2},
        {"o": "x", "o.x.n": 1, "b": 1},
        {"o": "x", "o.x.n": 1, "b": 2},
        {"o": "y", "b": 1},
        {"o": "y", "b": 2},
    ]


def test_every_grid_point_is_accepted_by_optuna_as_it_is():
    space = parse_space({"a": {"quniform": [0.1, 0.7, 0.2]}, "b": {"choice": [None, [1]]}})
    study = optuna.create_study()
    for point in space.grid():
        study.enqueue_trial(point)
        assert space.suggest(study.ask()).params == point


def test_grid_of_a_range_without_end_is_refused_for_each():
    space = parse_space({"a": {"uniform": [0, 1]}, "b": {"choice": [1, {"loguniform": [1, 2]}]}})
    with pytest.raises(ConfigError) as caught:
        space.grid()
    assert [problem.path for problem in caught.value.problems] == ["trial.a", "trial.b.1"]
    assert "use quniform or choice" in str(caught.value)


def test_grid_that_is_too_large_is_refused_with_its_size():
    space = parse_space({"a": {"randint": [1, 1000]}, "b": {"randint": [1, 20]}})
    with pytest.raises(ConfigError, match=r"trial\.a: the grid has 20000 points, and 10000 are allowed"):
        space.grid()


@pytest.mark.parametrize(
    ("partial", "params"),
    [
        ({}, {}),
        ({"data": {"source": "digits"}, "model": {"name": "unet", "width": 32}}, {"model.width": 32}),
        ({"model.width": 32, "model.rate": 0.3}, {"model.width": 32, "model.rate": 0.3}),
        (
            {"optimizer": {"name": "adamw", "lr": 1e-3}},
            {"optimizer": "adamw", "optimizer.adamw.lr": 1e-3},
        ),
        ({"optimizer": "sgd", "optimizer.lr": 1}, {"optimizer": "sgd", "optimizer.sgd.lr": 1.0}),
        ({"optimizer.lr": 1e-2, "optimizer.name": "sgd"}, {"optimizer": "sgd", "optimizer.sgd.lr": 1e-2}),
        ({"optimizer.momentum": 0.9}, {"optimizer": "sgd", "optimizer.sgd.momentum": 0.9}),
        ({"optimizer.lr": 1e-4}, {"optimizer": "adamw", "optimizer.adamw.lr": 1e-4}),
        (
            {"optimizer": "adamw", "optimizer.adamw.lr": 1e-3},
            {"optimizer": "adamw", "optimizer.adamw.lr": 1e-3},
        ),
        ({"optimizer.betas.1": 0.99}, {"optimizer": "adamw", "optimizer.adamw.betas.1": 0.99}),
        ({"optimizer": {"betas": [0.9, 0.99]}}, {"optimizer": "adamw", "optimizer.adamw.betas.1": 0.99}),
        ({"head": None}, {"head": None}),
        ({"head": {"layers": 2}}, {"head": "1", "head.1.layers": 2}),
        ({"head": [1, 2]}, {"head": "2", "head.2": "[1,2]"}),
        ({"batch_size": 16, "steps": 3}, {"batch_size": 16, "steps": 3}),
    ],
)
def test_known_point_becomes_parameters(partial, params):
    assert parse_space(TREE).params_of(partial) == params


@pytest.mark.parametrize(
    ("partial", "message"),
    [
        (
            {"model": {"widht": 3}},
            "model.widht: unknown key 'widht' in what is searched; did you mean 'width'?",
        ),
        ({"model.widht": 3}, "model.widht: unknown key 'widht'"),
        ({"model": {"width": 48}}, "model.width: received 48, which is outside of choice 16, 32, 64"),
        ({"model.name": "x"}, "model.name: received 'x', but the value is fixed at 'unet'"),
        ({"model": 3}, "model: received 3; must be a mapping"),
        (
            {"optimizer": {"name": "adamw", "lr": 5}},
            "optimizer.lr: received 5, which is outside of loguniform",
        ),
        ({"optimizer": {"name": "adam"}}, "optimizer: received {name: 'adam'}, which is outside of choice"),
        ({"optimizer.lr": 1e-2}, "optimizer: received {lr: 0.01}, which fits several options (adamw, sgd)"),
        (
            {"optimizer": {"name": "adamw", "betas": [1]}},
            "optimizer.betas: received [1]; must be a list of 2",
        ),
        ({"optimizer.betas.2": 1, "optimizer.name": "adamw"}, "optimizer.betas: received '2' as the place"),
        ({"batch_size": 12}, "batch_size: received 12, which is outside of quniform 8 .. 24 step 8"),
        ({"batch_size": True}, "batch_size: received true, which is outside of quniform"),
        ({"steps": 2.5}, "steps: received 2.5, which is outside of lograndint 1 .. 100"),
    ],
)
def test_mistake_in_a_known_point_is_told_at_its_place(partial, message):
    with pytest.raises(ConfigError) as caught:
        parse_space(TREE).params_of(partial, base=("sampler", "points_to_evaluate", 0))
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"config: sampler.points_to_evaluate.0.{message}")


def test_known_point_is_drawn_first_by_optuna():
    space = parse_space(TREE)
    study = optuna.create_study()
    study.enqueue_trial(space.params_of({"optimizer": {"name": "sgd", "lr": 0.5}, "batch_size": 24}))
    tree = space.suggest(study.ask()).options
    assert (tree["optimizer"]["name"], tree["optimizer"]["lr"], tree["batch_size"]) == ("sgd", 0.5, 24)


def test_small_step_has_only_its_own_values():
    space = parse_space({"x": {"quniform": [0.0, 1e-9, 1e-10]}})
    assert space.params_of({"x": 3e-10}) == {"x": 3e-10}
    with pytest.raises(ConfigError, match="outside of quniform"):
        space.params_of({"x": 3.3e-10})


@pytest.mark.parametrize(
    ("tree", "trial", "params"),
    [
        ({"a.b": {"c": {"randint": [1, 3]}}}, {"a.b": {"c": 2}}, {"a.b.c": 2}),
        ({"o": {"choice": [{"choice": ["x", "0"]}, 5]}}, {"o": "0"}, {"o": "0", "o.0": "0"}),
        ({"o": {"choice": [{"choice": ["1", "x"]}, {"y": 5}]}}, {"o": "1"}, {"o": "0", "o.0": "1"}),
        (
            {"o": {"choice": [{"name": {"choice": ["0", "1"]}}, 5]}},
            {"o": {"name": "0"}},
            {"o": "0", "o.0.name": "0"},
        ),
        ({"o": {"choice": [{"name": "1", "x": 1}, {"y": 1}]}}, {"o": {"name": "1", "x": 1}}, {"o": "0"}),
    ],
    ids=["dot in a key", "own label", "label of another", "drawn name", "name like a label"],
)
def test_trial_is_a_known_point_whatever_its_values_look_like(tree, trial, params):
    space = parse_space(tree)
    assert space.params_of(trial) == params
    assert space.resolve(params).options == trial


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ([{"choice": [[], {}]}, None, {"a": None}], {}),
        ([{"choice": [{"b": 1}, {"b": 1, "c": 2}]}, {"b": 1, "d": 3}], {"b": 1}),
    ],
)
def test_where_several_options_inside_of_one_fit_another_one_is_not_taken_silently(options, given):
    space = parse_space({"o": {"choice": options}})
    with pytest.raises(ConfigError, match=r"fits several options .*; add the name of one"):
        space.params_of({"o": given})
