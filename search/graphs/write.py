"""Writes a model as a graph, loads what was written, and compares it with the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from search.errors import RefusedError, SearchError
from search.graphs import onnx, pt2
from search.graphs.begins import TOLERANCE, difference, where_it_begins
from search.graphs.call import INSTEAD, Call
from search.graphs.capture import FIXED, Captured, Captures, Graph, error_line, resized
from search.graphs.loaded import Loaded

GraphFormat = Literal["onnx", "pt2"]
GRAPH_FORMATS: tuple[GraphFormat, ...] = get_args(GraphFormat)
_MOST_SMALL = 32
"""Multiples of a side that are tried for the smallest one."""
FILES = (onnx.FILE, onnx.DATA, pt2.FILE)
"""All that graphs are written to."""

Size = tuple[int, ...]


@dataclass(frozen=True)
class Written:
    """A graph that was written, loaded again and found equal to the model."""

    format: GraphFormat
    files: Sequence[Path]
    loaded: Loaded
    multiple: int
    """Of height and width; or `FIXED`."""
    checked: Sequence[Size]
    """Shapes of the first input with which it was run."""
    not_taken: Sequence[Size]
    """Smaller ones that it does not take, though the model does."""
    least: int | None
    """Side of the smallest square that is taken, with the model's outputs; None where sides are fixed."""
    difference: float
    """Largest difference of its outputs from the model's, by the largest of these."""


def write_graph(format: GraphFormat, captures: Captures, call: Call, folder: Path) -> Written:
    """Write the freest graph that equals the model, for the observed inputs and for two other sizes.

    Raises:
        RefusedError: the model cannot be captured, or has no counterpart in this format.
        SearchError: no graph of it gives what the model gives.
    """
    failed: SearchError | None = None
    for captured in captures:
        try:
            files = _write(format, captured, captures.graph, call, folder)
        except OSError:  # of a full disk, which no other graph would fit on
            raise
        except Exception as error:  # of exporters that meet what they do not know
            failed = RefusedError(
                f"the model cannot be written as {format}: {error_line(error)}; use layers that it has, "
                f"another --format, or {INSTEAD}"
            )
            failed.__cause__ = error
            continue
        loaded = _load(format, folder)
        try:
            checked = _checked(captures, captured.multiple, loaded)
        except _DiffersError as error:
            failed = SearchError(
                f"{' and '.join(file.name for file in files)} differ from the model: {error}; nothing was "
                f"exported. Choose another --format, or {INSTEAD}"
            )
            continue
        sizes = [size for size, off in checked.items() if off is not None]
        refused = [size for size, off in checked.items() if off is None]
        largest = max(off for off in checked.values() if off is not None)
        return Written(
            format,
            files,
            loaded,
            captured.multiple,
            sizes,
            refused,
            _least(captures, captured.multiple, loaded),
            largest,
        )
    assert failed is not None  # the last captured is always tried
    raise failed


def signature(written: Written, captures: Captures, call: Call) -> dict[str, Any]:
    """Inputs and outputs of the graph, as metrics.json has them: names, types, and shapes with free names."""
    graph, shapes = captures.graph, []
    examples = [
        captures.example(FIXED, batch=2),
        captures.example(written.multiple, batch=3, more=(1, 3)),
    ]
    for tensors in examples:
        with torch.no_grad():
            shapes.append([[*tensors], list(graph(*tensors))])
    names = graph.free_of(examples[0])
    described = [
        [_described(name, one, other, names[0]) for name, one, other in zip(called, *tensors, strict=True)]
        for called, *tensors in zip((graph.names, call.output_names), *shapes, strict=True)
    ]
    inside = graph.preprocessing
    described[0][0]["what"] = call.input_values if inside is None else inside.what
    described[1][0]["what"] = (inside and inside.finished_values) or call.output_values
    return {"inputs": described[0], "outputs": described[1]}


class _DiffersError(Exception):
    """What differs, and for which inputs."""


def _write(format: GraphFormat, captured: Captured, graph: Graph, call: Call, folder: Path) -> Sequence[Path]:
    if format == "pt2":
        return pt2.write(captured.program, folder)
    free = graph.free_of(captured.program.example_inputs[0])
    return onnx.write(captured.program, folder, graph.names, call.output_names, free)


def _load(format: GraphFormat, folder: Path) -> Loaded:
    return pt2.Pt2Graph(folder) if format == "pt2" else onnx.OnnxGraph(folder)


def _checked(captures: Captures, multiple: int, loaded: Loaded) -> dict[Size, float | None]:
    """How far outputs are from the model's, by the shape of the first input; None where it is not taken.

    Raises:
        _DiffersError: that is too far, or the graph does not take an input that it must.
    """
    found: dict[Size, float | None] = {}
    for tensors, must in _inputs(captures, multiple):
        shape = tuple(tensors[0].shape)
        try:
            expected = _expected(captures.graph, tensors)
        except RefusedError:
            raise
        except Exception as error:  # of a model that takes other sizes
            if must:
                raise _DiffersError(
                    f"the model does not take inputs {list(shape)} ({error_line(error)})"
                ) from error
            continue
        try:
            outputs = loaded.run(tensors)
        except Exception as error:  # of a runtime
            if must:
                raise _DiffersError(f"inputs {list(shape)} are not taken ({error_line(error)})") from error
            found[shape] = None
            continue
        found[shape] = off = difference(outputs, expected)
        if off > TOLERANCE:
            where = where_it_begins(captures.graph, loaded, tensors)
            raise _DiffersError(
                f"outputs for inputs {list(shape)} are off by {off:.2g} of the largest, where {TOLERANCE:g} "
                f"is allowed, {where}"
            )
    return found


def _least(captures: Captures, multiple: int, loaded: Loaded) -> int | None:
    """The smallest side, of `_MOST_SMALL` multiples, from which on the graph gives what the model gives."""
    small = captures.example(FIXED, batch=1)
    free = captures.graph.free_of(small)
    if multiple == FIXED or not any(place for names in free for place in names):
        return None
    for side in range(multiple, (_MOST_SMALL + 1) * multiple, multiple):
        tensors = [
            resized(tensor, {place: side for place in names if place})
            for tensor, names in zip(small, free, strict=True)
        ]
        try:
            expected = _expected(captures.graph, tensors)
            if difference(loaded.run(tensors), expected) <= TOLERANCE:
                return side
        except Exception:  # of a model or a runtime that takes no such size
            continue
    return None


def _expected(graph: Graph, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """What the model gives.

    Raises:
        RefusedError: it gives something else the next time.
    """
    with torch.no_grad():
        once, again = graph(*tensors), graph(*tensors)
    if difference(once, again) > TOLERANCE:
        raise RefusedError(
            "the model gives other outputs for the same inputs when it is called again: it draws random "
            f"numbers or keeps a state, which a graph does not; let it not in evaluation, or {INSTEAD}"
        )
    return once


def _inputs(captures: Captures, multiple: int) -> Iterator[tuple[list[Tensor], bool]]:
    """Inputs to compare, and whether the graph has to take them: sides below the observed need not be."""
    yield captures.example(FIXED, batch=2), True
    yield captures.example(multiple, batch=1, more=(1, 3)), True
    yield captures.example(multiple, batch=3, more=(5, 2)), True
    if multiple != FIXED:
        small = captures.example(FIXED, batch=1)
        free = captures.graph.free_of(small)
        halved = [
            resized(
                tensor,
                {p: max(multiple, tensor.shape[p] // 2 // multiple * multiple) for p in names if p},
            )
            for tensor, names in zip(small, free, strict=True)
        ]
        yield halved, False


def _described(name: str, one: Tensor, other: Tensor, free: Mapping[int, str]) -> dict[str, Any]:
    """Of a tensor for inputs of two sizes: what differs is free."""
    sizes = enumerate(zip(one.shape, other.shape, strict=True))
    shape = [first if first == second else free.get(place, "free") for place, (first, second) in sizes]
    return {"name": name, "dtype": str(one.dtype).removeprefix("torch."), "shape": shape}
