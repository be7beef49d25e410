"""Second files that do not fit, notations and first rows: read right, or told with the way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from made_tables import DRAWN, Lines, advised, doubts, load, y

from trainables.tables.numbers import hint
from trainables.tables.options import CSVOptions


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(tmp_path)


# Validation in a second file


def test_texts_that_training_lacks_are_told_or_refused(lines: Lines) -> None:
    train = lines.write(c=lambda n: ["red", "blue"][n % 2])

    def valid(*texts: str) -> str:
        return str(lines.write("v.csv", 20, c=lambda n: texts[n % len(texts)]))

    (message,) = doubts(train, valid_path=valid("red", "blue", "red", "green"))
    assert (
        "column 'c': 5 of 20 validation rows (25%) hold texts that no training row does ('green')" in message
    )
    assert doubts(train, valid_path=valid("red", "", "blue")) == []
    with pytest.raises(ValueError, match="training has 'red' for 'Red': write them in one way"):
        load(train, valid_path=valid("Red", "blue"))
    with pytest.raises(
        ValueError, match=r"\('rot', 'blau'\), which has 'blue', 'red': correct them, or"
    ) as none:
        load(train, valid_path=valid("rot", "blau"))
    assert load(train, valid_path=valid("rot"), **advised(str(none.value)))["valid_inputs"].shape == (20, 2)


def test_a_class_of_validation_that_training_writes_in_another_way_is_refused_with_it(lines: Lines) -> None:
    train = lines.write(y=lambda n: n % 2)
    valid = lines.write("v.csv", 20, y=lambda n: float(n % 2))
    with pytest.raises(
        ValueError, match=r"received '0\.0', which no training row has.*: write it as there, '0'"
    ):
        load(train, of_classes=True, valid_path=str(valid))


@pytest.mark.parametrize("name", ["a", "y"])
@pytest.mark.parametrize(("factor", "size"), [(1000, "as large"), (0.01, "smaller")])
def test_numbers_of_validation_in_other_units_are_told(
    lines: Lines, name: str, factor: float, size: str
) -> None:
    train = lines.write()
    column = {"a": lambda n: DRAWN[n, 0] * factor, "y": lambda n: y(n) * factor}[name]
    (message,) = doubts(train, valid_path=str(lines.write("v.csv", 30, **{name: column})))
    assert re.search(rf"column '{name}': .* in validation and .* in training; about .* times {size}", message)


def test_ranges_that_do_not_overlap_are_told(lines: Lines) -> None:
    train, valid = lines.write(t=lambda n: 20 + n), lines.write("v.csv", 20, t=lambda n: 68 + n)
    (message,) = doubts(train, valid_path=str(valid))
    assert (
        "column 't': 68 to 87 in validation and 20 to 59 in training; these ranges do not overlap" in message
    )
    assert doubts(train, valid_path=str(lines.write("v.csv", 20, t=lambda n: 50 + n))) == []


def test_validation_on_the_training_rows_is_told(lines: Lines) -> None:
    assert "hold the same rows" in doubts(lines.write(), valid_path=str(lines.write("v.csv")))[0]


@pytest.mark.parametrize("name", ["a", "y"])
def test_validation_in_another_notation_than_training_is_refused_as_that(lines: Lines, name: str) -> None:
    train = lines.write()
    column = {"a": lambda n: DRAWN[n, 0], "y": y}[name]
    valid = lines.write("v.csv", 20, **{name: lambda n: f"{column(n):.4f}".replace(".", ",").join('""')})
    with pytest.raises(ValueError, match=r"v\.csv:2: .* in two notations, such as .*: write them in one"):
        load(train, valid_path=str(valid))


def test_a_category_written_in_two_ways_is_told(lines: Lines) -> None:
    (message,) = doubts(lines.write(c=lambda n: ["TRUE", "FALSE", "true"][n % 3]))
    assert message == "column 'c': 'TRUE' and 'true' count as two categories; write them in one way"
    (message,) = doubts(lines.write(c=lambda n: ["1", "False", "0", "x", "y", "z"][n % 6]))
    assert "'False' and '0' count as two" in message
    assert doubts(lines.write(c=lambda n: ["0E0", "0E8", "a", "A"][n % 4]), text_columns=["c"]) == []


def test_texts_that_look_the_same_are_told_apart(lines: Lines) -> None:
    (message,) = doubts(lines.write(c=lambda n: ["Zo\u00eb", "Zoe\u0308", "Ann"][n % 3]))
    assert r"'Zoë' and 'Zoe\u0308' count as two categories" in message
    file = lines.write(**{"a e\u0308": lambda n: n})
    with pytest.raises(
        ValueError, match=r"no column 'a \u00eb' \(data\.target\); did you mean 'a e\\u0308'\?"
    ):
        load(file, target="a \u00eb")


# Notations


@pytest.mark.parametrize(
    ("texts", "delimiter", "proposed"),
    [
        (["1,200", "12,345"], ",", 'data.thousands: "," reads them'),
        (["1,200", "12,345"], ";", 'data.decimal: "," or data.thousands: "," reads them'),
        (["1,5", "2.5", "3,5", "4.5"], ";", "in two notations, such as '3,5' and '4.5': write them in one"),
        (["1,5", *(f"{n}.5" for n in range(30))], ";", "in two notations, such as '1,5' and "),
        (["1,5", *map(str, range(30))], ";", 'data.decimal: "," reads them'),
        (["0,606", "8,578", "1,234", "7.5"], ";", "in two notations, such as '8,578' and '7.5'"),
        (["1,5", "1,234,567"], ";", "in two notations, such as '1,234,567': write them in one"),
        (["0x1F", "0xa"], ",", "hexadecimal numbers such as '0x1F': write them as decimal ones"),
    ],
)
def test_the_advice_for_another_notation_reads_all(texts: list[str], delimiter: str, proposed: str) -> None:
    assert proposed in hint(texts, delimiter=delimiter)


# Files


def test_the_delimiter_that_excel_is_told_is_taken_and_its_line_left_out(lines: Lines) -> None:
    plain = load(lines.write())
    text = (lines.folder / "t.csv").read_text()
    (lines.folder / "excel.csv").write_text("sep=;\n" + text.replace(",", ";"))
    np.testing.assert_array_equal(load(lines.folder / "excel.csv")["train_inputs"], plain["train_inputs"])


def test_a_repeated_header_and_empty_rows_are_left_out(lines: Lines) -> None:
    plain = load(lines.write())
    rows = (lines.folder / "t.csv").read_text().splitlines()
    (lines.folder / "joined.csv").write_text("\n".join([*rows[:11], rows[0], *rows[11:], ",,", ",,"]))
    np.testing.assert_array_equal(load(lines.folder / "joined.csv")["train_inputs"], plain["train_inputs"])
    (note,) = doubts(lines.folder / "joined.csv")
    assert note == "in line 12"


def test_a_delimiter_at_the_end_of_each_line_makes_no_column(lines: Lines) -> None:
    plain = load(lines.write())
    text = (lines.folder / "t.csv").read_text().replace("\n", ",\n")
    (lines.folder / "t.csv").write_text(text)
    np.testing.assert_array_equal(load(lines.folder / "t.csv")["train_inputs"], plain["train_inputs"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: ["Houses of 2021", *rows],
            r"t\.csv:2: has 3 cells .* remove the lines above the names",
        ),
        (lambda rows: ["Houses,,", *rows], r"t\.csv:1: column 2 of 3 has no name; .* remove the lines above"),
        (lambda rows: rows[1:], r"t\.csv:1: the first row must name .* add a row with the 3 names above it"),
        (
            lambda rows: [rows[0], "m2,n,EUR", *rows[1:]],
            r"t\.csv:2: holds 'm2', 'n', 'EUR' where the rows below hold numbers; .* remove it",
        ),
    ],
    ids=["title", "title with delimiters", "no header", "units"],
)
def test_first_rows_that_are_no_header_or_no_sample_are_refused(
    lines: Lines, change: Callable[[Sequence[str]], list[str]], message: str
) -> None:
    file = lines.write()
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    with pytest.raises(ValueError, match=message):
        load(file)


def test_years_may_be_names_of_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("2019,2020,2021\n" + "".join(f"{n},{n % 7},{n % 5}\n" for n in range(20)))
    options = CSVOptions(path=str(tmp_path / "t.csv"), target="2021")
    assert load(tmp_path / "t.csv", target=options.target)["train_inputs"].shape[1] == 2
