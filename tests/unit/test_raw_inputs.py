"""Arrays of a program as inputs of an exported model: converted as its files are, or refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from trainables.predicting.inference import ImageInputs, RowInputs
from trainables.predicting.pixels import as_pixels
from trainables.predicting.rows import as_rows, raw_columns, unknown_texts

GREY = ImageInputs(channels=1, mean=(0.5,), std=(0.2,))
RGB = ImageInputs(channels=3, mean=(0.5,) * 3, std=(0.2,) * 3)
DEEP = ImageInputs(channels=1, mean=(0.5,), std=(0.2,), range=(1000.0, 2020.0))
ROWS = RowInputs(
    columns=[
        {"name": "size", "kind": "number", "mean": 10.0, "std": 2.0},
        {"name": "town", "kind": "text", "categories": ["", "Bern", "Bonn"]},
    ],
    decimal=",",
    missing=("", "NA"),
)


@pytest.mark.parametrize(
    ("inputs", "shape", "expected"),
    [
        (GREY, (4, 5), (1, 4, 5, 1)),
        (GREY, (4, 5, 1), (1, 4, 5, 1)),
        (GREY, (2, 4, 5, 1), (2, 4, 5, 1)),
        (RGB, (4, 5, 3), (1, 4, 5, 3)),
        (RGB, (4, 5), (1, 4, 5, 3)),
        (RGB, (4, 5, 1), (1, 4, 5, 3)),
    ],
)
def test_one_image_or_several_of_the_channels_of_the_training(
    inputs: ImageInputs, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    found, alone = as_pixels(np.zeros(shape, np.uint8), inputs)
    assert found.shape == expected
    assert alone is (len(shape) < 4)


@pytest.mark.parametrize(
    ("inputs", "given", "message"),
    [
        (RGB, np.zeros((4, 5, 4), np.uint8), r"of 4 channels; they must be \[H, W, 3\].*Image.open\(file\)"),
        (
            GREY,
            np.zeros((2, 4, 5), np.uint8),
            r"of 5 channels; they must be .*several greys are \[N, H, W, 1\]",
        ),
        (RGB, np.zeros((4, 5, 3)), "images of float64; they must be uint8 from 0 to 255"),
        (GREY, np.zeros((4, 5), np.uint16), "images of uint16; they must be uint8"),
        (GREY, np.zeros(4, np.uint8), r"an array \[4\]"),
        (GREY, np.zeros((0, 5, 1), np.uint8), "of 1 or more pixels"),
        (
            RGB,
            [np.zeros((4, 5, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)],
            r"\[4, 5, 3\] and \[4, 6, 3\].*one by",
        ),
        (RGB, "nowhere.png", "nowhere.png: there is no such file"),
        (DEEP, np.full((4, 5), np.nan), "NaN or infinite"),
        (DEEP, np.zeros((4, 5), bool), "images of bool; they must be numbers from"),
        (
            ImageInputs(channels=1, mean=(0.5,), std=(0.2,), size=(8, 8)),
            np.zeros((4, 5), np.uint8),
            "is 5x4, and the training images were 8x8",
        ),
    ],
)
def test_other_images_are_refused(inputs: ImageInputs, given: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_pixels(given, inputs)


def test_values_of_more_than_8_bits_become_those_of_the_training() -> None:
    with pytest.warns(UserWarning, match=r"40% of the values are outside of \[1000, 2020\]"):
        found, _ = as_pixels(np.array([[0, 1000, 1004, 2020, 9999]], np.uint16), DEEP)
    assert found.ravel().tolist() == [0, 0, 1, 255, 255]
    eight, _ = as_pixels(np.array([[0, 7, 255]], np.uint8), DEEP)  # as files of 8 bits among them
    assert eight.ravel().tolist() == [0, 7, 255]


@pytest.mark.parametrize("inputs", [GREY, RGB, DEEP], ids=["grey", "rgb", "deep"])
@pytest.mark.parametrize("kind", ["turned", "palette", "transparent", "deep"])
def test_an_opened_image_is_that_of_its_file(inputs: ImageInputs, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8))
    exif = picture.getexif()
    exif[ExifTags.Base.Orientation] = 6
    if kind == "deep":
        picture = Image.fromarray(np.linspace(1000, 2020, 48).reshape(8, 6).astype(np.uint16))
    elif kind != "turned":
        picture = picture.quantize(16) if kind == "palette" else picture.convert("RGBA")
    picture.save(file, exif=exif)
    reading = inputs.reading
    if kind == "deep" and inputs is not DEEP:
        for given in (file, str(file), Image.open(file)):
            with pytest.raises(ValueError, match=r"image.png: has more than 8 bits"):
                as_pixels(given, inputs)
        return
    expected = np.asarray(reading.pixels(file))
    assert expected.shape[:2] == (6, 8)  # upright
    for given in (file, str(file), Image.open(file)):
        found, alone = as_pixels(given, inputs)
        np.testing.assert_array_equal(found, expected[None])
        assert alone
    found, alone = as_pixels([file, Image.open(file)], inputs)
    np.testing.assert_array_equal(found, np.stack([expected, expected]))
    assert not alone


EXPECTED = np.array(
    [[1.0, 0, 1, 0, 0], [0.0, 0, 0, 1, 0], [-1.0, 1, 0, 0, 0], [0.25, 0, 0, 0, 1]], np.float32
)


@pytest.mark.parametrize(
    "given",
    [
        {"size": ["12", "NA", " 8 ", "10,5"], "town": [" Bern", "Bonn", "", "Rome"]},
        {"town": ["Bern", "Bonn", None, "Rome"], "size": [12, None, 8.0, 10.5], "other": [1, 2, 3, 4]},
        np.array([[12, "Bern"], [np.nan, "Bonn"], ["8", np.nan], [10.5, "Rome"]], object),
    ],
)
def test_rows_by_column_or_as_an_array_are_encoded_as_in_training(given: Any) -> None:
    with pytest.warns(UserWarning, match="'town' holds texts that no training row has, such as 'Rome'"):
        found, alone = as_rows(given, ROWS)
    np.testing.assert_array_equal(found, EXPECTED)
    assert not alone


def test_one_row_is_one() -> None:
    for given in ({"size": 12, "town": "Bern"}, np.array([12, "Bern"], object)):
        found, alone = as_rows(given, ROWS)
        np.testing.assert_array_equal(found, EXPECTED[:1])
        assert alone


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"town": ["Bern"]}, "no column 'size'; there must be size, town"),
        ({"size": [1, 2], "town": ["Bern"]}, r"other lengths: size \[2\], town \[1\]"),
        (np.zeros((2, 3)), r"an array \[2, 3\]; rows must be \[N, 2\], with the columns size, town"),
        ({"size": ["1,5", "1.5"], "town": ["a", "b"]}, "row 1: column 'size': received '1.5'"),
        ({"size": [np.inf], "town": ["a"]}, "row 0: column 'size': received inf"),
        ({"size": [True, [1]], "town": ["a", "b"]}, "row 1: column 'size'"),
        ({"size": [], "town": []}, "received no rows"),
        ([[1, "Bern"], [2]], "rows of other lengths"),
        (np.array([["1.5", "Bern"]]), r'texts, where .*data.decimal: ",".*dtype=object'),
    ],
)
def test_other_rows_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_rows(given, ROWS)


def test_texts_that_no_training_row_has_are_named() -> None:
    columns = raw_columns({"size": [1, 2, 3], "town": ["Rome", "Bern", ""]}, ROWS)
    assert unknown_texts(columns, ROWS) == {"town": ["Rome"]}


OF_TRAINING = {"low": 10.0, "high": 90.0, "size": 40.0}


def of_sizes(**of_training: float) -> RowInputs:
    column = {"name": "size", "kind": "number", "mean": 40.0, "std": 20.0, **of_training}
    return RowInputs(columns=[column], missing=("",))


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        (
            [12_000, 30_000, 45_000, 60_000, 9_000],
            "and 10 to 90 in training; about 750 times as large",
        ),
        (
            [0.01, 0.04, 0.09, 0.05, 0.02],
            "0.01 to 0.09 here and 10 to 90 in training; about 1,000 times",
        ),
        ([95, 100, 120, 140, 150], "95 to 150 here and 10 to 90 in training; these ranges do not overlap"),
        ([-95, -10, -20, -40, -50], "these ranges do not overlap: are the units the same?"),
        ([40_000], "40000 to 40000 here and 10 to 90 in training; far beyond all of it"),
        ([np.nan] * 9, ""),
        ([40.0, np.nan], ""),
        ([0.04], ""),  # one alone may be as small
        ([200], ""),
        ([85, 100, 120, 140, 150], ""),
        ([0, 0, 0, 0, 30], ""),
    ],
    ids=str,
)
def test_numbers_of_another_magnitude_than_those_of_the_training_are_told(
    sizes: list[float], told: str
) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        as_rows({"size": sizes}, of_sizes(**OF_TRAINING))
    assert [told in str(each.message) for each in heard] == ([True] if told else [])


def test_nothing_is_told_by_an_export_that_has_no_magnitudes() -> None:
    with warnings.catch_warnings(action="error"):
        as_rows({"size": [40_000.0] * 9}, of_sizes())


TABLE = """size;on;zip;lot
12,5;true;0202;-999
13;false;202,5;7
;true;0202;8
"""


def test_a_table_that_pandas_has_read_is_that_of_the_file(tmp_path: Path) -> None:
    """pandas makes True of `true`, 202.0 of 0202 where a row is empty, and keeps -999."""
    pandas = pytest.importorskip("pandas")
    inputs = RowInputs(
        columns=[
            {"name": "size", "kind": "number", "mean": 10.0, "std": 2.0},
            {"name": "on", "kind": "text", "categories": ["false", "true"]},
            {"name": "zip", "kind": "text", "categories": ["0202", "202,5"]},
            {"name": "lot", "kind": "number", "mean": 7.0, "std": 1.0},
        ],
        decimal=",",
        thousands=".",
        missing=("", "-999"),
    )
    (tmp_path / "t.csv").write_text(TABLE)
    frame = pandas.read_csv(tmp_path / "t.csv", sep=";", decimal=",")
    assert [str(frame[name].dtype) for name in ("on", "zip")] == ["bool", "float64"]
    cells = [line.split(";") for line in TABLE.splitlines()]
    of_file = {name: [row[n] for row in cells[1:]] for n, name in enumerate(cells[0])}
    expected, _ = as_rows(of_file, inputs)
    with warnings.catch_warnings(action="error"):
        np.testing.assert_array_equal(as_rows(frame, inputs)[0], expected)
        nullable = frame.convert_dtypes()
        np.testing.assert_array_equal(as_rows(nullable, inputs)[0], expected)
        rows = [[12.5, "true", "0202", "-999"], [13, "false", 202.5, 7], [None, True, 202, 8.0]]
        np.testing.assert_array_equal(as_rows(rows, inputs)[0], expected)
