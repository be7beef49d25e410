"""Options of a trial as its task gets them: references to the environment in data paths."""

from __future__ import annotations

import pytest

from trainables.options import expand_paths


def test_references_in_data_are_replaced_at_any_depth_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATA", "/big")
    monkeypatch.setenv("A.1-x", "x")
    options = {
        "data": {
            "root": "${env:DATA}/train",
            "parts": ["${env:DATA}", {"a": "${env:A.1-x}${env:DATA}"}, 3, None],
        },
        "model": {"name": "${env:DATA}"},
    }
    assert expand_paths(options) == {
        "data": {"root": "/big/train", "parts": ["/big", {"a": "x/big"}, 3, None]},
        "model": {"name": "${env:DATA}"},
    }
    assert options["data"]["root"] == "${env:DATA}/train"


def test_a_value_is_not_expanded_again_and_other_dollars_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "${env:B}")
    texts = ["${env:A}", "$DATA", "${DATA}", "$5", "{env:DATA}"]
    assert expand_paths({"data": {"texts": texts}})["data"]["texts"] == ["${env:B}", *texts[1:]]


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANES_ROOT", raising=False)
    with pytest.raises(
        KeyError, match=r"variable LANES_ROOT is not set; \$\{env:LANES_ROOT\} in the data options"
    ):
        expand_paths({"data": {"root": ["${env:LANES_ROOT}"]}})
