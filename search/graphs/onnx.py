"""ONNX: written by torch.onnx, computed by ONNX Runtime on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from search.graphs.capture import quietly
from search.graphs.loaded import Step

FILE, DATA = "model.onnx", "model.onnx.data"
"""The second holds the weights, where one file would be too large."""
MAX_BYTES = 2**30
"""Of weights in one file; protobuf ends at 2 GiB."""
_SCOPES = "pkg.torch.onnx.name_scopes"
"""Under which torch.onnx notes the modules of a node."""
_NO_LOG = 4
"""Severity of what ONNX Runtime prints: fatal errors; others are raised."""


def write(
    program: ExportedProgram,
    folder: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    free: Sequence[Mapping[int, str]],
) -> list[Path]:
    """Write the program as ONNX and return its files; one that is there is replaced.

    Args:
        inputs, outputs: their names.
        free: names of the free dimensions of each input.

    Raises:
        Exception: an operator has no counterpart in ONNX.
    """
    import onnx

    for name in (FILE, DATA):
        (folder / name).unlink(missing_ok=True)
    size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    with quietly():
        found = torch.onnx.export(
            program, input_names=list(inputs), output_names=list(outputs), dynamo=True, verbose=False
        )
        assert found is not None
        found.save(folder / FILE, external_data=size > MAX_BYTES)
    model = onnx.load(folder / FILE, load_external_data=False)
    _name_dimensions(model, free)
    onnx.save(model, folder / FILE)
    onnx.checker.check_model(folder / FILE)
    return [folder / name for name in (FILE, DATA) if (folder / name).is_file()]


class OnnxGraph:
    """An ONNX file and ONNX Runtime's session of it."""

    def __init__(self, folder: Path) -> None:
        import onnx
        import onnxruntime

        self.runtime = f"ONNX Runtime {onnxruntime.__version__}"
        self._file = folder / FILE
        self._session = _session(self._file)
        self._names = [each.name for each in self._session.get_inputs()]
        self._opset = next(
            each.version
            for each in onnx.load(self._file, load_external_data=False).opset_import
            if not each.domain
        )

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return _run(self._session, self._names, tensors)

    def steps(self, tensors: Sequence[Tensor]) -> Iterator[Step]:
        import onnx

        model = onnx.load(self._file)
        scopes = {name: of for node in model.graph.node for name in node.output if (of := _scopes(node))}
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in scopes)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / FILE
            onnx.save(model, file, save_as_external_data=True, location=DATA)
            values = _run(_session(file, optimized=False), self._names, tensors)
        yield from zip(scopes.values(), values, strict=True)

    def described(self) -> Mapping[str, Any]:
        return {"opset": self._opset}


def _session(file: Path, *, optimized: bool = True) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = _NO_LOG
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _run(session: Any, names: Sequence[str], tensors: Sequence[Tensor]) -> list[Tensor]:
    given = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
    return [torch.from_numpy(value) for value in session.run(None, given)]


def _scopes(node: Any) -> list[str]:
    """The modules of a node, see `Step`; the last entry is its own name."""
    import ast

    text = next((prop.value for prop in node.metadata_props if prop.key == _SCOPES), "[]")
    return [str(name) for name in ast.literal_eval(text)][:-1]


def _name_dimensions(model: Any, free: Sequence[Mapping[int, str]]) -> None:
    """Give free dimensions their names, of inputs and, where they are the same ones, of outputs."""
    known: dict[str, str] = {}
    for value, names in zip(model.graph.input, free, strict=True):
        for place, name in names.items():
            if symbol := value.type.tensor_type.shape.dim[place].dim_param:
                known[symbol] = name
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = known.get(dimension.dim_param, dimension.dim_param)
