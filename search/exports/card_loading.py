"""How the files of an export are loaded, for its model card: lines of Python, and the graphs' inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainables.imported import is_path
from trainables.predicting.inference import Inference

_LOAD = 'weights = load_file("model.safetensors")  # parameter name -> tensor; no code of this model is run'
_BUILD = """\
from trainables.predicting.inference import read_inference
from trainables.predicting.networks import build_network"""
BY_ITSELF = """\
Where tune-search is installed, `tune-search predict` applies the model to files, and `search.load` does in
Python. Both make inputs of raw data by themselves, as `inference.json` says; for the latter torch, NumPy,
Pillow and safetensors are enough."""
_ZEROS = {"float32": "np.float32", "float64": "np.float64", "uint8": "np.uint8", "int64": "np.int64"}


_PREDICT = {
    "segmentation": 'mask = model.predict("image.png")  # of each pixel its place in model.classes',
    "classification": 'print(model.classes[model.predict("image.png")])',
    "regression": "",
    "gan": "images = model.sample(16, seed=0)  # float32 [N, H, W, C] from -1 to 1",
}
_ROWS = """\
with open("rows.csv", newline="") as file:
    rows = list(csv.DictReader(file))
print(model.predict({name: [row[name] for row in rows] for name in rows[0]}))"""


def loading(
    options: Mapping[str, Any], graphs: Mapping[str, Mapping[str, Any]], inference: Inference | None
) -> str:
    """A block of Python that predicts, for the weights, and for each graph.

    Args:
        inference: what inference.json holds, if it is there.
    """
    blocks = []
    if inference is not None:
        blocks.append(f"{BY_ITSELF}\n\n```python\n{predicting(inference)}\n```")
    blocks.append(f"```python\n{_weights(options, inference)}\n```")
    if "onnx" in graphs:
        blocks.append(f"{_described(graphs['onnx'])}\n\n```python\n{_onnx(graphs['onnx'])}\n```")
    if "pt2" in graphs:
        blocks.append(f"{_described(graphs['pt2'])}\n\n```python\n{_pt2(graphs['pt2'])}\n```")
    return "\n\n".join(blocks)


def predicting(inference: Inference) -> str:
    """The lines that predict raw data."""
    imports, lines = "import search", _PREDICT[inference.task]
    if inference.rows is not None:
        imports, lines = "import csv\n\nimport search", _ROWS
    return f'{imports}\n\nmodel = search.load(".")\n{lines}'


def _weights(options: Mapping[str, Any], inference: Inference | None) -> str:
    """The lines that load the weights into a model."""
    model, imports = options.get("model", {}), "from safetensors.torch import load_file"
    put = "model.load_state_dict(weights)"
    if isinstance(model, Mapping) and model.get("generator"):
        model = model["generator"]  # of a GAN, the part that is exported
    if not isinstance(model, Mapping) or not is_path(model.get("name")):
        if inference is not None:
            imports = f"from pathlib import Path\n\n{imports}\n{_BUILD}"
            build = 'model = build_network(read_inference(Path(".")).network)  # a module of torch'
            return f"{imports}\n\n{build}\n{_LOAD}\n{put}"
        of = "# an instance of the architecture under `trial.model` in config.yaml"
        return f"{imports}\n\n{_LOAD}\n{put}            {of}"
    module, _, name = model["name"].partition(":")
    arguments = ", ".join(f"{key}={value!r}" for key, value in model.items() if key != "name")
    imports = f"from {module} import {name.partition('.')[0]}\n{imports}"
    return f"{imports}\n\nmodel = {name}({arguments})\n{_LOAD}\n{put}"


def _onnx(graph: Mapping[str, Any]) -> str:
    given = ", ".join(f'"{each["name"]}": {_example(each, graph)}' for each in graph["inputs"])
    outputs = ", ".join(each["name"] for each in graph["outputs"])
    comma = "," if len(graph["outputs"]) == 1 else ""
    return (
        "import numpy as np\nimport onnxruntime\n\n"
        f'session = onnxruntime.InferenceSession("{graph["files"][0]}", providers=["CPUExecutionProvider"])\n'
        f"{outputs}{comma} = session.run(None, {{{given}}})"
    )


def _pt2(graph: Mapping[str, Any]) -> str:
    given = ", ".join(
        f"torch.zeros({_sizes(each, graph)}, dtype=torch.{each['dtype']})" for each in graph["inputs"]
    )
    outputs = ", ".join(each["name"] for each in graph["outputs"])
    comma = "," if len(graph["outputs"]) == 1 else ""
    return (
        'import torch\n\nmodel = torch.export.load("model.pt2").module()  # needs no code of the model\n'
        f"{outputs}{comma} = model({given})"
    )


def _described(graph: Mapping[str, Any]) -> str:
    """A table of inputs and outputs, and how it was checked."""
    opset = f", opset {graph['opset']}" if "opset" in graph else ""
    rows = [
        f"| {kind} | `{each['name']}` | {each['dtype']} | {_shape(each['shape'])} | {_what(kind, each)} |"
        for kind, part in (("input", graph["inputs"]), ("output", graph["outputs"]))
        for each in part
    ]
    objective = graph["objective"]
    multiple, least = graph["multiple"], graph["least_side"]
    sides = f"Sides must be multiples of {multiple}. " if multiple > 1 else ""
    sides += f"The smallest square that was run and agrees has sides of {least}. " if least else ""
    refused = (
        f" It does not take {_listed(graph['not_taken'])}, which the model takes."
        if graph["not_taken"]
        else ""
    )
    return (
        f"`{graph['files'][0]}`{opset}, in {graph['runtime']} on the CPU:\n\n"
        "| | name | type | shape | values |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"{sides}Validated through this file: {objective['metric']} {objective['value']:.6g}, in PyTorch "
        f"{objective['in_pytorch']:.6g}. Compared with the model at {_listed(graph['checked'])}: outputs "
        f"differ by {graph['largest_difference']:.1g} of the largest at most.{refused}"
    )


def _what(kind: str, each: Mapping[str, Any]) -> str:
    unknown = {"input": "as the training has them", "output": "as the model gives them"}
    return each.get("what") or unknown[kind]


def _listed(sizes: Sequence[Sequence[int]]) -> str:
    return ", ".join("×".join(map(str, size)) for size in sizes)


def _shape(shape: Sequence[int | str]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _example(each: Mapping[str, Any], graph: Mapping[str, Any]) -> str:
    kind = _ZEROS.get(each["dtype"], f'"{each["dtype"]}"')
    return f"np.zeros({_sizes(each, graph)}, {kind})"


def _sizes(each: Mapping[str, Any], graph: Mapping[str, Any]) -> tuple[int, ...]:
    """Sizes with which the graph was run: a batch of one, and the sides of the first check."""
    first = graph["checked"][0]
    return tuple(
        size if isinstance(size, int) else 1 if place == 0 else first[place]
        for place, size in enumerate(each["shape"])
    )
