"""What may be meant otherwise in a table is said, with the line that reads it; of normal ones, nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn import datasets

from trainables.classification.data import load_arrays as load_classes
from trainables.classification.data import read_class_sheets
from trainables.classification.options import ClassCSVOptions
from trainables.data.notes import heard_notes
from trainables.regression.data import load_arrays as load_numbers
from trainables.regression.data import read_number_sheets
from trainables.regression.options import NumberCSVOptions
from trainables.tables.doubts import table_doubts, table_notes
from trainables.tables.numbers import hint
from trainables.tables.options import CSVOptions

Column = Callable[[int], object]
ROWS = 40
DRAWN = np.random.default_rng(0).normal(size=(ROWS, 3))


class Lines:
    """A CSV file of made-up numbers `a` and `b` and a target `y`, with more columns or others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str = "t.csv", count: int = ROWS, **columns: Column) -> Path:
        given: dict[str, Column] = {
            "a": lambda n: f"{DRAWN[n, 0]:.3f}",
            "b": lambda n: f"{DRAWN[n, 1]:.3f}",
            "y": lambda n: f"{3 * DRAWN[n, 0] + DRAWN[n, 2]:.3f}",
        }
        given |= columns
        rows = [",".join(given), *(",".join(str(cell(n)) for cell in given.values()) for n in range(count))]
        (self.folder / name).write_text("\n".join(rows) + "\n")
        return self.folder / name


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(tmp_path)


def options_of(file: Path, of_classes: bool, options: dict[str, Any]) -> Any:
    model = ClassCSVOptions if of_classes else NumberCSVOptions
    return model.model_validate({"source": "csv", "path": str(file), "target": "y", **options})


def doubts(file: Path, of_classes: bool = False, **options: Any) -> list[str]:
    """The messages, and what reading the file left out."""
    parsed = options_of(file, of_classes, options)
    sheets = read_class_sheets(parsed) if of_classes else read_number_sheets(parsed)
    messages = [finding.message for finding in table_doubts(sheets, parsed, of_classes=of_classes)]
    return [*messages, *table_notes(sheets, parsed)]


def load(file: Path, of_classes: bool = False, **options: Any) -> dict[str, np.ndarray]:
    parsed = options_of(file, of_classes, options)
    return load_classes(parsed) if of_classes else load_numbers(parsed)


def advised(message: str) -> dict[str, Any]:
    """The options that a message names, as somebody would copy them."""
    found = re.findall(r"data\.(\w+): (\[.*?\]|\w+|\"[^\"]*\")", message)
    return {name: yaml.safe_load(value) for name, value in found}


# Values that are missing


@pytest.mark.parametrize("text", ["-999", "-9999.0", "99999", "-200", "1e30", "-32768"])
@pytest.mark.parametrize("target", [False, True])
def test_a_number_far_from_the_others_is_told_with_the_line_that_reads_it_as_missing(
    lines: Lines, text: str, target: bool
) -> None:
    name = "y" if target else "temp"
    file = lines.write(**{name: lambda n: text if n % 9 == 0 else 20 + n % 7 * 0.5})
    (message,) = doubts(file)
    assert f"column '{name}': '{text}' in 5 of 40 rows, far from the others (20 to 23)" in message
    with heard_notes() as notes:
        load(file)
    (note,) = notes
    assert note == f"{file}: {message}; `tune-search check` shows all that was read"
    options = advised(message)
    assert set(options) == ({"missing", "missing_targets"} if target else {"missing"})
    assert doubts(file, **options) == []
    arrays = load(file, **options)
    assert len(arrays["train_targets"]) + len(arrays["valid_targets"]) == (ROWS - 5 if target else ROWS)
    assert np.abs(arrays["train_inputs"]).max() < 5


@pytest.mark.parametrize(
    "numbers",
    [
        lambda n: 999 if n == 3 else 100 + 20 * n,
        lambda n: 9.99 if n % 2 else 10.0 + n,
        lambda n: -99 + n * 5,
        lambda n: n % 10,
        lambda n: 1 if n % 20 == 0 else 0,
        lambda n: 2.0**n,
        lambda n: -1 if n % 5 == 0 else n,
    ],
)
def test_numbers_that_a_column_may_hold_are_no_doubt(lines: Lines, numbers: Column) -> None:
    assert doubts(lines.write(x=numbers)) == []


@pytest.mark.parametrize("text", ["?", "-", "unknown", "N.A.", "none", "na", "Missing", "."])
def test_a_spelling_of_a_missing_value_is_no_class_without_a_word(lines: Lines, text: str) -> None:
    file = lines.write(y=lambda n: text if n % 8 == 0 else "cat" if n % 2 else "dog")
    (message,) = doubts(file, of_classes=True)
    assert f"{text!r} in 5 of 40 rows, which is used as a class" in message
    assert text in load(file, of_classes=True)["class_names"]
    assert load(file, of_classes=True, **advised(message))["class_names"].tolist() == ["cat", "dog"]


def test_a_class_that_was_said_to_be_none_missing_is_no_doubt(lines: Lines) -> None:
    file = lines.write(y=lambda n: ["None", "mild"][n % 2], x=lambda n: "NA" if n == 3 else n % 7)
    assert doubts(file, of_classes=True, missing=[], text_columns=["x"]) == []
    with pytest.raises(ValueError, match=r'data\.missing: \["NA"\] reads it as missing'):
        load(file, of_classes=True, missing=[])


def test_plus_and_minus_are_classes(lines: Lines) -> None:
    assert doubts(lines.write(y=lambda n: "+-"[n % 2]), of_classes=True) == []


@pytest.mark.parametrize("share", [2, 3, 20])
@pytest.mark.parametrize("name", ["x", "y"])
def test_a_spelling_among_numbers_is_refused_with_the_lines_that_read_all_of_them(
    lines: Lines, share: int, name: str
) -> None:
    file = lines.write(**{name: lambda n: "?-"[n // share % 2] if n % share == 0 else n % 5 + 1})
    with pytest.raises(ValueError, match=r"must be a finite number; data\.missing: ") as refused:
        load(file)
    arrays = load(file, **advised(str(refused.value)))
    assert arrays["train_inputs"].shape[1] == (3 if name == "x" else 2)


# Names, dates and row numbers


@pytest.mark.parametrize(
    "name", ["id", "Id", "ID", "index", "PassengerId", "Unnamed: 0", "row_number", "S.No"]
)
def test_a_column_that_numbers_the_rows_is_left_out_unless_it_is_kept(lines: Lines, name: str) -> None:
    gaps = 0 if name == "S.No" else 1
    file = lines.write(**{name: lambda n: 1000 + n + gaps * n // 7})
    assert load(file)["train_inputs"].shape[1] == 2
    kept: dict[str, Any] = {"keep_columns": [name]}
    if name != "Unnamed: 0":
        (note,) = doubts(file)
        assert f"column {name!r} numbers the rows and is left out" in note
        kept = advised(note)
    assert load(file, **kept)["train_inputs"].shape[1] == 3
    assert doubts(file, **kept) == []
    assert doubts(file, ignore_columns=[name]) == []


@pytest.mark.parametrize("name", ["rooms", "grid", "house_no", "period index", "valid", "Number of beds"])
def test_other_columns_that_count_are_inputs(lines: Lines, name: str) -> None:
    file = lines.write(**{name: lambda n: n})
    assert doubts(file) == []
    assert load(file)["train_inputs"].shape[1] == 3


def test_a_number_with_gaps_may_be_a_quantity_and_is_told(lines: Lines) -> None:
    (message,) = doubts(lines.write(number=lambda n: 3 * n % 41))
    assert "column 'number' holds another number in each row" in message
    assert load(lines.folder / "t.csv")["train_inputs"].shape[1] == 3


def test_a_table_of_row_numbers_alone_is_refused_with_the_option_that_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,y\n" + "".join(f"{n},{n % 5}\n" for n in range(20)))
    with pytest.raises(ValueError, match="no column varies in the training rows") as refused:
        load(tmp_path / "t.csv")
    assert load(tmp_path / "t.csv", **advised(str(refused.value)))["train_inputs"].shape[1] == 1


def test_numbers_of_rows_with_gaps_are_told(lines: Lines) -> None:
    file = lines.write(customer_id=lambda n: 7919 * n % 100_003)
    (message,) = doubts(file)
    assert "column 'customer_id' holds another number in each row" in message
    assert load(file)["train_inputs"].shape[1] == 3
    assert load(file, **advised(message))["train_inputs"].shape[1] == 2


def test_an_index_that_pandas_wrote_twice_is_left_out(tmp_path: Path, lines: Lines) -> None:
    rows = lines.write().read_text().splitlines()
    indexed = [f",Unnamed: 0,{rows[0]}", *(f"{n},{n},{row}" for n, row in enumerate(rows[1:]))]
    (tmp_path / "twice.csv").write_text("\n".join(indexed))
    named = [f",{rows[0]}", *(f"row {n},{row}" for n, row in enumerate(rows[1:]))]
    (tmp_path / "named.csv").write_text("\n".join(named))
    once = load(tmp_path / "t.csv")
    for name in ("twice.csv", "named.csv"):
        np.testing.assert_array_equal(load(tmp_path / name)["train_inputs"], once["train_inputs"])


def test_codes_with_leading_zeros_are_told_with_an_option_that_works(lines: Lines) -> None:
    (message,) = doubts(lines.write(plz=lambda n: f"{n % 4 * 700 + 367:05d}"))
    assert "column 'plz' holds 00367, which is read as the number 367" in message
    assert advised(message) == {"text_columns": ["plz"]}
    assert load(lines.folder / "t.csv", **advised(message))["train_inputs"].shape[1] == 2 + 4 + 1
    (message,) = doubts(lines.write(plz=lambda n: f"{n * 700 + 367:05d}"))
    assert load(lines.folder / "t.csv", **advised(message))["train_inputs"].shape[1] == 2
    assert doubts(lines.write(hour=lambda n: f"{n % 24:02d}")) == []


@pytest.mark.parametrize(
    "days", [lambda n: f"2021{1 + n % 12:02d}{1 + n % 28:02d}", lambda n: 199001 + n % 12]
)
def test_dates_that_look_like_numbers_are_told(lines: Lines, days: Column) -> None:
    (message,) = doubts(lines.write(day=days))
    assert "column 'day' holds dates such as" in message
    assert load(lines.folder / "t.csv", **advised(message))["train_inputs"].shape[1] == 2
    assert doubts(lines.write(year=lambda n: 1990 + n % 20)) == []


# The target


def test_an_input_that_is_the_target_is_told(lines: Lines) -> None:
    for column in (lambda n: f"{y(n):.3f}", lambda n: f"{0.9 * y(n) - 7:.4f}"):
        (message,) = doubts(lines.write(copy=column))
        assert "column 'copy' is the target 'y', or a linear function of it" in message
        assert load(lines.folder / "t.csv", **advised(message))["train_inputs"].shape[1] == 2
    assert doubts(lines.write(near=lambda n: y(n) + 0.1 * DRAWN[n, 1])) == []


def y(n: int) -> float:
    return float(3 * DRAWN[n, 0] + DRAWN[n, 2])


def test_an_input_that_tells_the_class_is_told(lines: Lines) -> None:
    target = lambda n: ["no", "yes"][n % 2]  # noqa: E731
    (message,) = doubts(lines.write(flag=lambda n: n % 2, y=target), of_classes=True)
    assert "column 'flag' tells the target 'y'" in message
    assert doubts(lines.write(flag=lambda n: n % 4, y=target), of_classes=True) == []


def test_a_regression_of_two_numbers_is_told(lines: Lines) -> None:
    (message,) = doubts(lines.write(y=lambda n: n % 2))
    assert message == "column 'y' holds only 0 and 1; task: classification predicts classes"
    assert doubts(lines.write(y=lambda n: n % 3)) == []


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
    assert re.search(rf"column '{name}': .* in validation and .* in training, about .* times {size}", message)


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


# No false alarms


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "linnerud"])
@pytest.mark.parametrize("index", [False, True])
def test_nothing_is_said_of_normal_tables(tmp_path: Path, name: str, index: bool) -> None:
    loaded = getattr(datasets, f"load_{name}")(as_frame=True)
    frame = loaded.frame
    of_classes = name in ("iris", "wine", "breast_cancer")
    if of_classes:
        frame["target"] = [loaded.target_names[number] for number in frame["target"]]
    frame.to_csv(tmp_path / "t.csv", index=index)
    target = "Weight" if name == "linnerud" else "target"
    assert doubts(tmp_path / "t.csv", of_classes, target=target) == []
    with heard_notes() as notes:
        load(tmp_path / "t.csv", of_classes, target=target)
    assert notes == []
    half = len(frame) // 2
    shuffled = frame.sample(frac=1.0, random_state=0)
    shuffled[:half].to_csv(tmp_path / "t.csv", index=index)
    shuffled[half:].to_csv(tmp_path / "v.csv", index=index)
    assert doubts(tmp_path / "t.csv", of_classes, target=target, valid_path=str(tmp_path / "v.csv")) == []
