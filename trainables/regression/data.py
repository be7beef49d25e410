"""The arrays of a regression: rows and targets, standardized by statistics of the training rows.

For part "train" and "valid": `{part}_inputs` float32 [N, F] and `{part}_targets` float32 [N, 1]. Besides
`target_std`, float64 and without dimensions, and `preprocessing` (a text of JSON). For an imported
data set see `trainables.regression.own_data`.
"""

from __future__ import annotations

import json

import numpy as np

from trainables.folds.assign import rows_in_folds
from trainables.imported_options import ImportedNumberData
from trainables.regression.options import DataOptions, DiabetesOptions, NumberCSVOptions
from trainables.regression.own_data import load_own_numbers
from trainables.tables.doubts import note_doubts
from trainables.tables.encode import Table, encoded_table, mean_and_std, plain_table
from trainables.tables.read import Sheets, check_targets, read_sheets, split_rows

Arrays = dict[str, np.ndarray]

HOW_TO_READ = "the prediction is the output * target.std + target.mean"


def load_arrays(options: DataOptions) -> Arrays:
    """Read what the options name.

    Raises:
        ValueError: naming file, line and column of what is wrong.
    """
    if isinstance(options, DiabetesOptions):
        return _diabetes(options)
    if isinstance(options, ImportedNumberData):
        return load_own_numbers(options)
    sheets = read_number_sheets(options)
    targets = _targets(sheets, options.target)
    arrays = _arrays(encoded_table(sheets, options), targets, options.target, str(sheets.train.file))
    note_doubts(sheets, options, of_classes=False)
    return arrays


def read_number_sheets(options: NumberCSVOptions) -> Sheets:
    """The rows of training and of validation."""
    return read_sheets(
        options, lambda sheet: split_rows(len(sheet), options.valid_fraction, options.split_seed)
    )


def _diabetes(options: DiabetesOptions) -> Arrays:
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    number = len(data.target)
    if options.folds is None:
        split = split_rows(number, options.valid_fraction, options.split_seed)
    else:
        folds = rows_in_folds(options, number, "diabetes")
        split = folds.train, folds.valid
    targets = data.target[split[0]], data.target[split[1]]
    return _arrays(plain_table(data.data, data.feature_names, split), targets, "progression", "diabetes")


def _targets(sheets: Sheets, name: str) -> tuple[np.ndarray, np.ndarray]:
    for sheet in sheets:
        check_targets(sheet, name, of_classes=False)
    train, valid = sheets
    return train.finite(name, is_target=True, beside=valid), valid.finite(name, is_target=True, beside=train)


def _arrays(table: Table, targets: tuple[np.ndarray, np.ndarray], name: str, where: str) -> Arrays:
    mean, std = mean_and_std(targets[0])
    if not std:
        raise ValueError(
            f"{where}: column {name!r} is {mean:g} in each training row; a target must vary to be learned"
        )
    preprocessing = {
        **table.preprocessing(HOW_TO_READ),
        "target": {"name": name, "mean": mean, "std": std},
    }
    train, valid = (((part - mean) / std).astype(np.float32)[:, None] for part in targets)
    return {
        "train_inputs": table.train,
        "train_targets": train,
        "valid_inputs": table.valid,
        "valid_targets": valid,
        "target_std": np.array(std),
        "preprocessing": np.array(json.dumps(preprocessing)),
    }
