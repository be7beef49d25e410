"""Preprocessing inside a graph: its inputs are then raw pixels or columns, as preprocessing.json says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search.errors import RefusedError

_NEAR = 0.02
"""How far from a whole number a pixel may be that normalization is undone of, in float32."""


class Preprocessing(nn.Module):
    """From raw values to the model's inputs, and back, to feed validation samples to the graph."""

    name: str
    """Of the graph's input."""
    what: str
    """What its values are."""
    finished_values = ""
    """What the values of its output are, where they are not those of the model's."""

    def raw(self, inputs: Tensor) -> Tensor:
        """The raw values of which `forward` makes these inputs.

        Raises:
            RefusedError: there are none, so these statistics are not those of the data.
        """
        raise NotImplementedError

    def finished(self, output: Tensor) -> Tensor:
        """The output of the graph, of that of the model."""
        return output

    def unfinished(self, output: Tensor) -> Tensor:
        """The output of the model, of that of the graph."""
        return output


class RawImages(Preprocessing):
    """Pixels [N, C, H, W]: uint8, or, where a `range` of values becomes 0 to 255, float32 of the file's."""

    name = "pixels"

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self.what = "pixels as decoded, 0 to 255"
        self._scaled = "range" in values
        if self._scaled:
            low, high = (_per_channel(bound) for bound in values["range"])
            self.register_buffer("low", low)
            self.register_buffer("high", high)
            eight_bits = "; not images of 8 bits, which the training took as they are"
            self.what = "values of the file" + (eight_bits if "8 bits stay" in values.get("how", "") else "")
        mean, std = (np.asarray(values[key], np.float32) for key in ("mean", "std"))
        factors = 1.0 / std
        # In the order of the training, see `trainables.images.augmentation.flips_and_light.normalize`.
        self.register_buffer("factors", _per_channel((factors / 255.0).astype(np.float32)))
        self.register_buffer("shifts", _per_channel(-mean * factors))

    low: Tensor
    high: Tensor
    factors: Tensor
    shifts: Tensor

    def forward(self, raw: Tensor) -> Tensor:
        pixels = raw.float()
        if self._scaled:
            clipped = torch.maximum(torch.minimum(pixels, self.high), self.low)
            pixels = torch.round((clipped - self.low) * (255.0 / (self.high - self.low)))
        return pixels * self.factors + self.shifts

    def raw(self, inputs: Tensor) -> Tensor:
        found = (inputs.float() - self.shifts) / self.factors
        pixels = found.round()
        if (found - pixels).abs().max() > _NEAR or pixels.min() < 0 or pixels.max() > 255:
            raise RefusedError(
                "--with-preprocessing: the validation images are not those that preprocessing.json makes of "
                f"pixels from 0 to 255 (one would be {_farthest(found):.6g}): leave it out"
            )
        return self.low + pixels / 255.0 * (self.high - self.low) if self._scaled else pixels.to(torch.uint8)


class RawColumns(Preprocessing):
    """Columns float64 [N, C]: numbers, NaN where one is missing, and of texts the place in `categories`."""

    name = "columns"

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self._kinds = [(entry["kind"], len(entry.get("categories", ()))) for entry in values["columns"]]
        statistics = [(entry.get("mean", 0.0), entry.get("std", 1.0)) for entry in values["columns"]]
        self.register_buffer("mean", torch.tensor([mean for mean, _ in statistics], dtype=torch.float64))
        self.register_buffer("std", torch.tensor([std for _, std in statistics], dtype=torch.float64))
        target = values.get("target")
        self._target = None if target is None else (target["mean"], target["std"])
        self.finished_values = "" if target is None else f"{target['name']}, in its own unit"
        texts = "; of a text its place in `categories`, from 0, and any other number for any other text"
        self.what = "the entries of `columns` in preprocessing.json, in order; NaN where a number is missing"
        self.what += texts if any(kind == "text" for kind, _ in self._kinds) else ""

    mean: Tensor
    std: Tensor

    def forward(self, raw: Tensor) -> Tensor:
        standardized = (raw - self.mean) / self.std
        standardized = torch.where(torch.isnan(standardized), 0.0, standardized).float()
        parts = []
        for place, (kind, categories) in enumerate(self._kinds):
            if kind == "number":
                parts.append(standardized[:, place : place + 1])
                continue
            own = (raw[:, place : place + 1] == torch.arange(categories, dtype=raw.dtype)).float()
            parts += [own, 1.0 - own.sum(dim=1, keepdim=True)]
        return torch.cat(parts, dim=1)

    def raw(self, inputs: Tensor) -> Tensor:
        columns, at = [], 0
        for place, (kind, categories) in enumerate(self._kinds):
            if kind == "number":
                columns.append(inputs[:, at].double() * self.std[place] + self.mean[place])
            else:
                columns.append(inputs[:, at : at + categories + 1].argmax(dim=1).double())
            at += 1 if kind == "number" else categories + 1
        return torch.stack(columns, dim=1)

    def finished(self, output: Tensor) -> Tensor:
        """In the target's own unit."""
        return output if self._target is None else output * self._target[1] + self._target[0]

    def unfinished(self, output: Tensor) -> Tensor:
        return output if self._target is None else (output - self._target[0]) / self._target[1]


def preprocessing_of(values: Mapping[str, Any], first: Tensor) -> Preprocessing:
    """What preprocessing.json says, as a module.

    Args:
        values: the contents of preprocessing.json.
        first: an input of the model.

    Raises:
        RefusedError: it does not say how inputs are made.
    """
    if {"mean", "std"} <= values.keys() and first.dim() == 4 and first.shape[1] == len(values["mean"]):
        return RawImages(values)
    if "columns" in values and first.dim() == 2:
        return RawColumns(values)
    own = f": {values['how']}" if "how" in values else ""
    raise RefusedError(
        f"--with-preprocessing: nothing says how raw data become the inputs of this model{own}; leave it "
        "out, and make the inputs as the training does"
    )


def _per_channel(values: Any) -> Tensor:
    """float32 [1, C, 1, 1], of one number for all channels or one for each."""
    return torch.as_tensor(np.asarray(values, np.float32)).reshape(1, -1, 1, 1)


def _farthest(values: Tensor) -> float:
    """The value that is farthest from the whole numbers from 0 to 255."""
    off = (values - values.round().clamp(0, 255)).abs()
    return float(values.flatten()[off.argmax()])
