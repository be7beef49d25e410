"""A model as a program of torch.export, with dimensions that are free."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from search.errors import RefusedError
from search.graphs.call import INSTEAD, Call, Tensors, output_tensors
from search.graphs.preprocess import Preprocessing
from search.text import cut

FIXED = 0
"""In the place of a multiple: height and width are those of the example."""
MULTIPLES = (1, 2, 4, 8, 16, 32)
"""Which of them sides may have to be of, tried in this order."""
_LEAST_SIDE = 64
"""Of an example: networks that halve do otherwise where nothing is left to halve, and a graph does not."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""In the messages of torch.onnx."""
_BATCH = 2
"""torch.export takes a dimension of 1 for one that is always 1."""


class Graph(nn.Module):
    """The model as a function of tensors alone, with its preprocessing if asked."""

    def __init__(self, call: Call, preprocessing: Preprocessing | None) -> None:
        super().__init__()
        self.model, self.preprocessing = call.model, preprocessing
        self._call = call
        self.names = call.names
        if preprocessing is not None:
            self.names = (preprocessing.name, *call.names[1:])
        self.eval().requires_grad_(False)  # a program keeps it, and its outputs would have no numpy()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        first = tensors[0] if self.preprocessing is None else self.preprocessing(tensors[0])
        args, kwargs = self._call.with_tensors([first, *tensors[1:]])
        outputs = output_tensors(self.model(*args, **kwargs))
        if self.preprocessing is not None:
            outputs[0] = self.preprocessing.finished(outputs[0])
        return tuple(outputs)

    def inputs(self, tensors: Tensors) -> list[Tensor]:
        """The inputs of the graph, of those of the model."""
        if self.preprocessing is None:
            return list(tensors)
        return [self.preprocessing.raw(tensors[0]), *tensors[1:]]

    def free_of(self, tensors: Tensors) -> list[dict[int, str]]:
        """The dimensions of each input that are free: all but the batch in images [N, C, H, W] alone."""
        batch = tensors[0].shape[0] if tensors[0].dim() else 0
        return [
            {
                place: name
                for place, name in self._call.free.items()
                if tensor.dim() and tensor.shape[0] == batch and (place == 0 or tensor.dim() == 4)
            }
            for tensor in tensors
        ]


@dataclass(frozen=True)
class Captured:
    """A program, and what its sides must be multiples of."""

    program: ExportedProgram
    multiple: int
    """Or `FIXED`."""


class Captures:
    """The programs of one graph, each captured when it is first asked for."""

    def __init__(self, graph: Graph, tensors: Tensors) -> None:
        self.graph, self._tensors = graph, [tensor.detach() for tensor in tensors]
        self._free = graph.free_of(tensors)
        self._known: dict[int, ExportedProgram | Exception] = {}

    def __iter__(self) -> Iterator[Captured]:
        """From the freest on.

        Raises:
            RefusedError: none can be captured; with the cause.
        """
        observed = [
            tensor.shape[place]
            for tensor, free in zip(self._tensors, self._free, strict=True)
            for place in free
            if place
        ]
        for multiple in MULTIPLES if observed else ():
            if any(side % multiple for side in observed):
                continue
            program = self._captured(multiple)
            if not isinstance(program, Exception):
                yield Captured(program, multiple)
            elif isinstance(self._captured(FIXED), Exception):
                break  # it is not the sides
        if isinstance(program := self._captured(FIXED), Exception):
            raise RefusedError(
                f"the model cannot be captured as a graph: {error_line(program)}; write what depends on "
                "values without `if` (torch.where, torch.cond), and shapes for batches of any size, or "
                f"{INSTEAD}"
            ) from program
        yield Captured(program, FIXED)

    def example(self, multiple: int, *, batch: int = _BATCH, more: tuple[int, int] = (0, 0)) -> list[Tensor]:
        """Inputs of this batch size, made of those that were observed, repeated or cropped.

        Args:
            multiple: of the sides, which are at least 64 then; `FIXED` leaves them.
            more: multiples by which height and width are larger.
        """
        found = []
        for tensor, free in zip(self._tensors, self._free, strict=True):
            sizes = {0: batch} if free else {}
            for place, by in zip(sorted(place for place in free if place), more, strict=False):
                if multiple != FIXED:
                    least = max(tensor.shape[place], _LEAST_SIDE)
                    sizes[place] = (-(-least // multiple) + by) * multiple
            found.append(resized(tensor, sizes))
        return found

    def _captured(self, multiple: int) -> ExportedProgram | Exception:
        if multiple not in self._known:
            shapes = tuple(_dynamic(free, multiple) for free in self._free)
            try:
                with quietly():
                    self._known[multiple] = torch.export.export(
                        self.graph, tuple(self.example(multiple)), dynamic_shapes=(shapes,), strict=False
                    )
            except Exception as error:  # of whatever the model does
                self._known[multiple] = error
        return self._known[multiple]


def resized(tensor: Tensor, sizes: Mapping[int, int]) -> Tensor:
    """The tensor with these sizes of its dimensions: repeated, or cropped."""
    for place, size in sizes.items():
        tensor = tensor.index_select(place, torch.arange(size) % tensor.shape[place])
    return tensor.contiguous()


def error_line(error: BaseException) -> str:
    """The first line of the first cause that says something, not too long."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    return cut(f"{type(error).__name__}: {lines[0] if lines else ''}", 240)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the remarks of the exporters on their own insides."""
    noisy = logging.getLogger("torch")
    before = noisy.level
    noisy.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), torch.no_grad():
            yield
    finally:
        noisy.setLevel(before)


def _dynamic(free: Mapping[int, str], multiple: int) -> dict[int, Any]:
    """For torch.export: the batch, and sides unless they are fixed."""
    found: dict[int, Any] = {}
    for place, name in free.items():
        if place == 0 or multiple == 1:
            found[place] = Dim.DYNAMIC
        elif multiple != FIXED:
            found[place] = multiple * Dim(f"{name}_by_{multiple}", min=1)
    return found
