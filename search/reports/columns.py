"""The trials of a search as columns of plain values, from which the page draws everything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from search.reports.importance import BY_RANK, depths, importances
from search.reports.opened import Stage
from search.space.domains import Choice, Domain
from search.study.trial import TrialRecord

_LOGARITHMIC = ("loguniform", "lograndint")


def columns(stage: Stage, *, running: bool) -> dict[str, Any]:
    """What the page knows of one search.

    Args:
        stage: the search.
        running: somebody runs it now.
    """
    parameters = _parameters(stage)
    at = depths(stage)
    number_of_all = max(at.values(), default=0)
    compared = {BY_RANK: len(stage.ranked)} | at
    began = min((record.jobs[0][0] for record in stage.records if record.jobs), default=0.0)
    mode = stage.config.objective.mode
    return {
        "name": stage.name,
        "metric": stage.config.objective.metric,
        "mode": mode,
        "length": stage.length,
        "began": began,
        "rungs": stage.marks,
        "depths": [[depth, number] for depth, number in compared.items()],
        "depth": BY_RANK if at.get(stage.length) != number_of_all else stage.length,
        "parameters": parameters,
        "trials": _trials(stage, [each["name"] for each in parameters], parameters, began, running),
        "importances": [_importances(stage, depth) for depth in compared],
    }


def state_of(record: TrialRecord, stage: Stage, *, running: bool) -> str:
    """How the trial ended, or whether it is running, paused or interrupted."""
    if record.outcome is not None:
        return str(record.outcome)
    at_rung = stage.scheduler.pauses and stage.rungs.pauses(record) and record.promoted_at < record.depth
    if at_rung or (record.held_at == record.depth and record.depth):
        return "paused"
    return "running" if running else "interrupted"


def _parameters(stage: Stage) -> list[dict[str, Any]]:
    """Each parameter that some trial has, in the order of the newest space that has it."""
    domains: dict[str, Domain] = {}
    for space in reversed(list({record.space_number: record.space for record in stage.records}.values())):
        for domain, _ in space.root.domains():
            domains.setdefault(domain.name, domain)
    values: dict[str, list[Any]] = {}
    for record in stage.records:
        for name, value in record.params.items():
            values.setdefault(name, []).append(value)
    return [_parameter(domain, values[name]) for name, domain in domains.items() if name in values]


def _parameter(domain: Domain, values: Sequence[Any]) -> dict[str, Any]:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if isinstance(domain, Choice) or not numbers:
        labels = list(domain.labels) if isinstance(domain, Choice) else []
        labels += [value for value in dict.fromkeys(values) if value not in labels]
        return {"name": domain.name, "kind": "choice", "options": labels}
    low, high = domain.bounds
    kind = "log" if domain.kind in _LOGARITHMIC else "linear"
    # A space that was changed between sessions may have been wider.
    return {"name": domain.name, "kind": kind, "low": min(low, *values), "high": max(high, *values)}


def _trials(
    stage: Stage, names: Sequence[str], parameters: Sequence[Mapping[str, Any]], began: float, running: bool
) -> dict[str, Any]:
    mode, records = stage.config.objective.mode, stage.records
    ranks = {record.number: rank for rank, record in enumerate(stage.ranked, start=1)}
    best = [record.best_virtual_epoch(mode) for record in records]
    return {
        "number": [record.number for record in records],
        "rank": [ranks.get(record.number) for record in records],
        "state": [state_of(record, stage, running=running) for record in records],
        "reason": [record.reason for record in records],
        "value": [_rounded(record.value(mode)) for record in records],
        "at": best,
        "values": [[_rounded(value) for value in record.values] for record in records],
        "steps": [record.steps for record in records],
        "seconds": [round(record.seconds, 1) for record in records],
        "failures": [len(record.failures) for record in records],
        "params": [
            [
                _value(parameter, record.params_at(virtual_epoch).get(name))
                for record, virtual_epoch in zip(records, best, strict=True)
            ]
            for name, parameter in zip(names, parameters, strict=True)
        ],
        "jobs": [[[round(time - began, 2) for time in job] for job in record.jobs] for record in records],
    }


def _value(parameter: Mapping[str, Any], value: Any) -> Any:
    """A number, the index of an option, or None where the trial has no such parameter."""
    if value is None and None not in parameter.get("options", ()):
        return None
    return parameter["options"].index(value) if parameter["kind"] == "choice" else _rounded(value)


def _importances(stage: Stage, depth: int) -> dict[str, Any] | None:
    found = importances(stage, depth)
    if found is None:
        return None
    rows = [[each.name, each.share, each.low, each.high, each.by_chance] for each in found.of]
    return {"depth": depth, "trials": found.trials, "top": found.top, "rows": rows}


def _rounded(value: float | None) -> float | None:
    """Six digits; None for what is not finite, which JSON has not."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.6g}") if isinstance(value, float) else value
