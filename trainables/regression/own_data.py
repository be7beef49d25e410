"""Map-style data sets of the user's own whose targets are numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.data.notes import add_note
from trainables.imported_options import ImportedNumberData
from trainables.supervised.datasets import NUM_COMPARED, OwnSource, spread
from trainables.task import Arrays

_NUM_MEASURED = 1000


class OwnNumbers(OwnSource):
    """A BatchSource of (inputs, targets): standardized numbers float32 [B, 1].

    Args:
        mean, std: of the training targets; 0 and 1 leave them in their own units.
    """

    def __init__(self, options: ImportedNumberData, split: str, mean: float = 0.0, std: float = 1.0) -> None:
        super().__init__(options, split)
        self._mean, self._std = mean, std

    def __reduce__(self) -> tuple[Any, ...]:
        return OwnNumbers, (self._options, self._split, self._mean, self._std)

    def target(self, given: Tensor, name: str) -> Tensor:
        if given.numel() != 1 or given.dtype is torch.bool or given.is_complex():
            received = f"{given.dtype} {list(given.shape)}"
            raise ValueError(f"{name} has a target of {received}; must be one number, in its own units")
        number = given.double().reshape(1)
        if not bool(torch.isfinite(number).all()):
            raise ValueError(
                f"{name} has the target {float(number):g}; must be finite, or leave the sample out"
            )
        return ((number - self._mean) / self._std).float()


def load_own_numbers(options: ImportedNumberData) -> Arrays:
    """The little that all trials share.

    Returns:
        `input_shape` int64 [D] of a training sample, `target_std`, `preprocessing`, a text of JSON, and for
        part "train" and "valid" `{part}_length` and the `{part}_compared` inputs and targets of some samples.

    Raises:
        ValueError: the data set raises, or gives something else than is needed.
    """
    arrays: Arrays = {}
    for part in ("train", "valid"):
        source = OwnNumbers(options, part)
        samples = [source.batch(np.array([index]), None) for index in spread(len(source), NUM_COMPARED)]
        for inputs, _ in samples:
            if not bool(torch.isfinite(inputs).all()):
                raise ValueError(f"{options.name} of {part} has inputs that are NaN or infinite")
        if part == "train":
            arrays["input_shape"] = np.array(samples[0][0].shape[1:])
        arrays[f"{part}_length"] = np.array(len(source))
        arrays[f"{part}_compared"] = np.concatenate(
            [each.numpy().ravel() for pair in samples for each in pair]
        )
    mean, std = _scale(options)
    described = {
        "how": f"inputs are those that {options.name} gives; the prediction is the output * target.std + "
        "target.mean",
        "target": {"mean": mean, "std": std},
    }
    return {**arrays, "target_std": np.array(std), "preprocessing": np.array(json.dumps(described))}


def _scale(options: ImportedNumberData) -> tuple[float, float]:
    """Mean and standard deviation of the training targets: as given, or of some of them."""
    if options.target_mean is not None and options.target_std is not None:
        return options.target_mean, options.target_std
    source = OwnNumbers(options, "train")
    chosen = spread(len(source), _NUM_MEASURED)
    targets = np.array([float(source.batch(np.array([index]), None)[1]) for index in chosen], np.float64)
    mean, std = float(targets.mean()), float(targets.std())
    if not std:
        raise ValueError(
            f"{options.name} has the target {mean:g} in each of {len(chosen)} training samples; a target "
            "must vary to be learned"
        )
    if len(chosen) < len(source):
        add_note(
            f"the target's mean {mean:.4g} and standard deviation {std:.4g} are those of {len(chosen):,} of "
            f"{len(source):,} training samples; data.target_mean and data.target_std give others"
        )
    return mean, std
