"""What a search was forecast to take, kept in its folder, and what it took, side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from search.errors import RefusedError, SearchError
from search.run.before.changes import differences
from search.run.disk.folder import RunFolder, write_json
from search.run.outcome.summary import Summary
from search.text import counted, short_path, shown_apart

FORMAT = 1
_MAX_DIFFERENCES = 10
"""Keys that are named where a plan was made of another configuration."""


@dataclass(frozen=True)
class Range:
    """A number as it is forecast."""

    low: float
    """At or below it in 10 % of the simulated searches."""
    middle: float
    high: float
    """At or below it in 90 %."""


@dataclass(frozen=True, kw_only=True)
class Bought:
    """What a budget buys."""

    budget: str
    """Its limits, in words."""
    factor: float
    """Of the budget that the configuration has."""
    seconds: Range
    """Wall time of the search; its start, and a race over seeds after it, not counted."""
    trials: Range
    full_trainings: Range
    """All virtual epochs, as a number of trainings of full length."""
    fully_trained: Range
    """Trials of full length."""
    disk_bytes: Range
    """Of the run's folder at the end."""
    peak_bytes: Range
    """The most that it holds while the search runs."""
    searches: int
    """Simulated ones that this is taken from."""


@dataclass(frozen=True, kw_only=True)
class StageForecast:
    """The forecast of a search, or of one of its named stages."""

    name: str
    """Of the stage; empty where the configuration has none."""
    concurrency: int
    scheduler: str
    """Its name, and its rungs if it has any."""
    configurations: int
    """Sampled ones that were measured."""
    broken_off: float
    """Share of those within the limits that diverged or failed."""
    sampled: int
    """Configurations of which is known whether they are over the limit."""
    over_limit: int
    """Those of them that were over it, which are not trained."""
    beyond: list[str]
    """What was over its limit, as `65.8k parameters of at most 2k`, each once."""
    virtual_epoch: Range
    """Seconds of one, over the measured configurations."""
    checkpoint_bytes: float
    """Of the largest one that was measured."""
    trial_memory: float | None
    """The most bytes of memory that a trial's process took."""
    machine_memory: float | None
    trial_gpu_memory: float | None
    gpu_memory: float | None
    bought: Bought
    others: list[Bought]
    """What other budgets would buy."""
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What `tune-search plan` found out; the content of the file that it writes."""

    name: str
    config: dict[str, Any] = field(repr=False)
    """The whole configuration, as config.yaml holds it."""
    probe_seconds: float
    """What the probe took, with the start of its processes."""
    seconds: Range
    """Of all stages together."""
    trials: Range
    disk_bytes: Range
    stages: list[StageForecast]
    race_seconds: float | None = None
    """The most that the race over seeds takes after it; None without one."""
    format: int = FORMAT

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_forecast(file: Path) -> Mapping[str, Any]:
    """What `plan --out` wrote, as it stands there.

    Raises:
        SearchError: it cannot be read.
        RefusedError: it is no such file.
    """
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
        ranges = [written[key] for key in ("seconds", "trials", "disk_bytes")]
        known = written["format"] == FORMAT and isinstance(written["config"], dict)
        known = known and all(float(given[at]) >= 0 for given in ranges for at in ("low", "middle", "high"))
    except OSError as error:
        raise SearchError(f"cannot read {short_path(file)}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise RefusedError(f"{short_path(file)} is not what `tune-search plan CONFIG --out FILE` writes")
    found: Mapping[str, Any] = written
    return found


def take_forecast(file: Path, folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Keep in a run's folder what was forecast of its search.

    Args:
        file: what `plan --out` wrote.
        folder: of the run.
        config: the whole configuration of the search, as config.yaml holds it.

    Raises:
        SearchError: it is no such file, or was made of another configuration.
    """
    found = read_forecast(file)
    differing = _differing(found["config"], config)
    if differing:
        lines = [f"{short_path(file)} was made of another configuration:"]
        for path, planned, asked in differing[:_MAX_DIFFERENCES]:
            then, now = shown_apart(planned, asked)
            lines.append(f"  {path} is {then} in the plan, and {now} in this search")
        if len(differing) > _MAX_DIFFERENCES:
            lines.append(f"  and {counted(len(differing) - _MAX_DIFFERENCES, 'key')} more")
        lines.append(
            "make it anew by `tune-search plan CONFIG --out FILE` with the same --set, or leave it out"
        )
        raise RefusedError("\n".join(lines))
    write_json(folder.forecast, found)


def with_forecast(summary: Summary, folder: RunFolder, config: Mapping[str, Any]) -> Summary:
    """The summary with forecast and fact side by side, if there is a forecast of this very search.

    A search that is not complete has no facts yet, and one that was continued with other limits is another.
    """
    if summary.status != "complete" or not folder.forecast.is_file():
        return summary
    found = read_forecast(folder.forecast)
    if _differing(found["config"], config):
        return summary
    facts = {"seconds": summary.seconds, "trials": summary.trials, "disk_bytes": _bytes_of(folder)}
    compared = {key: {"forecast": found[key], "fact": fact} for key, fact in facts.items()}
    return replace(summary, forecast=compared)


def _differing(planned: Mapping[str, Any], asked: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Keys of two configurations that differ, with both values; the name of the run does not count."""
    before, now = ({**json.loads(json.dumps(each, default=str)), "name": ""} for each in (planned, asked))
    return list(differences(before, now))


def _bytes_of(folder: RunFolder) -> int:
    """Bytes of what the search has left in its folder; exports and the race over seeds are not of it."""
    left_out = {folder.exported, folder.confirm_path, folder.scratch}
    tops = (path for path in folder.path.iterdir() if path not in left_out)
    files = (file for top in tops for file in (top, *top.rglob("*")))
    return sum(file.stat().st_size for file in files if file.is_file())
