"""Tables: CSV files read or refused by line, and encoded by statistics of the training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from trainables.tables.csv_file import read_csv
from trainables.tables.encode import Table, encode, encoded_table, fit_encoding
from trainables.tables.options import CSVOptions
from trainables.tables.read import read_sheets, split_by_class, split_rows
from trainables.tables.sheet import Sheet


def write(folder: Path, text: str | bytes, name: str = "data.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def first_rows_for_training(count: int) -> Any:
    return lambda sheet: (np.arange(count), np.arange(count, len(sheet)))


def read(file: Path, **options: Any) -> Sheet:
    return read_csv(file, CSVOptions(path=str(file), target="y", **options))


def load(file: Path, *, train: int = 0, **options: Any) -> Table:
    """The encoded table whose first `train` rows are for training; all but one without."""
    parsed = CSVOptions(path=str(file), **{"target": "y", **options})
    count = train or len(read_csv(file, parsed)) - 1
    return encoded_table(read_sheets(parsed, first_rows_for_training(count)), parsed)


# Reading


def test_quotes_may_hold_delimiters_line_breaks_and_quotes(tmp_path: Path) -> None:
    sheet = read(write(tmp_path, 'name,y\n"Doe, Jane",1\n"two\nlines",2\n"says ""hi""",3\n'))
    assert sheet.columns["name"] == ["Doe, Jane", "two\nlines", 'says "hi"']
    assert sheet.lines == [2, 3, 5]


def test_a_byte_order_mark_and_other_line_ends_are_no_part_of_names_and_cells(tmp_path: Path) -> None:
    sheet = read(write(tmp_path, b"\xef\xbb\xbfa,y\r\n 1 ,2\r\n\r\n3,4\r\n"))
    assert sheet.columns == {"a": ["1", "3"], "y": ["2", "4"]}
    assert sheet.lines == [2, 4]


def test_other_delimiters_are_read(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a;y\n1,5;2\n"), delimiter=";").columns == {"a": ["1,5"], "y": ["2"]}
    assert read(write(tmp_path, "a\ty\n1\t2\n"), delimiter="\t").columns == {"a": ["1"], "y": ["2"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"data\.csv: is empty; its first row must name the columns"),
        (b"\n\n", r"data\.csv: is empty"),
        (b"a,y\n", "has a header and no rows; there must be at least one"),
        (b"a,y\n1,2\n\n3\n", r"data\.csv:4: has 1 cells and the header 2"),
        (b"a,y\n1,2\n1,2,3\n", r"data\.csv:3: has 3 cells and the header 2; .* need quotes"),
        (b'a,y\n"x\ny",1\n1,2,3\n', r"data\.csv:4: has 3 cells"),
        (b"a,b,a\n1,2,3\n", r"data\.csv:1: 1 names are duplicated, such as 'a'; names must differ"),
        (b"a,,y\n1,2,3\n", r"data\.csv:1: column 2 of 3 has no name"),
        (
            b"a b y\n1 2 3\n",
            r"has the one column 'a b y' with commas, semicolons and tabs.*set data\.delimiter",
        ),
        (
            b"a,y\nM\xfcller,1\n",
            r"not UTF-8 text \(invalid start byte: 0xfc\); save it as UTF-8, or set data\.enc",
        ),
        (b'a,y\n1,2\n"open,2\n', r"data\.csv:3: unexpected end of data"),
        (b'a,y\n"x"z,2\n', r"data\.csv:2: .* expected after"),
    ],
)
def test_a_broken_file_is_refused_by_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path, content))


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.csv: cannot be read: No such file .*; correct the path"):
        read(tmp_path / "nothing.csv")
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        read(tmp_path)


# Encoding


def test_numbers_are_standardized_by_the_training_rows_alone(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal([3.0, -1e6], [0.1, 1e4], (40, 2))
    text = "a,b,y\n" + "".join(f"{a!r},{b!r},0\n" for a, b in rows.tolist())
    table = load(write(tmp_path, text), train=30)
    scaler = StandardScaler().fit(rows[:30])
    np.testing.assert_allclose(table.train, scaler.transform(rows[:30]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(table.valid, scaler.transform(rows[30:]), rtol=1e-5, atol=1e-6)
    assert (table.train.dtype, table.valid.shape) == (np.float32, (10, 2))


def test_missing_numbers_are_the_training_mean(tmp_path: Path) -> None:
    table = load(write(tmp_path, "a,y\n1,0\n,0\nNA,0\n5,0\nnan,0\n"), train=4)
    np.testing.assert_allclose(table.train[:, 0], [-1.0, 0.0, 0.0, 1.0])
    np.testing.assert_array_equal(table.valid, [[0.0]])
    statistics = {"mean": 3.0, "std": 2.0, "low": 1.0, "high": 5.0, "size": 3.0}
    assert table.encoding == [{"name": "a", "kind": "number", **statistics}]


def test_texts_are_one_hot_with_the_training_categories_and_others(tmp_path: Path) -> None:
    table = load(write(tmp_path, "c,y\nred,0\nblue,0\n,0\nred,0\ngreen,0\n"), train=4)
    assert table.encoding == [{"name": "c", "kind": "text", "categories": ["", "blue", "red"]}]
    np.testing.assert_array_equal(table.train, [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_array_equal(table.valid, [[0, 0, 0, 1]])


def test_columns_without_variation_in_the_training_rows_are_left_out(tmp_path: Path) -> None:
    text = "same,empty,word,a,y\n0.1,,x,1,0\n0.1,,x,2,0\n0.1,,x,4,0\n7,3,z,3,0\n"
    table = load(write(tmp_path, text), train=3)
    assert [entry["name"] for entry in table.encoding] == ["a"]
    assert table.valid.shape == (1, 1)
    with pytest.raises(ValueError, match=r"no column varies in the training rows \(a\)"):
        load(write(tmp_path, "a,y\n1,0\n1,0\n2,0\n"), train=2)


def test_a_wrong_cell_is_named_by_line_and_column(tmp_path: Path) -> None:
    file = write(tmp_path, "a,b,y\n1,2,0\n3,4,0\n5,6,0\n7,oops,0\n")
    with pytest.raises(
        ValueError, match=r"data\.csv:5: column 'b': received 'oops'; must be a finite number; if"
    ):
        load(file, train=3)
    for text in ("inf", "1e39", "1_000"):
        with pytest.raises(ValueError, match=f"received '{text}'; must be a finite number"):
            load(write(tmp_path, f"a,y\n1,0\n2,0\n{text},0\n4,0\n", "odd.csv"))
    assert load(file, train=3, missing=["oops"]).valid.shape == (1, 2)
    assert load(file, train=3, text_columns=["b"]).train.shape == (3, 5)


def test_the_target_and_ignored_columns_are_no_inputs(tmp_path: Path) -> None:
    text = "id,a,y\n" + "".join(f"row {n},{n},{n % 2}\n" for n in range(120))
    file = write(tmp_path, text)
    with pytest.raises(
        ValueError, match=r"data\.csv: column 'id' holds 119 distinct texts.*data\.ignore_columns"
    ):
        load(file)
    assert [entry["name"] for entry in load(file, ignore_columns=["id"]).encoding] == ["a"]
    assert load(file, max_categories=119, max_category_share=1.0).train.shape == (119, 121)


def test_columns_that_are_not_there_are_named_with_the_nearest(tmp_path: Path) -> None:
    file = write(tmp_path, "Price,rooms\n1,2\n3,4\n")
    for target, hint in (("price", "'Price'"), ("room", "'rooms'")):
        with pytest.raises(
            ValueError, match=rf"has no column '{target}' \(data\.target\); did you mean {hint}\?"
        ):
            load(file, target=target)
    with pytest.raises(
        ValueError, match=r"has no column 'zip' \(data\.ignore_columns\); it has Price, rooms"
    ):
        load(file, target="Price", ignore_columns=["zip"])
    with pytest.raises(ValueError, match=r"data\.ignore_columns holds the target 'Price'"):
        load(file, target="Price", ignore_columns=["Price"])
    other = write(tmp_path, "Price\tbaths\n1\t2\n", "valid.csv")
    with pytest.raises(ValueError, match=r"valid\.csv: has no column 'rooms' \(which .*data\.csv has\)"):
        load(
            write(tmp_path, "Price\trooms\n1\t2\n3\t4\n"),
            target="Price",
            delimiter="\t",
            valid_path=str(other),
        )


def test_a_second_file_is_for_validation_in_any_order_of_its_columns(tmp_path: Path) -> None:
    file = write(tmp_path, "a,b,y\n1,x,0\n3,z,0\n")
    other = write(tmp_path, "more,y,b,a\n?,0,z,5\n", "valid.csv")
    table = load(file, valid_path=str(other))
    assert len(table.train) == 2
    np.testing.assert_array_equal(table.valid, [[3.0, 0.0, 1.0, 0.0]])


def test_a_path_begins_where_the_search_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "a,y\n1,0\n2,0\n3,1\n")
    monkeypatch.chdir(tmp_path)
    assert len(load(Path("data.csv")).train) == 2


def test_the_encoding_is_that_of_its_statistics_only() -> None:
    columns = {"a": np.array([1.0, np.nan, 3.0]), "c": np.array(["x", "y", "x"])}
    encoding = fit_encoding(columns)
    for row in range(3):
        one = {name: values[row : row + 1] for name, values in columns.items()}
        np.testing.assert_array_equal(encode(one, encoding), encode(columns, encoding)[row : row + 1])


# Splitting


def test_a_split_is_whole_disjoint_and_a_function_of_its_seed() -> None:
    train, valid = split_rows(50, 0.2, 3)
    assert (len(train), len(valid)) == (40, 10)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, valid])), np.arange(50))
    np.testing.assert_array_equal(split_rows(50, 0.2, 3)[1], valid)
    assert not np.array_equal(split_rows(50, 0.2, 4)[1], valid)
    assert [len(part) for part in split_rows(2, 0.99, 0)] == [1, 1]


def test_a_split_by_class_takes_its_share_of_each_class_and_leaves_each_some() -> None:
    labels = np.repeat([0, 1, 2], [50, 10, 1])
    train, valid = split_by_class(labels, 0.2, 0)
    np.testing.assert_array_equal(np.bincount(labels[train]), [40, 8, 1])
    np.testing.assert_array_equal(np.bincount(labels[valid]), [10, 2])
    with pytest.raises(ValueError, match="every class has a single sample"):
        split_by_class(np.arange(3), 0.2, 0)


def test_splits_are_those_that_recorded_searches_were_made_with() -> None:
    assert split_rows(12, 0.3, 7)[1].tolist() == [0, 4, 6, 10]
    assert split_by_class(np.array(list("aababcbacbab")), 0.34, 7)[1].tolist() == [0, 4, 6, 8, 10]
