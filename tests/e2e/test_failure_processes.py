"""What an exception in a trial leaves behind: a trace for people, a cause for the search."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from torch.utils.data import DataLoader

from trainables.process.failure import (
    Failure,
    FailureKind,
    failure_of,
)


def error_of(action: Any) -> Exception:
    """What the action raises, without the trace, whose frames would keep files open."""
    try:
        action()
    except Exception as error:
        return error.with_traceback(None)
    raise AssertionError("nothing was raised")


class BrokenFiles:
    """A data set that cannot be read."""

    errors: ClassVar[list[Exception]] = [ValueError("masks/0.png: label 37\nand more"), MemoryError()]

    def __init__(self, error: int) -> None:
        self._error = error

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        raise self.errors[self._error]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (0, Failure(FailureKind.LASTING, "ValueError: masks/0.png: label 37")),
        (1, Failure(FailureKind.MEMORY, "out of memory")),
    ],
)
def test_what_a_data_loading_worker_raises_is_told_as_if_raised_here(error: int, expected: Failure) -> None:
    raised = error_of(lambda: list(DataLoader(BrokenFiles(error), num_workers=1)))  # type: ignore[arg-type]
    assert "in DataLoader worker process 0" in str(raised)
    assert failure_of(raised, "") == expected
