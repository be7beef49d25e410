""".pt2: the program of torch.export, which torch loads without the code of the model."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from search.graphs.capture import quietly
from search.graphs.loaded import Step

FILE = "model.pt2"


def write(program: ExportedProgram, folder: Path) -> list[Path]:
    """Write the program and return its files; one that is there is replaced.

    Raises:
        Exception: torch cannot write it.
    """
    examples = program.example_inputs
    program.example_inputs = None  # samples of somebody's data, which torch would write as a pickle
    try:
        # Into memory first: torch's writer ends the process where the disk is full.
        written = io.BytesIO()
        with quietly():
            torch.export.save(program, written)
        (folder / FILE).write_bytes(written.getbuffer())
    finally:
        program.example_inputs = examples
    return [folder / FILE]


class Pt2Graph:
    """A .pt2 file as a module."""

    def __init__(self, folder: Path) -> None:
        self.runtime = f"torch {torch.__version__}"
        with quietly():
            self._module: Any = torch.export.load(folder / FILE).module()

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            return list(self._module(*tensors))

    def steps(self, tensors: Sequence[Tensor]) -> Iterator[Step]:
        found: list[Step] = []

        class Noted(fx.Interpreter):
            def run_node(self, node: fx.Node) -> Any:
                value = super().run_node(node)
                stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
                if stack and isinstance(value, Tensor):
                    found.append((stack, value.clone()))  # the next layer may work in place
                return value

        with torch.no_grad():
            Noted(self._module).run(*tensors)
        yield from found

    def described(self) -> Mapping[str, Any]:
        return {"torch": torch.__version__}
