"""What an exception means: whether it comes again, what to change, and how much of its text is shown."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from trainables.process.causes import MAX_LINE, advice, cause_text, on_one_line, shortened
from trainables.process.failure import FailureKind, failure_of


def error_of(action: Callable[[], object]) -> BaseException:
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def raised(error: BaseException) -> Callable[[], object]:
    def action() -> None:
        raise error

    return action


def caused(error: Exception, by: Exception) -> Callable[[], object]:
    def action() -> None:
        raise error from by

    return action


ONE = torch.zeros(1, 8)


class Unbound:
    """A task whose methods have the wrong arguments."""

    def load_data(self, options: object) -> None: ...

    def build_model(self, config: object) -> None: ...


@pytest.mark.parametrize(
    "action",
    [
        lambda: nn.BatchNorm1d(8)(ONE),
        lambda: nn.Linear(9, 1)(ONE),
        lambda: nn.Linear(8, 1)(ONE.double()),
        lambda: nn.Conv2d(3, 8, 3)(torch.zeros(1, 1, 8, 8)),
        lambda: nn.Conv2d(3, 8, 9)(torch.zeros(1, 3, 8, 8)),
        lambda: nn.functional.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 15])),
        lambda: nn.functional.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 1], dtype=torch.int32)),
        lambda: torch.zeros(1).backward(),
        lambda: torch.zeros(3) + torch.zeros(4),
        lambda: nn.Linear(8, 1).load_state_dict({}),
        lambda: ONE[5],
        lambda: dict[str, int]()["x"],
        lambda: None.shape,  # type: ignore[attr-defined]
        lambda: nn.Linear(width=3),  # type: ignore[call-arg]
        raised(SystemExit("no GPU")),
        raised(NotImplementedError()),
        raised(ModuleNotFoundError("No module named 'timm'")),
    ],
)
def test_mistakes_in_a_model_come_again(action: Callable[[], object]) -> None:
    error = error_of(action)
    assert failure_of(error, "").kind is FailureKind.LASTING, error


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (raised(ConnectionResetError("x")), FailureKind.PASSING),
        (raised(FileNotFoundError("x")), FailureKind.PASSING),
        (raised(TimeoutError("x")), FailureKind.PASSING),
        (raised(EOFError("x")), FailureKind.PASSING),
        (caused(ValueError("cannot read"), OSError("x")), FailureKind.PASSING),
        (raised(RuntimeError("NCCL error")), FailureKind.PASSING),
        (raised(RuntimeError("CUDA error: unspecified launch failure")), FailureKind.PASSING),
        (raised(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed")), FailureKind.PASSING),
        (raised(RuntimeError("weird")), FailureKind.ERROR),
        (lambda: json.loads('{"half'), FailureKind.ERROR),
    ],
)
def test_what_the_machine_or_the_network_may_have_caused_may_pass(
    action: Callable[[], object], kind: FailureKind
) -> None:
    assert failure_of(error_of(action), "").kind is kind


def test_the_line_of_the_users_own_code_is_named_where_the_text_alone_does_not_help() -> None:
    def build_model() -> None:
        dict[str, int]()["labels"]

    line = build_model.__code__.co_firstlineno + 1
    cause = failure_of(error_of(build_model), "").cause
    assert cause == f"KeyError: labels (test_causes.py:{line}, in build_model)"
    assert failure_of(error_of(raised(ValueError("width is 0"))), "").cause == "ValueError: width is 0"


def test_the_options_that_caused_it_are_named() -> None:
    cause = failure_of(error_of(lambda: nn.BatchNorm1d(8)(ONE)), "").cause
    for option in ("trial.batch_size", "crops", "model.depth", "model.normalization"):
        assert option in cause
    assert "float32" in advice(str(error_of(lambda: nn.Linear(8, 1)(ONE.double()))))
    assert "int64" in advice(
        str(error_of(lambda: nn.functional.cross_entropy(torch.zeros(1, 3), ONE[0, :1].int())))
    )
    assert "trial.precision" in advice(str(error_of(lambda: nn.Linear(8, 1).half()(ONE))))
    assert "@classmethod" in advice(str(error_of(lambda: Unbound.load_data(1))))
    assert "self.options" in advice(str(error_of(lambda: Unbound().build_model())))
    fixed = np.zeros(3)
    fixed.flags.writeable = False
    for change in (lambda: fixed.__setitem__(0, 1), lambda: fixed.__isub__(1)):
        assert "change a copy" in advice(str(error_of(change)))
    assert advice("[Errno 30] Read-only file system: 'x'") == ""
    assert advice("something else") == ""


def test_a_long_text_is_cut_and_says_where_the_whole_is() -> None:
    text = "bad value " + "x" * 2_000_000
    assert len(on_one_line(text, "error.txt")) < MAX_LINE + 100
    assert on_one_line(text, "error.txt").endswith("... (2,000,010 characters, the whole is in error.txt)")
    many = shortened("\n".join(f"line {n}" for n in range(3000)))
    assert many.startswith("line 0\n")
    assert many.endswith("line 2999")
    assert len(many) < 300
    assert shortened("one\ntwo") == "one\ntwo"
    cut = cause_text(ValueError(text), "the traceback")
    assert cut.endswith("(cut: the whole is in the traceback)")
    assert len(failure_of(ValueError(text), "").cause) < MAX_LINE + 120


@pytest.mark.parametrize(
    ("code", "text"),
    [("no GPU", "no GPU"), (3, "sys.exit(3) was called"), (None, "sys.exit() was called")],
)
def test_the_text_of_an_exit_is_the_cause(code: object, text: str) -> None:
    cause = failure_of(error_of(raised(SystemExit(code))), "").cause
    assert cause.startswith(f"SystemExit: {text} (test_causes.py:")
