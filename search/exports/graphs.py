"""The graphs of an export: written, loaded, validated by the trainer's own code, and described."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from search.config.config import Config
from search.errors import RefusedError, SearchError
from search.exports.value import GRAPH_ARITHMETIC, arithmetic, is_close, tolerance
from search.graphs.begins import where_it_begins
from search.graphs.call import INSTEAD, recorded
from search.graphs.capture import FIXED, Captures, Graph
from search.graphs.preprocess import preprocessing_of
from search.graphs.validate import validate
from search.graphs.write import GraphFormat, signature, write_graph
from search.run.data.record import TrialData
from trainables.function.task import FunctionTask
from trainables.training.trainer import Trainer

_LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
_LOSS = "valid_loss"
"""What is compared where the objective is no metric of the validation."""


def require_libraries(formats: Sequence[GraphFormat], *, with_preprocessing: bool) -> None:
    """Raises RefusedError if these formats cannot be written here."""
    if with_preprocessing and not formats:
        raise RefusedError("--with-preprocessing is for graphs; give --format onnx or --format pt2 too")
    missing = [name for name in _LIBRARIES if "onnx" in formats and importlib.util.find_spec(name) is None]
    if missing:
        raise RefusedError(
            f"--format onnx needs {', '.join(missing)}, not installed here: pip install 'tune-search[onnx]'"
        )


def require_evaluable(formats: Sequence[GraphFormat], config: Config, data: TrialData) -> None:
    """Raises RefusedError if a graph of this model could not be validated."""
    if not formats:
        return
    if issubclass(config.task_class(), FunctionTask):
        raise RefusedError(
            f"--format {formats[0]}: {config.task_path} is a training function, whose model only it can call "
            f"and evaluate: call torch.onnx.export or torch.export in code of your own, or {INSTEAD}"
        )
    if data.other:
        raise RefusedError(
            f"--format {formats[0]}: a graph is validated as it was written, and the data have changed since "
            f"the training ({'; '.join(data.other)}): put back the data as they were, or {INSTEAD}"
        )


def written_graphs(
    folder: Path,
    trainer: Trainer,
    formats: Sequence[GraphFormat],
    *,
    preprocessing: Mapping[str, Any] | None,
    metric: str,
    metrics: Mapping[str, Any],
    phase: Callable[[str], None],
) -> dict[str, Any]:
    """Write graphs into a folder and return what metrics.json says of each, by format.

    Args:
        preprocessing: what preprocessing.json holds, if it is to be inside.
        metric: the objective.
        metrics: of the same weights, validated in PyTorch.
        phase: is told what begins.

    Raises:
        SearchError: a graph cannot be written, or does not give what the model gives.
    """
    call = recorded(trainer)
    inside = None if preprocessing is None else preprocessing_of(preprocessing, call.tensors[0])
    graph = Graph(call, inside)
    captures = Captures(graph, graph.inputs(call.tensors))
    compared = metric if metric in metrics and metric != _LOSS else _LOSS
    found: dict[str, Any] = {}
    for format in formats:
        phase(f"writing the model as {format}")
        written = write_graph(format, captures, call, folder)
        phase(f"validating {written.files[0].name} in {written.loaded.runtime}")
        again = validate(trainer, call, graph, written.loaded)
        same = arithmetic(trainer) == GRAPH_ARITHMETIC
        if not is_close(metrics[compared], again[compared], same):
            where = where_it_begins(graph, written.loaded, captures.example(FIXED))
            raise SearchError(
                f"{written.files[0].name} gives {compared} {again[compared]:.6g} in "
                f"{written.loaded.runtime}, and the weights give {metrics[compared]:.6g} in PyTorch; "
                f"{tolerance(same):g} of it is allowed; nothing was exported. The outputs differ {where}. "
                f"Choose another --format, or {INSTEAD}"
            )
        found[format] = {
            "files": [file.name for file in written.files],
            "runtime": written.loaded.runtime,
            **written.loaded.described(),
            **signature(written, captures, call),
            "multiple": written.multiple,
            "least_side": written.least,
            "checked": [list(size) for size in written.checked],
            "not_taken": [list(size) for size in written.not_taken],
            "with_preprocessing": inside is not None,
            "objective": {"metric": compared, "value": again[compared], "in_pytorch": metrics[compared]},
            "tolerance": tolerance(same),
            "largest_difference": written.difference,
        }
    return found
