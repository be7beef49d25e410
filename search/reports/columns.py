"""The trials of a search as columns of plain values, from which the page draws everything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from search.listing.rows import TrialRow, rows_of
from search.reports.importance import BY_RANK, depths, importances, is_compared
from search.reports.opened import Stage
from search.space.domains import Choice, Domain
from search.study.times import wall_clock

_LOGARITHMIC = ("loguniform", "lograndint")


def columns(stage: Stage, *, running: bool) -> dict[str, Any]:
    """What the page knows of one search.

    Args:
        stage: the search.
        running: somebody runs it now.
    """
    parameters = _parameters(stage)
    at = depths(stage)
    number = sum(map(is_compared, stage.records))
    compared = {BY_RANK: number} | at
    began = min((job.began for record in stage.records for job in record.jobs), default=0.0)
    mode = stage.config.objective.mode
    return {
        "name": stage.name,
        "metric": stage.config.objective.metric,
        "mode": mode,
        "length": stage.length,
        "scheduler": stage.config.scheduler.name,
        "began": began,
        "rungs": stage.marks,
        "depths": [[depth, number] for depth, number in compared.items()],
        "depth": stage.length if at.get(stage.length) == number else BY_RANK,
        "parameters": parameters,
        "trials": _trials(stage, parameters, began, running),
        "importances": [_importances(stage, depth) for depth in compared],
    }


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
    # A space that was changed between sessions may have been wider.
    low, high = min(low, *values), max(high, *values)
    kind = "log" if domain.kind in _LOGARITHMIC and low > 0 else "linear"
    return {"name": domain.name, "kind": kind, "low": low, "high": high}


def _trials(
    stage: Stage, parameters: Sequence[Mapping[str, Any]], began: float, running: bool
) -> dict[str, Any]:
    rows = sorted(rows_of(stage, is_running=running), key=lambda row: row.record.number)
    records = [row.record for row in rows]
    return {
        "number": [record.number for record in records],
        "rank": [row.rank for row in rows],
        "state": [row.state for row in rows],
        "reason": [row.reason for row in rows],
        "value": [_rounded(row.value) for row in rows],
        "at": [row.best_virtual_epoch or 0 for row in rows],
        "values": [[_rounded(value) for value in record.values] for record in records],
        "params": [[_value(parameter, row.params) for row in rows] for parameter in parameters],
        "compared": [is_compared(record) for record in records],
        "other": [record.of_other_data for record in records],
        "jobs": [_jobs(row, began) for row in rows],
    }


def _jobs(row: TrialRow, began: float) -> list[list[float]]:
    """Begin and end of each job in seconds; one that goes on has come to this moment."""
    jobs = [[job.began, job.heard_of] for job in row.record.jobs]
    if row.state == "running" and jobs:
        jobs[-1][1] = max(jobs[-1][1], wall_clock())
    return [[round(time - began, 2) for time in job] for job in jobs]


def _value(parameter: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
    """A number, the index of an option, or None where the trial has no such parameter."""
    if parameter["name"] not in params:
        return None
    value = params[parameter["name"]]
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
