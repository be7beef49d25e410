"""Reading and writing of configurations: YAML 1.2, bounded, with the place of every value."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from search.config.document import read_document, read_values, write_yaml
from search.config.yaml import MAX_BYTES, MAX_NODES, plain_scalar
from search.errors import ConfigError, Problem
from search.text import value_at


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(text, *overrides):
    Path("c.yaml").write_text(text, encoding="utf-8")
    return read_document("c.yaml", overrides)


def problems_of(text, *overrides):
    try:
        return [str(problem) for problem in read(text, *overrides).problems]
    except ConfigError as error:
        return str(error).splitlines()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0E+3", 1000.0),
        (".5", 0.5),
        ("-7", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("0x" + "f" * 249, 16**249 - 1),
        ("0x" + "f" * 250, "0x" + "f" * 250),
        ("true", True),
        ("~", None),
        ("", None),
        ("-.inf", -math.inf),
        ("yes", "yes"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("none", "none"),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    assert plain_scalar(text) == value
    assert type(plain_scalar(text)) is type(value)


def test_quoted_number_stays_text():
    assert read("a: '1e-4'\nb: \"1\"").tree == {"a": "1e-4", "b": "1"}


def test_every_value_knows_its_line():
    document = read("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n")
    assert document.where(("a",)) == "c.yaml:1"
    assert document.where(("b", 0)) == "c.yaml:3"
    assert document.where(("b", 1, "d")) == "c.yaml:5"
    assert document.where(("b", 1, "missing")) == "c.yaml:4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "c.yaml:3: a: the key stands twice, first on line 1; remove one"),
        ("a:\n  b: !!python/name:os.system x", "c.yaml:2: a.b: tags are refused"),
        ("a: !!str 1", "c.yaml:1: a: tags are refused"),
        ("a: 1\n1.5: 2", "c.yaml:2: a key must be text or a whole number, received 1.5"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "c.yaml:3: c: merge keys (<<) are not part of YAML 1.2"),
        ("a: 1\nb: [1, 2\n", "c.yaml:3: not valid YAML: "),
        ("a: *x", "c.yaml:1: a: alias *x refers to nothing complete before it"),
        ("a: &x\n  - *x", "c.yaml:2: a.0: alias *x refers to nothing complete before it"),
        ("a: 1\n---\nb: 2", "c.yaml:2: not valid YAML: a second document begins here"),
        ("? [a]\n: 1", "c.yaml:1: a key must be text"),
        ("%YAML 1.3\n---\na: 1", "c.yaml:1: not valid YAML: version minor part can only be 2 or 1"),
        ("- 1", "c.yaml: must be a mapping (key: value), received [1]"),
        ("# nothing\n", "c.yaml: must be a mapping (key: value), received nothing"),
    ],
)
def test_each_problem_names_its_line(text, message):
    (problem,) = problems_of(text)
    assert problem.startswith(message)


def test_problems_that_do_not_stop_the_parser_come_together():
    assert len(problems_of("a: 1\na: 2\nb: !x 3\n4.5: 5\n")) == 3


def test_a_missing_file_or_a_folder_is_a_problem_in_one_line(tmp_path):
    with pytest.raises(
        ConfigError, match=r"^nowhere\.yaml: cannot be read: there is no such file$"
    ) as caught:
        read_document("nowhere.yaml")
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_document(tmp_path)


def test_a_file_that_is_not_utf8_is_named_with_the_line():
    Path("c.yaml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"c\.yaml:2: not UTF-8 text"):
        read_document("c.yaml")


def test_alias_is_a_copy():
    document = read("a: &x {b: 1}\nc: *x", "a.b=2")
    assert document.tree == {"a": {"b": 2}, "c": {"b": 1}}


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 [x, x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 60)),
        "a: [" + "1, " * MAX_NODES + "1]",
        "a: " + "[" * 200_000,
        "a: " + "x" * MAX_BYTES,
    ],
    ids=["billion laughs", "many values", "deep", "large"],
)
def test_bombs_are_refused_at_once(text):
    start = time.perf_counter()
    (problem,) = problems_of(text)
    assert "which is the limit" in problem
    assert time.perf_counter() - start < 5


def test_overrides_replace_create_and_reach_into_lists():
    document = read(
        "trial:\n  batch_size: 8\n  sizes: [1, 2]\n",
        "trial.batch_size=16",
        "trial.optimizer.lr={loguniform: [1e-4, 1e-2]}",
        "trial.sizes.1=yes",
        "name=",
    )
    assert document.tree == {
        "trial": {
            "batch_size": 16,
            "sizes": [1, "yes"],
            "optimizer": {"lr": {"loguniform": [1e-4, 1e-2]}},
        },
        "name": None,
    }
    assert document.where(("trial", "batch_size")) == "--set trial.batch_size=16"
    assert document.where(("trial", "optimizer", "lr", "loguniform", 0)).startswith(
        "--set trial.optimizer.lr="
    )
    assert document.where(("trial", "sizes", 0)) == "c.yaml:3"


def test_later_override_wins_and_is_the_place():
    document = read("a: {b: 1}", "a.b=2", "a={b: 3}")
    assert document.tree == {"a": {"b": 3}}
    assert document.where(("a", "b")) == "--set a={b: 3}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a", "--set a: must be a dotted path, =, and a value, such as trial.batch_size=16"),
        ("=1", "--set =1: must be a dotted path"),
        ("a..b=1", "--set a..b=1: must be a dotted path"),
        ("a.b=1", "--set a.b=1: a: is 5, which has no keys"),
        ("l.2=1", "--set l.2=1: l.2: received '2'; must be an index from 0 to 1, since l is a list of 2"),
        ("l.x=1", "--set l.x=1: l.x: received 'x'; must be an index from 0 to 1"),
        ("a=[1", "--set a=[1: not valid YAML: "),
        ("a=!!int 3", "--set a=!!int 3: tags are refused"),
        ("a =[", "--set a =[: not valid YAML: "),
        ("b\n=[1,\n", "--set b\\n=[1,\\n: not valid YAML: "),
        ("b\tc=1", "--set b\\tc=1: a key must be printable and at most 200 characters long"),
        ("l." + "9" * 5000 + "=1", "--set l.9999"),
        ("b.c" * 51 + "=1", "--set: b.cb.cb.cb.cb: nested deeper than 50"),
    ],
)
def test_malformed_override_is_a_problem(override, message):
    (problem,) = problems_of("a: 5\nl: [1, 2]", override)
    assert problem.startswith(message)


def test_override_may_not_make_more_than_may_be_read():
    for override in (f"b={'[' * 50}{']' * 50}", f"b=[{'1, ' * 9_990}1]"):
        with pytest.raises(ConfigError, match=r"^--set: .* which is the limit$"):
            read("a: {b: 1}\nc: [" + "1, " * 9 + "1]", f"a.{override}")


def test_python_values_are_taken_as_config():
    document = read_document({"a": {"b": (1, 2)}, "p": Path("x/y")}, ["a.c=1"])
    assert document.tree == {"a": {"b": [1, 2], "c": 1}, "p": "x/y"}
    assert document.where(("a", "b", 0)) == "config"
    assert document.file is None


def test_python_values_that_yaml_does_not_have_are_refused():
    with pytest.raises(ConfigError) as caught:
        read_document({"a": {1.5: 2}, "b": [object()], "c": 10**5000, "d": "\ud800", "e": {"\n": 1}})
    assert [str(problem) for problem in caught.value.problems] == [
        "config: a: a key must be text or a whole number, received 1.5",
        "config: b.0: received an object; must be a mapping, list, text, number, bool or None",
        "config: c: a whole number of more than 300 digits, which is the limit",
        "config: d: half a surrogate pair is no character; write the whole",
        "config: e: a key must be printable and at most 200 characters long, received '\\n'",
    ]


def test_whole_numbers_as_keys_are_their_digits():
    for source in ({"a": {255: 1, -1: 2}}, {"a": {"255": 1, "-1": 2}}):
        assert read_document(source).tree == {"a": {"255": 1, "-1": 2}}
    Path("keys.yaml").write_text("a: {255: 1, -1: 2}\n")
    assert read_document("keys.yaml").tree == {"a": {"255": 1, "-1": 2}}
    assert read_document({}, ["a={255: 1}"]).tree == {"a": {"255": 1}}
    Path("twice.yaml").write_text("a: {255: 1, '255': 2}\n")
    assert "the key stands twice" in str(read_document("twice.yaml").problems[0])
    with pytest.raises(ConfigError, match="the key 255 stands twice, as a number and as text"):
        read_document({"a": {255: 1, "255": 2}})


def test_python_values_that_hold_themselves_are_refused():
    loop: dict = {}
    loop["a"] = loop
    with pytest.raises(ConfigError, match="nested deeper"):
        read_document(loop)


def test_python_values_are_not_changed_by_overrides():
    source = {"a": {"b": 1}}
    read_document(source, ["a.b=2"])
    assert source == {"a": {"b": 1}}


TREE = {
    "z": 1e-4,
    "a": [1e-5, 1e20, 0.1 + 0.2, -0.0, 5e-324, math.inf, 10**30, 3.0],
    "texts": [
        "1e-4",
        "yes",
        "null",
        "",
        "0o17",
        "a: b",
        "# c",
        "~",
        "1\n2\n",
        " x ",
        "é\u2028",
        "*a",
        "x " * 200,
        [":a", "?a", "<<", {":b": 1, "?b": 2}],
        "a\\ \"b' : " * 30,
    ],
    "long " * 30: {"<<": 1},
    "options": {"choice": [{"name": "a", "lr": {"uniform": [0, 1.0]}}, {"name": "b", "x": []}, None, True]},
    "1": {"true": {}},
    "env": "${env:HOME}/x",
}


def test_written_file_reads_back_identically():
    write_yaml("out.yaml", TREE)
    back = read_values(Path("out.yaml"))
    assert repr(back) == repr(TREE)  # repr: types, order and -0.0 too


def test_written_numbers_are_numbers_to_readers_of_yaml_1_1_too():
    write_yaml("out.yaml", {"a": 1e-5})
    assert Path("out.yaml").read_text() == "a: 1.0e-05\n"


def test_innermost_lists_and_mappings_stand_on_one_line():
    adamw = {"name": "adamw", "lr": {"loguniform": [1e-5, 0.1]}, "betas": [0.9, 0.999]}
    tree = {"name": "seg", "trial": {"optimizer": {"choice": [adamw, {"name": "sgd", "lr": 0.1}, None]}}}
    write_yaml("out.yaml", {**tree, "data": {"root": "${env:DATA}/x"}, "answers": [True, "学習"]})
    assert (
        Path("out.yaml").read_text()
        == """\
name: seg
trial:
  optimizer:
    choice:
      - name: adamw
        lr:
          loguniform: [1.0e-05, 0.1]
        betas: [0.9, 0.999]
      - {name: sgd, lr: 0.1}
      - null
data: {root: '${env:DATA}/x'}
answers: [true, 学習]
"""
    )


def test_failed_write_leaves_the_old_file_and_nothing_beside_it():
    write_yaml("out.yaml", {"a": 1})
    with pytest.raises(ConfigError):
        write_yaml("out.yaml", {"a": object()})
    assert Path("out.yaml").read_text() == "a: 1\n"
    assert os.listdir() == ["out.yaml"]


def test_value_at_walks_mappings_and_lists():
    assert value_at({"a": [{"b": 1}]}, ("a", 0, "b")) == 1
    assert value_at({"a": [1]}, ("a", 1), "absent") == "absent"
    assert value_at({"a": 1}, ("a", "b"), "absent") == "absent"


def test_problems_come_in_the_order_of_lines_and_once():
    problems = [
        Problem("--set a=x:1", "a", "m"),
        Problem("c.yaml:10", "", "m"),
        Problem("c.yaml:9", "b", "m"),
    ]
    error = ConfigError([*problems, problems[0]])
    assert str(error) == "c.yaml:9: b: m\nc.yaml:10: m\n--set a=x:1: a: m"


@pytest.mark.parametrize("sign", ["|", ">", ":", ",", "#", "-", "&"])
def test_a_single_sign_of_yaml_in_an_override_is_itself(sign):
    assert read_document({}, [f"trial.data.delimiter={sign}"]).tree == {
        "trial": {"data": {"delimiter": sign}}
    }
