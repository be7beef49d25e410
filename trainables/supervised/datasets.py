"""Map-style data sets of the user's own as the samples of a task."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.data.batches import Batch, collated
from trainables.findings import a_type
from trainables.images.samples import Skipped
from trainables.imported import call
from trainables.imported_options import ImportedData, ImportedDataset
from trainables.process.process_state import seeded
from trainables.task import Arrays

NUM_COMPARED = 16
"""Samples of each part whose contents tell whether the data have changed."""
_NUM_RANDOMS = 4
_MOST_CHANNELS = 4
_PARTS = ("inputs", "a target")


class OwnSource:
    """A BatchSource of one part of such a data set: (inputs, targets), made sample by sample.

    Args:
        split: `train` or `valid`.
    """

    num_randoms = _NUM_RANDOMS

    def __init__(self, options: ImportedDataset, split: str) -> None:
        self._options, self._split = options, split

    def __reduce__(self) -> tuple[Any, ...]:  # a worker makes its own
        return type(self), (self._options, self._split)

    @cached_property
    def _dataset(self) -> Any:
        path = self._options.name
        made = call(path, {"split": self._split, **self._options.arguments})
        if not hasattr(made, "__getitem__") or not hasattr(made, "__len__"):
            raise ValueError(
                f"{path} returned {a_type(made)}; must be a map-style data set, with __len__ and __getitem__"
            )
        if not len(made):
            raise ValueError(f'{path} with split="{self._split}" has no samples')
        return made

    def __len__(self) -> int:
        return len(self._dataset)

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> Batch:
        """Samples by number; the global random numbers of each are a function of its row of `randoms`."""
        samples = []
        for place, index in enumerate(indices.tolist()):
            with seeded(index if randoms is None else _seed(randoms[place])):
                samples.append(self.sample(index))
        try:
            return collated(samples)
        except RuntimeError as error:
            shapes = ", ".join(dict.fromkeys(f"{list(inputs.shape)}" for inputs, _ in samples))
            raise ValueError(
                f"{self._options.name} gives inputs of {shapes} in one batch; all must have one shape"
            ) from error

    def sample(self, index: int) -> tuple[Tensor, Tensor]:
        """Inputs and target.

        Raises:
            ValueError: it raised, or gave something else.
        """
        name = f"{self._options.name}[{index}] of {self._split}"
        try:
            given = self._dataset[index]
        except Exception as error:
            raise ValueError(f"{name} raised {type(error).__name__}: {error}") from error
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise ValueError(f"{name} is {a_type(given)}; must be (inputs, target)")
        inputs, target = (_tensor(part, what, name) for part, what in zip(given, _PARTS, strict=True))
        if not inputs.is_floating_point():
            raise ValueError(
                f"{name} has inputs of {inputs.dtype}; must be float32, as the model takes them, such as "
                "image / 255 with the channels first"
            )
        return inputs.float(), self.target(target, name)

    def target(self, given: Tensor, name: str) -> Tensor:
        """The target as batches have it, of the sample `name`.

        Raises:
            ValueError: it is none.
        """
        if given.is_floating_point() or given.dtype is torch.bool:
            raise ValueError(f"{name} has a target of {given.dtype}; must be whole numbers, those of classes")
        return given.long()


class OwnData:
    """What a task asks of its images, of data sets that are the user's own.

    Args:
        arrays: what `load_own_data` returned.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], options: ImportedData) -> None:
        self.options, self.class_names = options, options.names
        self.num_workers = options.workers
        self.skipped = Skipped(0)
        self.input_shape: tuple[int, ...] = tuple(arrays["input_shape"].tolist())
        low, high = arrays["input_range"].tolist()
        self.mean = np.full(self.input_shape[0], -low / (high - low), np.float32)
        """float32 [C]; with `std` what makes inputs pixels from 0 to 1 in pictures."""
        self.std = np.full(self.input_shape[0], 1.0 / (high - low), np.float32)

    def source(self, part: str) -> OwnSource:
        return OwnSource(self.options, part)

    def described(self, outputs: str) -> dict[str, Any]:
        """For `Task.preprocessing`."""
        return {
            "how": f"inputs are those that {self.options.name} gives; {outputs}",
            "class_names": list(self.class_names),
        }


def load_own_data(options: ImportedData, *, masks: bool, ignored: int) -> Arrays:
    """The little that all trials share: the shape of the inputs, and some samples to know the data again.

    Args:
        masks: whether a target is a mask of the inputs' size; else a class.
        ignored: number in a target that does not count.

    Returns:
        `class_names` [K], `input_shape` int64 [D] of a training sample, `input_range` float64 [2], and for
        part "train" and "valid" `{part}_length` and the `{part}_compared` inputs and targets of some samples.

    Raises:
        ValueError: the data set raises, or gives something else than is needed.
    """
    arrays: dict[str, np.ndarray] = {"class_names": np.array(options.names)}
    for part in ("train", "valid"):
        source = OwnSource(options, part)
        chosen = spread(len(source), NUM_COMPARED)
        samples = [source.batch(np.array([index]), None) for index in chosen]
        for index, (inputs, target) in zip(chosen, _arrays_of(samples), strict=True):
            name = f"{options.name}[{index}] of {part}"
            if problem := _problem(inputs[0], target[0], len(options.names), masks=masks, ignored=ignored):
                raise ValueError(f"{name} {problem}")
        if part == "train":
            arrays["input_shape"] = np.array(samples[0][0].shape[1:])
            low = min(float(inputs.min()) for inputs, _ in samples)
            high = max(float(inputs.max()) for inputs, _ in samples)
            arrays["input_range"] = np.array([low, high if high > low else low + 1.0])
        arrays[f"{part}_length"] = np.array(len(source))
        arrays[f"{part}_compared"] = np.concatenate(
            [each.ravel().astype(np.float32) for pair in _arrays_of(samples) for each in pair]
        )
    return arrays


def spread(length: int, most: int) -> np.ndarray:
    """Up to so many numbers of samples, evenly over all."""
    return np.unique(np.linspace(0, length - 1, most).round().astype(np.int64))


def _problem(inputs: np.ndarray, target: np.ndarray, num_classes: int, *, masks: bool, ignored: int) -> str:
    """What is wrong with a sample; else empty."""
    if not np.isfinite(inputs).all():
        return "has inputs that are NaN or infinite"
    if inputs.ndim == 3 and inputs.shape[2] <= _MOST_CHANNELS < min(inputs.shape[:2]):
        return f"has inputs of {list(inputs.shape)}; channels come first: transpose them to [C, H, W]"
    expected = list(inputs.shape[1:]) if masks else []
    if list(target.shape) != expected:
        what = "a mask [H, W] of the inputs' size" if masks else "one number, that of the class"
        return f"has inputs of {list(inputs.shape)} and a target of {list(target.shape)}; must be {what}"
    held = np.unique(target[target != ignored])
    wrong = held[(held < 0) | (held >= num_classes)]
    if not len(wrong):
        return ""
    return (
        f"has class {wrong[0]}, and there are {num_classes} classes, 0 to {num_classes - 1}, and {ignored} "
        "for what does not count: correct the target, or data.class_names or data.num_classes"
    )


def _tensor(part: Any, what: str, name: str) -> Tensor:
    try:
        return torch.as_tensor(part)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} has {what} of type {type(part).__name__}; must be a tensor or an array of numbers"
        ) from error


def _arrays_of(batches: list[Batch]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(inputs.numpy(), targets.numpy()) for inputs, targets in batches]


def _seed(randoms: np.ndarray) -> int:
    return int(np.random.default_rng(np.ascontiguousarray(randoms).view(np.uint64)).integers(2**32))
