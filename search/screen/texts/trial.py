"""A trial in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.run.coordinator import Coordinator
from search.study.trial import TrialRecord
from search.text import value_text


def started_text(coordinator: Coordinator, record: TrialRecord, names: Sequence[str]) -> str:
    """How far a trial trains before it may pause, where that is further than usual, and its parameters."""
    bracket = coordinator.scheduler.bracket_text(coordinator.study, record)
    first = "let through to full length" if record.audited else bracket
    return f"started{f', {first}:' if first else ''} {params_text(record.params, names)}"


def params_text(params: Mapping[str, Any], names: Sequence[str]) -> str:
    """The searched parameters in their order, each by its label."""
    return " ".join(f"{label}={value_text(value)}" for label, value in labelled(params, names).items())


def labelled(params: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The searched parameters in their order, each by the last part of its name where that is unambiguous."""
    present = [name for name in names if name in params]
    last = [name.rpartition(".")[2] for name in present]
    return {
        part if last.count(part) == 1 else name: params[name]
        for name, part in zip(present, last, strict=True)
    }
