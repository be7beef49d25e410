"""References to environment variables in options."""

import pytest

from search.document import read_document
from trainables.environment import expand


def test_references_are_replaced_at_any_depth():
    tree = {
        "data": {
            "root": "${env:DATA}/train",
            "parts": ["${env:DATA}", "${env:A_1}${env:DATA}", 3, None, True],
        }
    }
    expanded = expand(tree, {"DATA": "/big", "A_1": "x"})
    assert expanded == {"data": {"root": "/big/train", "parts": ["/big", "x/big", 3, None, True]}}
    assert tree["data"]["root"] == "${env:DATA}/train"


def test_other_dollars_and_braces_stay():
    for text in ("$DATA", "${DATA}", "$5", "{env:DATA}"):
        assert expand(text, {"DATA": "x"}) == text


def test_a_value_is_not_expanded_again():
    assert expand("${env:A}", {"A": "${env:B}", "B": "x"}) == "${env:B}"


def test_keys_of_any_type_and_values_that_are_no_text_stay():
    assert expand({255: 1, "${env:A}": 2.5}, {"A": "x"}) == {255: 1, "${env:A}": 2.5}


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(KeyError, match=r"variable LANES_ROOT is not set .*\$\{env:LANES_ROOT\} needs it"):
        expand({"root": ["${env:LANES_ROOT}"]}, {"OTHER": "x"})


def test_the_process_environment_is_read_when_asked(monkeypatch):
    monkeypatch.setenv("TUNE_SEARCH_TEST", "now")
    assert expand("${env:TUNE_SEARCH_TEST}") == "now"


def test_a_reference_that_a_configuration_takes_is_one_that_a_trial_replaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Names of variables may have more than letters; both sides must see the same references."""
    monkeypatch.setenv("data.root-1", "somewhere")
    document = read_document({"trial": {"data": {"root": "${env:data.root-1}/images"}}})
    assert document.tree["trial"]["data"]["root"] == "somewhere/images"
    assert expand(document.raw["trial"])["data"]["root"] == "somewhere/images"
