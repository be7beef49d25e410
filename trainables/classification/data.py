"""The arrays of a classification of built-in images or of a table.

For part "train" and "valid": `{part}_inputs`, images uint8 [N, H, W, C] or encoded rows float32 [N, F], and
`{part}_targets` int64 [N]. Besides `class_names` [K] and `class_counts` int64 [K] of the training samples;
for images `mean` and `std` float32 [C] of the training images, 1 being the value 255; for a table
`preprocessing`, a text of JSON. Images in files have arrays of their own, see `trainables.images.loading`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from trainables.classification.options import BreastCancerOptions, ClassCSVOptions, DataOptions, DigitsOptions
from trainables.data.fingerprint import Fingerprint
from trainables.folds.assign import rows_in_folds
from trainables.images.fingerprint import image_fingerprint
from trainables.images.loading import load_images
from trainables.images.options import ImageOptions
from trainables.images.statistics import mean_and_std, pixel_sums
from trainables.images.targets import NO_CLASS
from trainables.imported_options import ImportedData
from trainables.supervised.datasets import load_own_data
from trainables.tables.doubts import note_doubts
from trainables.tables.encode import Table, encoded_table, plain_table
from trainables.tables.read import (
    Sheets,
    Split,
    check_targets,
    named_by,
    read_sheets,
    split_by_class,
    table_fingerprint,
)
from trainables.tables.sheet import Sheet
from trainables.tables.shift import respelled
from trainables.tables.spelling import in_two_ways, quoted

Arrays = dict[str, np.ndarray]

HOW_TO_READ = "softmax of the outputs gives the probabilities of `class_names`"


def load_arrays(options: DataOptions) -> Arrays:
    """Read what the options name.

    Raises:
        ValueError: naming the file, and for a table the line and the column, that is wrong.
    """
    if isinstance(options, DigitsOptions):
        return _digits(options)
    if isinstance(options, ImageOptions):
        return load_images(options)
    if isinstance(options, ImportedData):
        return load_own_data(options, masks=False, ignored=NO_CLASS)
    if isinstance(options, BreastCancerOptions):
        return _breast_cancer(options)
    return _csv(options)


def fingerprint(options: DataOptions) -> Fingerprint | None:
    """That of the files which the options name; None for data that come with a library."""
    if isinstance(options, ImageOptions):
        return image_fingerprint(options)
    return table_fingerprint(options) if isinstance(options, ClassCSVOptions) else None


def _digits(options: DigitsOptions) -> Arrays:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8, 1).astype(np.uint8)
    labels = labels.astype(np.int64)
    train, valid = _split(options, labels, "digits")
    names = [str(digit) for digit in range(10)]
    mean, std = mean_and_std(pixel_sums(images[train]))
    arrays = _arrays((images[train], images[valid]), (labels[train], labels[valid]), names)
    return {**arrays, "mean": mean, "std": std}


def _breast_cancer(options: BreastCancerOptions) -> Arrays:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    labels = data.target.astype(np.int64)
    train, valid = _split(options, labels, "breast_cancer")
    table = plain_table(data.data, [str(name) for name in data.feature_names], (train, valid))
    return _table_arrays(table, (labels[train], labels[valid]), [str(name) for name in data.target_names])


def _split(options: DigitsOptions | BreastCancerOptions, labels: np.ndarray, where: str) -> Split:
    if options.folds is None:
        return split_by_class(labels, options.valid_fraction, options.split_seed)
    folds = rows_in_folds(options, len(labels), where)
    return folds.train, folds.valid


def read_class_sheets(options: ClassCSVOptions) -> Sheets:
    """The rows of training and of validation, of each class its share; some may be without a target."""

    def check_classes(sheet: Sheet) -> None:
        if len(sheet.present(options.target)) == len(sheet):
            _class_names(sheet, options.target)

    def split(sheet: Sheet) -> tuple[np.ndarray, np.ndarray]:
        check_classes(sheet)
        try:
            labels = np.array(sheet.columns[options.target])
            return split_by_class(labels, options.valid_fraction, options.split_seed)
        except ValueError as error:
            raise ValueError(f"{sheet.file}: column {options.target!r}: {error}") from error

    sheets = read_sheets(options, split)
    if options.valid_path is not None:
        check_classes(sheets.train)
    return sheets


def _csv(options: ClassCSVOptions) -> Arrays:
    sheets = read_class_sheets(options)
    for sheet in sheets:
        check_targets(sheet, options.target, of_classes=True)
    names = _class_names(named_by(sheets, options), options.target)
    labels = _labels(sheets, options.target, names)
    table = encoded_table(sheets, options)
    note_doubts(sheets, options, of_classes=True)
    return _table_arrays(table, labels, names)


def _class_names(sheet: Sheet, target: str) -> list[str]:
    """The classes of these rows, whole numbers in their order.

    Raises:
        ValueError: if there is one class only, or nearly as many as rows.
    """
    texts, where = sheet.columns[target], f"{sheet.file}: column {target!r}"
    names = sorted(set(texts))
    if len(names) < 2:
        raise ValueError(f"{where}: holds {names[0]!r} only; a target must have at least two classes")
    if len(names) > max(2, len(texts) // 2):
        raise ValueError(
            f"{where}: holds {len(names)} distinct texts in {len(texts)} rows, such as {names[0]!r}; classes "
            "must repeat: use task: regression for a quantity"
        )
    if pair := in_two_ways(names):
        alike = " and ".join(map(quoted, pair))
        raise ValueError(f"{where}: holds {alike}, which would be two classes; write a class in one way")
    if all(name.lstrip("+-").isdecimal() for name in names):
        names.sort(key=int)
    return names


def _labels(sheets: Sheets, target: str, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    number = {name: index for index, name in enumerate(names)}
    for row, text in enumerate(sheets.valid.columns[target]):
        if text not in number:
            way_out = f"add rows of it to {sheets.train.file}, or remove these"
            if pair := respelled([text], names):
                way_out = f"write it as there, {quoted(pair[1])}"
            raise ValueError(
                f"{sheets.valid.cell(row, target)}: received {text!r}, which no training row has; must be "
                f"one of their {len(names)} classes: {way_out}"
            )
    train, valid = (
        np.array([number[text] for text in sheet.columns[target]], np.int64)
        for sheet in (sheets.train, sheets.valid)
    )
    return train, valid


def _table_arrays(table: Table, labels: tuple[np.ndarray, np.ndarray], class_names: Sequence[str]) -> Arrays:
    preprocessing = {**table.preprocessing(HOW_TO_READ), "class_names": list(class_names)}
    arrays = _arrays((table.train, table.valid), labels, class_names)
    return {**arrays, "preprocessing": np.array(json.dumps(preprocessing))}


def _arrays(
    inputs: tuple[np.ndarray, np.ndarray], labels: tuple[np.ndarray, np.ndarray], class_names: Sequence[str]
) -> Arrays:
    return {
        "train_inputs": inputs[0],
        "train_targets": labels[0],
        "valid_inputs": inputs[1],
        "valid_targets": labels[1],
        "class_names": np.array(class_names, np.str_),
        "class_counts": np.bincount(labels[0], minlength=len(class_names)),
    }
