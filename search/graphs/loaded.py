"""What a written graph must do once it is loaded again, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

Step = tuple[Sequence[str], Tensor]
"""The modules that an intermediate value was computed in, from the outermost on, and the value."""


class Loaded(Protocol):
    """A graph read from its files."""

    runtime: str
    """What computes it, with its version."""

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Its outputs for these inputs, on the CPU.

        Raises:
            Exception: it does not take them.
        """
        ...

    def steps(self, tensors: Sequence[Tensor]) -> Iterator[Step]:
        """Its intermediate values for these inputs, in the order of the graph."""
        ...

    def described(self) -> Mapping[str, Any]:
        """What only this format has, such as the opset of ONNX."""
        ...
