"""References to environment variables in options, and their values, which are not shown."""

import io
import json
import logging
import sys
import traceback

import pytest

from search.config.document import read_document
from trainables.process.environment import Concealing, conceal, conceal_output, expand, remember


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


# What must not be shown


def test_a_value_becomes_its_reference_again() -> None:
    variables = {"TOKEN": "s3cr3t", "EMPTY": ""}
    assert conceal("bearer s3cr3t, s3cr3t!", variables) == "bearer ${env:TOKEN}, ${env:TOKEN}!"
    assert conceal("nothing here", variables) == "nothing here"
    assert conceal("", {}) == ""


def test_of_values_that_hold_each_other_the_longer_one_is_named() -> None:
    variables = {"SHORT": "abcd", "LONG": "abcdef", "NAME": "LONG"}
    assert conceal("abcdef abcd", variables) == "${env:LONG} ${env:SHORT}"


@pytest.mark.parametrize("value", ["7", "abc", "1000", "8080", "1234567"])
def test_a_short_value_is_no_secret_and_nothing_else_is_mistaken_for_it(value: str) -> None:
    text = f"trial 7 of 1000: abc, 8080 steps, {value} and {value}00"
    assert conceal(text, {"TRIALS": value}) == text
    assert conceal("pin 12345678", {"PIN": "12345678"}) == "pin ${env:PIN}"


@pytest.mark.parametrize("value", ["a\\b'c", 'quote"quote', "line\nline", "tab\tend", "grün", ".*[a-z]+"])
def test_a_value_is_known_inside_literals_too(value: str) -> None:
    variables = {"TOKEN": value}
    for text in (value, repr(value), repr([value]), json.dumps({"x": value}), f"{(1, value)}"):
        hidden = conceal(text, variables)
        assert "${env:TOKEN}" in hidden
        assert value not in hidden
        assert value[1:-1] not in hidden


def test_what_was_replaced_or_remembered_in_this_process_is_concealed() -> None:
    assert conceal("first second third") == "first second third"
    expand({"a": "${env:ONE}"}, {"ONE": "first", "OTHER": "third"})
    remember({"TWO": "second"})
    assert conceal("first second third") == "${env:ONE} ${env:TWO} third"


def test_reading_a_configuration_is_enough_to_conceal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_TEST", "s3cr3t")
    read_document({"trial": {"data": {"token": "${env:TOKEN_OF_TEST}"}}})
    assert conceal("s3cr3t") == "${env:TOKEN_OF_TEST}"


def test_whatever_is_printed_or_logged_is_concealed(monkeypatch: pytest.MonkeyPatch) -> None:
    remember({"TOKEN": "s3cr3t"})
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    conceal_output()
    conceal_output()
    print("it is", "s3cr3t", end=".")
    sys.stdout.writelines(["a s3cr3t\n", "b"])
    logging.lastResort.emit(logging.makeLogRecord({"msg": "log s3cr3t"}))
    try:
        raise ValueError("trace: s3cr3t")
    except ValueError:
        traceback.print_exc()
    assert out.getvalue() == "it is ${env:TOKEN}.a ${env:TOKEN}\nb"
    assert [word in err.getvalue() for word in ("log $", "trace: $", "s3cr3t")] == [True, True, False]


def test_a_concealing_stream_is_otherwise_the_stream() -> None:
    with open("/dev/null", "w") as file:
        stream = Concealing(file)
        assert stream.write("abc") == 3
        assert (stream.fileno(), stream.isatty(), stream.name) == (file.fileno(), False, "/dev/null")
        stream.flush()
