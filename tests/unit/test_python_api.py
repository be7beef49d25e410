"""Searches that are written in Python: a function with its space as values, and the run that comes back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import search
from search.config.callables import path_of_task
from search.errors import ConfigError, SearchError
from search.run.reporter import ProgressReporter
from search.run.search import search as run_search
from trainables.task import Task

SECTIONS: dict[str, Any] = {
    "objective": {"metric": "loss", "mode": "min"},
    "virtual_epoch": {"steps": 2},
    "budget": {"trials": 5, "max_virtual_epochs": 3},
}


def fit(trial: search.Trial, lr: float = 0.1, method: Any = "sgd", scale: float = 1.0) -> None:
    """A parabola; Adam has a value of its own."""
    x = torch.nn.Parameter(torch.full((1,), 2.0))
    adam = isinstance(method, dict)
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam([x], lr=lr, eps=method["eps"]) if adam else torch.optim.SGD([x], lr=lr)
    )
    trial.track(model=torch.nn.ParameterList([x]), optimizer=optimizer)
    for steps in trial.virtual_epochs():
        for _ in steps:
            optimizer.zero_grad()
            loss = scale * (x**2).sum()
            loss.backward()
            optimizer.step()
        trial.report(loss=loss)


def wide(trial: search.Trial, lr: float = 0.1, width: int = 4) -> None:
    raise AssertionError("it is never called")


SPACE = {
    "lr": search.loguniform(1e-3, 0.5),
    "method": search.choice(["sgd", {"name": "adam", "eps": search.loguniform(1e-8, 1e-2)}]),
    "scale": np.float64(1.5),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> search.Run:
    return search.search(fit, space=SPACE, results=tmp_path_factory.mktemp("results"), local=True, **SECTIONS)


def test_the_tab_key_shows_what_there_is() -> None:
    assert {"search", "resume", "Run", "confirm", "loguniform"} <= set(dir(search))


def test_a_domain_in_python_is_the_mapping_of_the_yaml() -> None:
    assert search.loguniform(1e-4, 0.1) == {"loguniform": [1e-4, 0.1]}
    assert search.quniform(0, 1, 0.25) == {"quniform": [0, 1, 0.25]}
    assert search.randint(np.int64(1), 3) == {"randint": [1, 3]}
    assert search.choice(range(2)) == {"choice": [0, 1]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: search.loguniform(0, 1), r"loguniform\(0, 1\): received .*0 < low < high"),
        (lambda: search.randint(1, 1), r"randint\(1, 1\): received"),
        (lambda: search.uniform("0.1", 1), r"uniform\('0.1', 1\): received the text '0.1'"),  # type: ignore[arg-type]
        (lambda: search.choice("adam"), "choice received the text 'adam'; must be a list"),
    ],
)
def test_a_wrong_domain_is_refused_where_it_is_written(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


def test_a_function_with_its_space_is_searched_as_its_yaml_would_be(run: search.Run, tmp_path: Path) -> None:
    config = {"name": "other", "task": f"{__name__}:fit", "trial": SPACE, **SECTIONS}
    same = run_search(config, results=tmp_path, local=True)
    assert run.best is not None
    assert same.best is not None
    assert run.best.params == same.best.params
    assert run.best.value == same.best.value
    assert run.status == "complete"
    assert run.folder.name == "fit"


def test_the_trials_are_a_table_with_conditional_parameters(run: search.Run) -> None:
    table = run.trials
    assert list(table.index) == [0, 1, 2, 3, 4]
    assert run.best is not None
    assert table["value"].min() == run.best.value
    assert table["value"].idxmin() == run.best.trial
    assert table.loc[run.best.trial, "params_lr"] == run.best.params["lr"]
    adam = table["params_method"] != "sgd"
    assert adam.any()
    (eps,) = [name for name in table.columns if name.startswith("params_") and "eps" in name]
    assert (table[eps].notna() == adam).all()


def test_the_curves_have_a_row_for_each_virtual_epoch(run: search.Run) -> None:
    assert len(run.curves) == run.trials["virtual_epochs"].sum() == run.summary.virtual_epochs
    assert run.curves.groupby("trial")["loss"].min().to_dict() == run.trials["value"].to_dict()
    assert (run.curves["step"] == 2 * run.curves["virtual_epoch"]).all()


def test_the_study_is_one_of_optuna(run: search.Run) -> None:
    values = [trial.value for trial in run.study.trials if trial.value is not None]
    assert run.best is not None
    assert min(values) == run.best.value


def test_the_picture_shows_every_trial_and_names_the_best(run: search.Run) -> None:
    figure = run.plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    (axes,) = figure.axes
    assert axes.get_ylabel() == "loss"
    assert run.best is not None
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        f"trial {run.best.trial}, the best"
    ]
    longest = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert len(longest) == (run.trials["virtual_epochs"] > 1).sum()


def test_a_run_is_opened_from_its_folder(run: search.Run) -> None:
    again = search.Run(run.folder)
    assert again.summary == run.summary
    assert again.trials.equals(run.trials)
    assert repr(again) == repr(run)


def test_the_same_call_again_continues_and_a_resume_grows(tmp_path: Path) -> None:
    def searched() -> search.Run:
        return search.search(fit, space=SPACE, results=tmp_path, local=True, **SECTIONS)

    first, again = searched(), searched()
    assert again.trials.equals(first.trials)
    grown = search.resume(first.folder, overrides=["budget.trials=6"], local=True)
    assert len(grown.trials) == 6


def test_stages_are_one_table(tmp_path: Path) -> None:
    stages = [
        {"name": "first", "trial": {"lr": search.loguniform(1e-3, 0.5)}},
        {"name": "second", "trial": {"scale": search.uniform(0.5, 2)}},
    ]
    run = search.search(fit, results=tmp_path, local=True, stages=stages, **SECTIONS)
    assert run.trials.index.names == ["stage", "trial"]
    assert list(run.trials.loc["1-first"].index) == list(range(5))
    assert run.trials.loc["2-second", "params_scale"].notna().all()
    assert set(run.curves["stage"]) == {"1-first", "2-second"}


def test_a_folder_without_a_summary_is_told(run: search.Run, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="is not the folder of a search"):
        search.Run(tmp_path / "none")
    (tmp_path / "config.yaml").write_bytes((run.folder / "config.yaml").read_bytes())
    (tmp_path / "study.journal").write_bytes((run.folder / "study.journal").read_bytes())
    with pytest.raises(SearchError, match="has no summary: the search in it has not ended"):
        search.Run(tmp_path)


def test_lines_of_progress_are_printed_unless_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search.search(fit, results=tmp_path, local=True, name="shown", **SECTIONS)
    assert "trial 0 completed: full length" in capsys.readouterr().out
    search.search(fit, results=tmp_path, local=True, name="silent", progress=False, **SECTIONS)
    search.search(fit, results=tmp_path, local=True, name="own", reporter=ProgressReporter(), **SECTIONS)
    assert capsys.readouterr().out == ""


def _made_here(trial: search.Trial) -> None: ...


def _wrapped() -> Callable[..., None]:
    def inner(trial: search.Trial) -> None: ...

    return inner


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (_wrapped(), r"_wrapped.<locals>.inner, which is defined inside another function"),
        (lambda trial: None, "lambda"),
        (functools.partial(_made_here), "received a partial, which must be a training function"),
        (3, "received a.? int"),
    ],
)
def test_what_trials_cannot_import_is_refused(task: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        search.search(task, results=tmp_path, local=True, **SECTIONS)
    assert list(tmp_path.iterdir()) == []


def test_sections_go_with_a_function_only(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"space, budget; these go with a training function, .*overrides="):
        search.search({"name": "x"}, space={}, budget={"trials": 2}, results=tmp_path)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"lr": True}, "trial.lr: received true; must be a number"),
        ({"width": search.uniform(4, 8)}, r"trial.width: received 5.5\d*; must be a whole number"),
        ({"width": search.quniform(4, 8, 0.5)}, r"trial.width: received"),
    ],
)
def test_what_is_no_number_of_its_kind_is_refused_before_a_search(
    space: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        search.search(wide, space=space, results=tmp_path, local=True, **SECTIONS)


def test_a_space_without_a_domain_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search.search(fit, results=tmp_path, local=True, **SECTIONS)
    assert "nothing is searched: all 5 trials have the same values" in capsys.readouterr().out


def test_one_override_may_be_a_text(tmp_path: Path) -> None:
    config = {"name": "x", "task": f"{__name__}:fit", "trial": SPACE, **SECTIONS}
    assert len(search.search(config, overrides="budget.trials=2", results=tmp_path, local=True).trials) == 2


def test_an_unknown_section_has_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'budget'"):
        search.search(fit, results=tmp_path, local=True, budgets={"trials": 2}, **SECTIONS)


def test_an_unknown_value_has_a_near_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'scale'"):
        search.search(fit, space={"scal": 1.0}, results=tmp_path, local=True, **SECTIONS)


def test_the_path_of_a_class_is_its_own() -> None:
    assert path_of_task(Task) == "trainables.task:Task"
