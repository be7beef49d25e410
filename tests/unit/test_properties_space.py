"""Any space of hyperparameters: what is drawn is inside of it, and is the same when it is read again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
import pytest
from hypothesis import strategies as st
from properties import for_all
from simulated_search import open_study
from tiny_tasks import search_config

from search.config.config import Config
from search.config.document import yaml_text
from search.config.stages import load_config
from search.config.yaml import parse_yaml
from search.errors import ConfigError
from search.schedulers.build import build_scheduler
from search.space.domains import Broken, Choice, Domain, Fixed, Items, Node, Table
from search.space.parse import parse_space, read_space
from search.space.space import Resolved, Space
from search.study.in_memory import PendingTrial
from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import Outcome
from search.text import value_at
from trainables.data.virtual_epoch import VirtualEpochs

# Optuna's, about logarithms of nearly nothing, and steps of 17 digits.
pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning:optuna"),
    pytest.mark.filterwarnings("ignore:The distribution is specified by:UserWarning"),
]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


# Spaces

EXACT = 2**53
REALS = st.one_of(
    st.floats(-10, 10),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 0.1, 0.3, 1e-300, 5e-324, -1e308, 1e308, 1e-16, 1.0, 1.0 + 2**-52, 1e22, 10**30]),
)
WHOLE = st.one_of(
    st.integers(-20, 20),
    st.integers(EXACT - 20, EXACT + 20),
    st.integers(-EXACT - 2, EXACT + 2),
    st.integers(),
)
HUNDREDTHS = st.decimals("0.01", 2, places=2)
STEPS = st.one_of(st.integers(1, 9), st.floats(1e-6, 3), HUNDREDTHS.map(float), REALS)


def ranges(kind: str, numbers: st.SearchStrategy[Any], *more: st.SearchStrategy[Any]) -> Any:
    bounds = st.lists(numbers, min_size=2, max_size=2).map(sorted)
    return st.tuples(bounds, *more).map(lambda parts: {kind: [*parts[0], *parts[1:]]})


RANGES = st.one_of(
    ranges("uniform", st.one_of(REALS, WHOLE)),
    ranges("loguniform", st.one_of(REALS, WHOLE).map(abs)),
    ranges("quniform", st.one_of(REALS, WHOLE), STEPS),
    ranges("quniform", st.integers(-50, 50), st.integers(1, 9)),
    ranges("quniform", st.decimals(-5, 5, places=2).map(float), HUNDREDTHS.map(float)),
    ranges("randint", WHOLE),
    ranges("lograndint", WHOLE.map(abs)),
)
TEXT = st.one_of(
    st.sampled_from(["a", "0", "1", "", "漢字", "a/b", "..", "x" * 300, "a.b", "name", "choice", "${HOME}"]),
    st.text(st.characters(codec="utf-8"), max_size=4),
)
KEYS = TEXT.filter(lambda key: key.isprintable() and len(key) < 200)
SCALARS = st.one_of(st.none(), st.booleans(), REALS, WHOLE, TEXT)


FEW = st.one_of(
    ranges("randint", st.integers(-2, 2)),
    ranges("lograndint", st.integers(1, 3)),
    ranges("quniform", st.integers(-5, 5), st.integers(4, 6)),
    ranges("quniform", st.sampled_from([0.1, 0.5, 0.7, 1.3]), st.sampled_from([0.3, 0.4, 0.45])),
)


def trees(choices: Callable[[Any], Any], ranges: Any = RANGES) -> Any:
    """Mappings without mistakes; `choices` makes choices of what may stand inside of them."""
    nodes = st.recursive(
        st.one_of(SCALARS, ranges, ranges),
        lambda inside: st.one_of(
            st.dictionaries(KEYS, inside, max_size=3), st.lists(inside, max_size=3), choices(inside)
        ),
        max_leaves=6,
    )
    return st.dictionaries(KEYS, nodes, min_size=1, max_size=3).filter(lambda tree: not read_space(tree)[1])


def choices_of(options: Any, **how: Any) -> Any:
    return st.lists(options, min_size=1, max_size=3, **how).map(lambda chosen: {"choice": chosen})


def distinct_choices(inside: Any) -> Any:
    """Of values, or of mappings with names, so that each trial can have come from one option only."""
    named = st.builds(
        lambda names, options: {"choice": [{**o, "name": n} for n, o in zip(names, options, strict=False)]},
        st.lists(
            st.sampled_from(["adamw", "sgd", "0", "1", "漢字", "a/b"]), min_size=3, max_size=3, unique=True
        ),
        st.lists(st.dictionaries(KEYS, inside, max_size=2), min_size=1, max_size=3),
    )
    return st.one_of(choices_of(SCALARS), named)


TREES = trees(choices_of)
DISTINCT_TREES = trees(distinct_choices)
FINITE_TREES = trees(choices_of, FEW)


def domains(node: Node) -> Iterator[Domain]:
    if isinstance(node, Table | Items):
        for child in node.nodes if isinstance(node, Items) else [item for _, item in node.items]:
            yield from domains(child)
    elif not isinstance(node, Fixed | Broken):
        yield node
        for option in node.options if isinstance(node, Choice) else ():
            yield from domains(option.node)


def assert_inside(document: dict[str, Any], space: Space, params: dict[str, Any]) -> None:
    """Every parameter is what the document asks for."""
    for domain in domains(space.root):
        if domain.name in params:
            ((kind, arguments),) = value_at(document, domain.path).items()
            value = params[domain.name]
            if kind == "choice":
                assert domain.contains(value)
            else:
                assert is_in_range(kind, arguments, value), (kind, arguments, value)


def is_in_range(kind: str, arguments: list[Any], value: Any) -> bool:
    low, high, *step = arguments
    whole = kind in ("randint", "lograndint") or (step and isinstance(low, int) and isinstance(step[0], int))
    if type(value) is not (int if whole else float) or not float(low) <= value <= float(high):
        return False
    if not step:
        return True
    with localcontext(prec=1000):
        start, by = (Decimal(repr(float(number))) for number in (low, *step))
        return value == float(start + round((Decimal(value) - start) / by) * by)


def config_of(tree: dict[str, Any], sampler: str) -> Config:
    """A search over these options of the model."""
    options = {"name": sampler, "startup_trials": 2}
    return load_config(search_config(trial={"model": tree}, sampler=options)).first


def drawn(config: Config, num_trials: int) -> tuple[list[Resolved], list[Resolved]]:
    """Trials of a real study on disk, each with a value; as drawn, and as read from the journal."""
    lengths = VirtualEpochs(unit="steps", count=1, step_samples=1, epoch_samples=9)
    with TemporaryDirectory(dir=".") as folder:
        study = open_study(Path(folder), config, build_scheduler(config))
        for number in range(num_trials):
            record = study.ask()
            study.report(record, number * 5 % 7 / 7, lengths, 1.0)
            study.finish(record, Outcome.COMPLETED, "")
        records = read_records(Path(folder) / JOURNAL)
    return [record.resolved for record in study.records], [record.resolved for record in records]


@for_all(examples=60, many=2000, tree=TREES, sampler=st.sampled_from(["random", "tpe", "qmc"]))
def test_what_is_drawn_is_inside_of_the_space_and_the_same_when_it_is_read_again(
    tree: dict[str, Any], sampler: str
) -> None:
    config = config_of(tree, sampler)
    trials, again = drawn(config, 6)
    for trial in trials:
        assert_inside({"trial": config.trial}, config.space, trial.params)
        assert config.space.resolve(trial.params) == trial
    # repr: types and -0.0 too
    assert [repr(trial.options) for trial in again] == [repr(trial.options) for trial in trials]
    assert again == trials


def drawn_at_random(space: Space, seed: int) -> Resolved:
    return space.suggest(PendingTrial(0, {}, optuna.samplers.RandomSampler(seed=seed)))


@for_all(examples=150, many=3000, tree=DISTINCT_TREES, seed=st.integers(0, 99))
def test_a_trial_is_a_known_point_with_its_own_parameters(tree: dict[str, Any], seed: int) -> None:
    space = parse_space(tree)
    trial = drawn_at_random(space, seed)
    assert space.params_of(trial.options) == trial.params
    assert space.params_of(trial.params) == trial.params


@for_all(examples=100, many=3000, tree=TREES, seed=st.integers(0, 99))
def test_where_options_overlap_a_trial_is_a_known_point_that_gives_it_again_or_is_refused(
    tree: dict[str, Any], seed: int
) -> None:
    space = parse_space(tree)
    trial = drawn_at_random(space, seed)
    try:
        params = space.params_of(trial.options)
    except ConfigError as error:
        refused = str(error)
    else:
        assert space.resolve(params).options == trial.options
        return
    assert "several options" in refused or "outside of" in refused


@for_all(examples=100, many=3000, tree=FINITE_TREES, seed=st.integers(0, 99))
def test_a_grid_has_every_trial_once(tree: dict[str, Any], seed: int) -> None:
    space = parse_space(tree)
    grid = space.grid()
    assert len({repr(sorted(point.items())) for point in grid}) == len(grid)
    for point in grid[:50]:
        assert_inside({"trial": tree}, space, space.resolve(point).params)
    assert drawn_at_random(space, seed).params in grid
    assert all(candidate.params in grid for candidate in space.candidates())


@for_all(examples=100, many=3000, tree=TREES)
def test_candidates_have_every_option_and_both_bounds(tree: dict[str, Any]) -> None:
    space = parse_space(tree)
    candidates = list(space.candidates())
    for candidate in candidates:
        assert_inside({"trial": tree}, space, candidate.params)
    for domain in domains(space.root):
        seen = [candidate.params[domain.name] for candidate in candidates if domain.name in candidate.params]
        for value in domain.labels if isinstance(domain, Choice) else domain.bounds:
            assert value in seen


@for_all(examples=100, many=3000, tree=TREES)
def test_written_as_text_it_is_the_same_space(tree: dict[str, Any]) -> None:
    assert parse_space(parse_yaml(yaml_text(tree)).tree) == parse_space(tree)
