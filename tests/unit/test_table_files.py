"""Tables as other programs write them have the right values, or are refused with the line that reads them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trainables.classification.data import read_class_sheets
from trainables.classification.options import ClassCSVOptions
from trainables.classification.task import ClassificationTask
from trainables.regression.options import NumberCSVOptions
from trainables.regression.task import RegressionTask
from trainables.tables.numbers import PLAIN, Notation, hint
from trainables.tables.options import CSVOptions
from trainables.tables.read import Sheet, read_sheets

AREAS = [0.621, 1234.5, -7.25, 12.0]


def sheet_of(folder: Path, content: str | bytes, **options: Any) -> Sheet:
    """All rows of a file, with the target y."""
    file = folder / "data.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    parsed = NumberCSVOptions(source="csv", path=str(file), **{"target": "y", **options})
    return read_sheets(parsed, lambda sheet: (np.arange(len(sheet)), np.arange(0))).train


def regression(folder: Path, content: str, **options: Any) -> dict[str, np.ndarray]:
    file = folder / "data.csv"
    file.write_text(content)
    data = {"source": "csv", "path": str(file), "target": "y", **options}
    return RegressionTask.load_data(RegressionTask.Options.model_validate({"data": data, **_REST}))


_REST = {"optimizer": {"name": "sgd", "lr": 0.1}, "batch_size": 2}


def table(cells: Sequence[str]) -> str:
    """A column `area` of these cells, quoted, and a target of plain numbers, 20 rows in all."""
    return "area,y\n" + "".join(f'"{cells[row % len(cells)]}",{row}\n' for row in range(20))


# Numbers

NOTATIONS: dict[str, tuple[Callable[[float], str], dict[str, str]]] = {
    "decimal comma": (lambda v: f"{v}".replace(".", ","), {"decimal": ","}),
    "English thousands": (lambda v: f"{v:,}", {"thousands": ","}),
    "German": (
        lambda v: f"{v:,}".replace(",", "_").replace(".", ",").replace("_", "."),
        {"decimal": ",", "thousands": "."},
    ),
    "French": (
        lambda v: f"{v:,}".replace(",", "\u202f").replace(".", ","),
        {"decimal": ",", "thousands": " "},
    ),
    "Swiss": (lambda v: f"{v:,}".replace(",", "\u2019"), {"thousands": "'"}),
    "typeset minus": (lambda v: f"{v}".replace("-", "\u2212"), {}),
}


@pytest.mark.parametrize("name", NOTATIONS)
def test_numbers_in_another_notation_have_their_values(tmp_path: Path, name: str) -> None:
    write, options = NOTATIONS[name]
    arrays = regression(tmp_path, table([write(value) for value in AREAS]), **options)
    plain = regression(tmp_path, table([str(value) for value in AREAS]))
    np.testing.assert_array_equal(arrays["train_inputs"], plain["train_inputs"])
    assert arrays["train_inputs"].shape[1] == 1


@pytest.mark.parametrize("name", [name for name in NOTATIONS if NOTATIONS[name][1]])
def test_another_notation_is_refused_with_the_options_that_read_it(tmp_path: Path, name: str) -> None:
    write, options = NOTATIONS[name]
    with pytest.raises(ValueError, match=r"column 'area'.* such as") as refused:
        regression(tmp_path, table([write(value) for value in AREAS]))
    for option, mark in options.items():
        assert f'data.{option}: "{mark}"' in str(refused.value)


@pytest.mark.parametrize(
    ("texts", "proposed"),
    [
        (["1,234", "5,678"], 'data.decimal: "," or data.thousands: "," reads them'),
        (["12 kg", "13.5 kg"], "with a unit, such as '13.5 kg': write them without it"),
        (["45 %", "3%"], "with a unit, such as '45 %'"),
        (["$12", "$13.50"], "with a unit, such as '$13.50'"),
    ],
)
def test_what_reads_texts_that_are_nearly_numbers_is_said(texts: list[str], proposed: str) -> None:
    assert proposed in hint(texts)


@pytest.mark.parametrize(
    "texts",
    [
        ["red", "blue"],
        ["A12", "B13"],
        ["1st", "2nd"],
        ["2024-01-05", "2024-02-05"],
        ["10:30", "11:45"],
        ["1", "2.5"],
    ],
    ids=str,
)
def test_texts_and_plain_numbers_are_not_taken_for_numbers_in_another_notation(texts: list[str]) -> None:
    assert hint(texts) == ""


def test_digits_are_grouped_by_three_or_the_text_is_no_number() -> None:
    english, german = Notation(thousands=","), Notation(",", ".")
    assert [english.number(text) for text in ("1,234", "-12,345,678.5", "12")] == [1234.0, -12345678.5, 12.0]
    assert [english.number(text) for text in ("1,23", "1234,567", "1,234.5,6", "0,123")] == [None] * 4
    assert [german.number(text) for text in ("1.234,5", "0,5", "1.5")] == [1234.5, 0.5, None]
    assert [PLAIN.number(text) for text in ("1e3", "1_000", "1 000", "inf", "1e39", "")] == [
        1000.0,
        *[None] * 5,
    ]


def test_equal_marks_for_decimals_and_thousands_are_refused() -> None:
    with pytest.raises(ValueError, match="decimal and thousands are both ','; they must differ"):
        NumberCSVOptions(source="csv", path="a.csv", target="y", decimal=",", thousands=",")


# Missing values

SPELLINGS = ["", "NA", "NaN", "nan", "null", "NULL", "None", "n/a", "#N/A", "<NA>"]


def test_each_spelling_of_a_missing_value_is_one() -> None:
    frame = pd.read_csv(io.StringIO("a\n" + "\n".join(f'"{text}"' for text in SPELLINGS)))
    assert frame["a"].isna().all()
    options = ClassCSVOptions(source="csv", path="a.csv", target="y")
    assert set(SPELLINGS) <= {"", *options.missing}


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_missing_target_is_never_a_class(tmp_path: Path, text: str) -> None:
    file = tmp_path / "data.csv"
    file.write_text(
        "a,y\n" + "".join(f"{n},{'cat' if n % 2 else 'dog'}\n" for n in range(20)) + f'7,"{text}"\n'
    )
    data = {"source": "csv", "path": str(file), "target": "y"}

    def load(**options: Any) -> dict[str, np.ndarray]:
        task = {"model": {"name": "mlp"}, **_REST, "data": {**data, **options}}
        return ClassificationTask.load_data(ClassificationTask.Options.model_validate(task))

    with pytest.raises(ValueError, match=r"data\.csv:22: column 'y': is .*data\.missing_targets: drop"):
        load()
    dropped = load(missing_targets="drop")
    assert dropped["class_names"].tolist() == ["cat", "dog"]
    assert len(dropped["train_targets"]) + len(dropped["valid_targets"]) == 20
    if text:
        with pytest.raises(ValueError, match=r", and data\.missing: \[\] makes a class of it"):
            load()
        assert text in load(missing=[])["class_names"]


def test_missing_texts_of_a_column_are_one_category(tmp_path: Path) -> None:
    arrays = regression(tmp_path, table(["red", "NA", "", "blue"]))
    assert '"categories": ["", "blue", "red"]' in str(arrays["preprocessing"])


# Columns


def test_the_index_that_pandas_writes_is_no_input(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(20) % 7, "y": np.arange(20) % 5}).sample(frac=1.0, random_state=0)
    arrays = regression(tmp_path, frame.to_csv())
    assert '"name": "a"' in str(arrays["preprocessing"])
    assert arrays["train_inputs"].shape[1] == 1
    frame.to_csv(tmp_path / "once.csv")
    twice = pd.read_csv(tmp_path / "once.csv").to_csv(index=False)
    np.testing.assert_array_equal(regression(tmp_path, twice)["train_inputs"], arrays["train_inputs"])


def test_a_column_without_a_name_that_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"column 1 of 2 has no name; .* data\.ignore_columns if it is no input$"
    ):
        sheet_of(tmp_path, ",y\n1,2\n1,3\n")
    with pytest.raises(ValueError, match="column 3 of 3 has no name"):
        sheet_of(tmp_path, "a,y,\n1,2,\n1,3,4\n")
    with pytest.raises(ValueError, match=r"has 3 cells and the header 2.* as R writes it"):
        sheet_of(tmp_path, '"a","y"\n"1",5,2\n"2",6,3\n')


def test_texts_that_hardly_repeat_are_refused_as_categories(tmp_path: Path) -> None:
    names = [f"name {row}" for row in range(20)]
    with pytest.raises(
        ValueError, match=r"16 distinct texts in 16 rows.* data\.max_category_share is 0\.5; put"
    ):
        regression(tmp_path, table(names))
    assert regression(tmp_path, table(names[:9]))["train_inputs"].shape[1] == 10
    assert regression(tmp_path, table(names), max_category_share=1.0)["train_inputs"].shape[1] == 17


# Files

LINES = "näme,y\nMüller,1\nJørgen,2\n"


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (LINES.encode("utf-8-sig"), {}),
        (LINES.encode("utf-16"), {}),
        (LINES.encode("cp1252"), {"encoding": "cp1252"}),
        (gzip.compress(LINES.encode()), {}),
        (bz2.compress(LINES.encode("utf-16")), {}),
        (lzma.compress(LINES.encode("utf-8-sig")), {}),
    ],
    ids=["mark", "utf-16", "cp1252", "gzip", "bzip2 of utf-16", "xz with mark"],
)
def test_encodings_and_compressions_are_read_alike(
    tmp_path: Path, content: bytes, options: dict[str, str]
) -> None:
    assert sheet_of(tmp_path, content, **options).columns == {"näme": ["Müller", "Jørgen"], "y": ["1", "2"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04rest", "is a zip archive or an Excel workbook; unpack it, or save it as CSV"),
        (b"<!DOCTYPE html>\n<p>Not found", "is a page of HTML, .*; copy the table again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not fetched; run: git lfs pull"),
        (b'[{"a": 1}]', "is JSON; save it as CSV"),
        (b"a,b,y\nx,1,2\nz,3,4\nTotal,4,6\n", "csv:4: the last row holds 'Total', .*data.comment: 'Total'"),
        (b"PAR1rest", "is a Parquet file; save it as CSV"),
        (gzip.compress(b"a,y\n1,2\n" * 100)[:-9], "cannot be decompressed .*; copy it again"),
        (b"# made by hand\na,y\n1,2\n", r"data\.comment: '#' leaves out lines"),
        (LINES.encode("cp1252"), "not UTF-8 text .*set data.encoding, such as cp1252"),
    ],
    ids=["zip", "html", "lfs", "json", "totals", "parquet", "cut off", "comment", "cp1252"],
)
def test_what_is_no_table_yet_is_refused_with_the_way_out(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sheet_of(tmp_path, content)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(ValueError, match="must be an encoding that Python knows"):
        NumberCSVOptions(source="csv", path="a.csv", target="y", encoding="utf-99")


def test_comments_are_left_out_but_not_inside_of_quotes(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, '# made by\n# hand\nname,y\n"two\n# lines",1\n# more\nx,2\n', comment="#")
    assert sheet.columns == {"name": ["two\n# lines", "x"], "y": ["1", "2"]}
    assert sheet.lines == [4, 7]


@pytest.mark.parametrize(
    ("stray", "numbers"), [("inf", "1 2 3"), ("?", "10 20 30"), ("Total", "1 2 3"), ("[s]", "1.5 2.5 3.5")]
)
def test_a_stray_text_among_numbers_is_not_taken_for_a_number_in_another_notation(
    stray: str, numbers: str
) -> None:
    texts = [stray, *(f"{n}{number}" for n in range(1, 9) for number in numbers.split())]
    assert hint(texts) == ""


@pytest.mark.parametrize("texts", [["(1.5)", "2.5", "3.5"], ["1.5-", "2.5", "3.5"], ["(1.5)", "(2.5)"]])
def test_negative_numbers_of_accounts_are_named(texts: list[str]) -> None:
    assert "negative numbers such as" in hint(texts)
    assert hint(texts).endswith("write them as -1.5")


@pytest.mark.parametrize(
    "content",
    [
        b"a, x;y\n1,5;2\n3,5;4\n",
        b"a, x\ty\n1,5\t2\n3,5\t4\n",
        b'"a, x"|"y"\n"1,5"|"2"\n"3,5"|"4"\n',
        b'"a, x","y"\n"1,5",2\n"3,5",4\n',
    ],
)
def test_the_delimiter_is_recognized(tmp_path: Path, content: bytes) -> None:
    assert sheet_of(tmp_path, content).columns == {"a, x": ["1,5", "3,5"], "y": ["2", "4"]}


@pytest.mark.parametrize("classes", [("Cat", "cat"), ("New York", "new  york"), ("1", "1.0"), ("1", "+1")])
def test_one_class_written_in_two_ways_is_refused(tmp_path: Path, classes: tuple[str, str]) -> None:
    rows = "".join(f"{n},{(*classes, 'dog')[n % 3]}\n" for n in range(12))
    (tmp_path / "c.csv").write_text(f"a,y\n{rows}")
    options = ClassCSVOptions(source="csv", path=str(tmp_path / "c.csv"), target="y")
    with pytest.raises(ValueError, match="would be two classes; write a class in one way"):
        read_class_sheets(options)


def test_letters_are_classes_by_their_case(tmp_path: Path) -> None:
    rows = "".join(f"{n},{'aAb'[n % 3]}\n" for n in range(12))
    (tmp_path / "c.csv").write_text(f"x,y\n{rows}")
    options = ClassCSVOptions(source="csv", path=str(tmp_path / "c.csv"), target="y")
    assert set(read_class_sheets(options).train.columns["y"]) == {"a", "A", "b"}


def test_texts_that_are_missing_are_added_to_those_of_pandas() -> None:
    given = CSVOptions(path="t.csv", target="y", missing=("?",)).missing
    assert {"?", "NA", "NaN"} <= set(given)
    assert CSVOptions(path="t.csv", target="y", missing=()).missing == ()
