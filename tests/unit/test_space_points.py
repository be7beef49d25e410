"""Grids and known points: their parameters, and mistakes in them."""

from __future__ import annotations

import optuna
import pytest
from small_space import TREE

from search.errors import ConfigError
from search.space.parse import parse_space


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
