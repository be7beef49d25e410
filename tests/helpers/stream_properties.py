"""Streams for tests over generated input: sizes to draw, steps taken, comparison bit for bit."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st

from trainables.data.stream import TrainingStream

SIZES = st.integers(1, 40)


SMALL = st.integers(1, 7)


def drawn(stream: TrainingStream, num_steps: int, accumulate: int) -> list[list[Any]]:
    """The next steps, each a list of micro-batches; random numbers are drawn in between as training does."""
    steps = []
    for _ in range(num_steps):
        steps.append(stream.next_step(accumulate))
        torch.rand(3)
    return steps


def assert_same(found: Any, expected: Any) -> None:
    """Equal in structure, and bit for bit in every tensor."""
    assert type(found) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
        return
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)
