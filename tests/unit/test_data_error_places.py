"""What is said of an error in data or options: its line, or the command that lists all problems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search.config.tasks import BUILT_IN
from search.errors import SearchError
from search.run.before.first_try import _names
from search.run.data.errors import data_errors
from trainables.findings import a_type, some

PLACES = {
    "data": "a.yaml:3",
    "data.root": "a.yaml:4",
    "optimizer": "a.yaml:8",
    "optimizer.groups": "a.yaml:9",
}
WAY_OUT = "`tune-search check a.yaml --data` lists all problems of the data"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("data.root is x; it must be a folder", "data.root is x; it must be a folder (a.yaml:4)"),
        ("a class is empty; set data.num_classes", "a class is empty; set data.num_classes (a.yaml:3)"),
        ("images/1.png: cannot be decoded", f"images/1.png: cannot be decoded; {WAY_OUT}"),
        ("own:F1 of outputs [2] raised IndexError: x", "own:F1 of outputs [2] raised IndexError: x"),
        ("own:Flip returned an int; must be", "own:Flip returned an int; must be"),
    ],
)
def test_an_option_has_its_line_and_samples_the_command_that_lists_them(error: str, told: str) -> None:
    with (
        pytest.raises(SearchError) as raised,
        data_errors(BUILT_IN["segmentation"], Path("a.yaml"), PLACES),
    ):
        raise ValueError(error)
    assert str(raised.value) == told


@pytest.mark.parametrize("message", ["optimizer.groups: enc.* matches no parameter"])
def test_the_line_of_a_section_besides_the_data(message: str) -> None:
    with pytest.raises(SearchError, match=r"a\.yaml:9"), data_errors(BUILT_IN["segmentation"], None, PLACES):
        raise ValueError(message)


@pytest.mark.parametrize(
    ("value", "told"), [(1, "an int"), ("", "a str"), (np.zeros(1), "an ndarray"), ({}, "a dict")]
)
def test_types_have_their_article(value: object, told: str) -> None:
    assert a_type(value) == told


def test_a_line_about_a_try_names_three_parts() -> None:
    named = {f"loss.terms.{name}": {"name": f"own:{name}"} for name in ("A", "B", "C", "D", "E")}
    line = some(_names(named), 3)
    assert line == "trial.loss.terms.A own:A, trial.loss.terms.B own:B, trial.loss.terms.C own:C, and 2 more"
