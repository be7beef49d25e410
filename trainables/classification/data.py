"""The arrays of a classification, whatever its data come from.

For part "train" and "valid": `{part}_inputs`, images uint8 [N, H, W, C] or encoded rows float32 [N, F], and
`{part}_labels` int64 [N]. Besides `class_names` [K], `preprocessing` (a text of JSON), and for images `mean`
and `std` float32 [C] of the training images, 1 being the value 255. Of shards, all these are of the samples
that were looked at, and the index of all is there besides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from trainables.classification.options import (
    BreastCancerOptions,
    ClassCSVOptions,
    ClassShardsOptions,
    DigitsOptions,
    ImagesOptions,
)
from trainables.images.class_folder import load_image_folder
from trainables.images.class_shards import look_at_shards
from trainables.images.statistics import mean_and_std, pixel_sums
from trainables.tables.encode import Table, encoded_table, plain_table
from trainables.tables.read import Sheet, Sheets, read_sheets, split_by_class, targets_of

Arrays = dict[str, np.ndarray]
DataOptions = DigitsOptions | ImagesOptions | ClassShardsOptions | BreastCancerOptions | ClassCSVOptions

HOW_TO_READ = "softmax of the outputs gives the probabilities of `class_names`"


def load_arrays(options: DataOptions) -> Arrays:
    """Read what the options name.

    Raises:
        ValueError: naming the file, and for a table the line and the column, that is wrong.
    """
    if isinstance(options, DigitsOptions):
        return _digits(options)
    if isinstance(options, ImagesOptions):
        folder = load_image_folder(options)
        return _image_arrays(folder.inputs, folder.labels, folder.class_names, {"resize": options.resize})
    if isinstance(options, ClassShardsOptions):
        indexes, (train_images, train_labels), (valid_images, valid_labels) = look_at_shards(options)
        images, labels = (train_images, valid_images), (train_labels, valid_labels)
        return _image_arrays(images, labels, options.class_names, {"resize": options.resize}) | indexes
    if isinstance(options, BreastCancerOptions):
        return _breast_cancer(options)
    return _csv(options)


def _digits(options: DigitsOptions) -> Arrays:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8, 1).astype(np.uint8)
    labels = labels.astype(np.int64)
    train, valid = split_by_class(labels, options.valid_fraction, options.split_seed)
    names = [str(digit) for digit in range(10)]
    return _image_arrays((images[train], images[valid]), (labels[train], labels[valid]), names, {})


def _image_arrays(
    images: tuple[np.ndarray, np.ndarray],
    labels: tuple[np.ndarray, np.ndarray],
    class_names: Sequence[str],
    more: dict[str, Any],
) -> Arrays:
    mean, std = mean_and_std(pixel_sums(images[0]))
    height, width, channels = images[0].shape[1:]
    resize = (
        "the shorter side is scaled to `resize` and the middle square kept; " if more.get("resize") else ""
    )
    preprocessing = {
        "how": f"{resize}a pixel of each channel is (value / 255 - mean) / std, images are [N, C, H, W]; "
        f"{HOW_TO_READ}",
        **more,
        "height": height,
        "width": width,
        "channels": channels,
        "mean": mean.tolist(),
        "std": std.tolist(),
    }
    return _arrays(images, labels, class_names, preprocessing) | {"mean": mean, "std": std}


def _breast_cancer(options: BreastCancerOptions) -> Arrays:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    labels = data.target.astype(np.int64)
    train, valid = split_by_class(labels, options.valid_fraction, options.split_seed)
    table = plain_table(data.data, [str(name) for name in data.feature_names], (train, valid))
    return _table_arrays(table, (labels[train], labels[valid]), [str(name) for name in data.target_names])


def read_class_sheets(options: ClassCSVOptions) -> Sheets:
    """The rows of training and of validation, of each class its share."""

    def split(sheet: Sheet) -> tuple[np.ndarray, np.ndarray]:
        _class_names(sheet, options.target)
        try:
            labels = np.array(sheet.columns[options.target])
            return split_by_class(labels, options.valid_fraction, options.split_seed)
        except ValueError as error:
            raise ValueError(f"{sheet.file}: column {options.target!r}: {error}") from error

    return read_sheets(options, split)


def _csv(options: ClassCSVOptions) -> Arrays:
    sheets = read_class_sheets(options)
    names = _class_names(sheets.train, options.target)
    labels = _labels(sheets, options.target, names)
    return _table_arrays(encoded_table(sheets, options), labels, names)


def _class_names(sheet: Sheet, target: str) -> list[str]:
    """The classes of these rows, whole numbers in their order.

    Raises:
        ValueError: if there is one class only, or nearly as many as rows.
    """
    texts, where = targets_of(sheet, target), f"{sheet.file}: column {target!r}"
    names = sorted(set(texts))
    if len(names) < 2:
        raise ValueError(f"{where}: holds {names[0]!r} only; a target must have two classes at least")
    if len(names) > max(2, len(texts) // 2):
        raise ValueError(
            f"{where}: holds {len(names)} different texts in {len(texts)} rows, as {names[0]!r}; classes "
            "must repeat: use task: regression for a quantity"
        )
    if all(name.lstrip("+-").isdecimal() for name in names):
        names.sort(key=int)
    return names


def _labels(sheets: Sheets, target: str, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    number = {name: index for index, name in enumerate(names)}
    for row, text in enumerate(targets_of(sheets.valid, target)):
        if text not in number:
            raise ValueError(
                f"{sheets.valid.cell(row, target)}: received {text!r}, which no training row has; must be "
                f"one of their {len(names)} classes: add rows of it to {sheets.train.file}, or remove these"
            )
    train, valid = (
        np.array([number[text] for text in sheet.columns[target]], np.int64)
        for sheet in (sheets.train, sheets.valid)
    )
    return train, valid


def _table_arrays(table: Table, labels: tuple[np.ndarray, np.ndarray], class_names: Sequence[str]) -> Arrays:
    return _arrays((table.train, table.valid), labels, class_names, table.preprocessing(HOW_TO_READ))


def _arrays(
    inputs: tuple[np.ndarray, np.ndarray],
    labels: tuple[np.ndarray, np.ndarray],
    class_names: Sequence[str],
    preprocessing: dict[str, Any],
) -> Arrays:
    return {
        "train_inputs": inputs[0],
        "train_labels": labels[0],
        "valid_inputs": inputs[1],
        "valid_labels": labels[1],
        "class_names": np.array(class_names, np.str_),
        "preprocessing": np.array(json.dumps({**preprocessing, "class_names": list(class_names)})),
    }
