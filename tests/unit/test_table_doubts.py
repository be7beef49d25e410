"""What may be meant otherwise in a table is said, with the line that reads it; of normal ones, nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_tables import DRAWN, ROWS, Column, Lines, advised, doubts, load, y
from sklearn import datasets

from trainables.data.notes import heard_notes


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(tmp_path)


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


def test_an_input_that_tells_the_class_is_told(lines: Lines) -> None:
    target = lambda n: ["no", "yes"][n % 2]  # noqa: E731
    (message,) = doubts(lines.write(flag=lambda n: n % 2, y=target), of_classes=True)
    assert "column 'flag' tells the target 'y'" in message
    assert doubts(lines.write(flag=lambda n: n % 4, y=target), of_classes=True) == []


def test_a_regression_of_two_numbers_is_told(lines: Lines) -> None:
    (message,) = doubts(lines.write(y=lambda n: n % 2))
    assert message == "column 'y' holds only 0 and 1; task: classification predicts classes"
    assert doubts(lines.write(y=lambda n: n % 3)) == []


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
