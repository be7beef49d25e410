"""The same trial twice, and one that is interrupted inside an epoch, bit for bit."""

from __future__ import annotations

import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.cases import CASES, arrays_of, per_case, plan_of
from benchmarks.gpu.check import Check, Context, Figure
from trainables.session import TrialPlan, TrialSession

_CLOCK = ("seconds", "samples_per_second")


def repeated(context: Context, case: str, precision: str) -> Figure:
    """The largest difference between two runs of one trial, in anything that its checkpoint holds."""
    one, named = _trained(context, case, precision, deterministic=True)
    other, _ = _trained(context, case, precision, deterministic=True)
    note = f"not deterministic: {', '.join(named)}" if named else ""
    if precision == "bf16":  # what people get who do not ask for it
        usual = [_trained(context, case, precision, deterministic=False)[0] for _ in range(2)]
        apart = difference(*usual)
        note += f"{'; ' if note else ''}by default {'equal' if apart == 0 else f'{apart:.2g} apart'}"
    return Figure(difference(one, other), "apart", limit=0.0, note=note)


def resumed(context: Context, case: str, precision: str) -> Figure:
    """The same between an uninterrupted trial and one that another session continued inside an epoch."""
    whole, _ = _trained(context, case, precision, deterministic=True)
    parts, _ = _trained(context, case, precision, deterministic=True, interrupted_after=1)
    return Figure(difference(whole, parts), "apart", limit=0.0)


def _trained(
    context: Context, case: str, precision: str, *, deterministic: bool, interrupted_after: int = 0
) -> tuple[dict[str, Any], list[str]]:
    """Everything of a trial at its end, and the operations that torch names as not deterministic."""
    changes = {**CASES[case].random, "deterministic": deterministic}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        plan = plan_of(case, context, Path(folder), precision, **changes)
        if interrupted_after:
            _session(plan, case, interrupted_after).close()
        session = _session(plan, case, plan.num_virtual_epochs)
        session.close()
        end = everything(session)
    names = {m[1] for w in warned if (m := re.search(r"(\S+) does not have a determ", str(w.message)))}
    return end, sorted(names)


def _session(plan: TrialPlan, case: str, until: int) -> TrialSession:
    session = TrialSession(plan, arrays_of(case))
    while len(session.history) < until:
        report = session.next_report()
        if "diverged" in report:
            raise AssertionError(report["diverged"])
    return session


def everything(session: TrialSession) -> dict[str, Any]:
    """Weights, state and records of a trial, without what a clock has measured."""
    state = session.trainer.state_dict()
    state["counters"] = {name: value for name, value in state["counters"].items() if name not in _CLOCK}
    history = [{n: v for n, v in record.items() if n not in _CLOCK} for record in session.history]
    return {"weights": dict(session.trainer.weights()), "state": state, "history": history}


def difference(one: Any, other: Any) -> float:
    """The largest absolute difference of any number in these, infinite where their shapes differ."""
    if isinstance(one, dict):
        if not isinstance(other, dict) or list(one) != list(other):
            return float("inf")
        return max((difference(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, list | tuple):
        if not isinstance(other, list | tuple) or len(one) != len(other):
            return float("inf")
        return max((difference(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    if isinstance(one, Tensor):
        return _apart(one, other)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return 0.0 if one == other or (one != one and other != other) else abs(float(one) - float(other))
    return 0.0 if one == other else float("inf")


def _apart(one: Tensor, other: Any) -> float:
    if not isinstance(other, Tensor) or one.shape != other.shape or one.dtype != other.dtype:
        return float("inf")
    if one.numel() == 0 or torch.equal(one, other):
        return 0.0
    return float((one.double() - other.double()).abs().max())


CHECKS: list[Check] = [
    *per_case("repeat", "the same trial twice is the same bit for bit (deterministic: true)", repeated),
    *per_case("resume", "resumed inside an epoch it ends as if undisturbed", resumed),
]
