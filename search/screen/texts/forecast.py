"""The forecast of a search as `plan` prints it, and beside what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from search.run.before.forecasted import Bought, Forecast, Range, StageForecast
from search.text import command, counted, duration, size_text

_WIDTH = 18
_MOST_BEYOND = 2
_UNITS = ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "h"), (2 * 60, 60, "min"), (0, 1, "s"))
"""From how many seconds on, in what, and its name."""


def forecast_text(found: Forecast, *, config: str, options: Sequence[str] = ()) -> str:
    """The forecast of each stage, their sum, and the search to run next, with these options."""
    lines: list[str] = []
    for stage in found.stages:
        lines += [f"stage {stage.name}"] if stage.name else []
        lines += [*_rows(stage), "", *_budgets([*stage.others, stage.bought]), ""]
    if len(found.stages) > 1:
        lines += [_row("all stages", f"{_times(found.seconds)}, {_sizes(found.disk_bytes)} at the end"), ""]
    if found.race_seconds is not None:
        lines += [_row("confirm", f"up to {_duration(found.race_seconds)} more"), ""]
    took = f"took {duration(found.probe_seconds)}; in brackets: 10 to 90 % of simulated searches"
    lines.append(_row("probe", took))
    return "\n".join([*lines, "", "next", f"  {command(config, *options)}"])


def compared_text(compared: Mapping[str, Any]) -> str:
    """`forecast 3 min 20 s [2 min 50 s to 4 min], 24 trials`, for the last screen of a search."""
    seconds = Range(**compared["seconds"]["forecast"])
    trials = Range(**compared["trials"]["forecast"])
    disk = Range(**compared["disk_bytes"]["forecast"])
    return (
        f"{_times(seconds)}, {_counts(trials)} trials, {_sizes(disk)}; it took "
        f"{_duration(compared['seconds']['fact'])}, {compared['trials']['fact']:,} trials, "
        f"{size_text(compared['disk_bytes']['fact'])}"
    )


def _rows(stage: StageForecast) -> Iterator[str]:
    bought = stage.bought
    measured = f"{counted(stage.configurations, 'configuration')}, a virtual epoch of which takes "
    measured += _between(stage.virtual_epoch, lambda seconds: f"{seconds:.3g} s")
    if stage.broken_off:
        of = "those within the limits" if stage.over_limit else "all"
        measured += f"; {stage.broken_off:.0%} of {of} diverged or failed"
    yield _row("measured", measured)
    if stage.over_limit:
        beyond = "; ".join([*stage.beyond[:_MOST_BEYOND], *(["..."] if stage.beyond[_MOST_BEYOND:] else [])])
        over = f"{stage.over_limit} of {counted(stage.sampled, 'configuration')}"
        yield _row("limits", f"{over} were over the limit ({beyond})")
    yield _row("scheduler", stage.scheduler)
    yield _row("at a time", f"{counted(stage.concurrency, 'trial')}{_memory(stage)}")
    yield _row("time", _times(bought.seconds))
    yield _row("trials", f"{_counts(bought.trials)}, of them fully trained {_counts(bought.fully_trained)}")
    meanwhile = f"up to {size_text(bought.peak_bytes.high)} meanwhile"
    yield _row("disk", f"{_sizes(bought.disk_bytes)} at the end, {meanwhile}")
    yield from (_row("note", note) for note in stage.notes)


def _memory(stage: StageForecast) -> str:
    """What a trial takes of memory, and how many would find room in it."""
    if stage.trial_memory is None or stage.machine_memory is None:
        return ""
    text = f", each with up to {size_text(stage.trial_memory)} of {size_text(stage.machine_memory)} memory"
    if stage.trial_gpu_memory is None or stage.gpu_memory is None:
        return text
    fit = int(stage.gpu_memory / stage.trial_gpu_memory)
    on_gpu = f"{size_text(stage.trial_gpu_memory)} of {size_text(stage.gpu_memory)} on a GPU"
    return f"{text}, and {on_gpu}, where {fit} find room"


def _budgets(bought: Sequence[Bought]) -> Iterator[str]:
    """A table of budgets, the smallest first."""
    head = ("", "budget", "time", "trials", "full trainings")
    rows = [head] + [
        (
            f"x {each.factor:g}",
            each.budget,
            _times(each.seconds),
            _counts(each.trials),
            _counts(each.full_trainings),
        )
        for each in sorted(bought, key=lambda each: each.factor)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(name: str, value: str) -> str:
    return f"{name:<{_WIDTH}}{value}"


def _times(seconds: Range) -> str:
    """`7.1 min [6.2 to 9.8]`."""
    size, unit = next((size, unit) for least, size, unit in _UNITS if seconds.middle >= least)
    return _with_range(seconds, lambda number: _digits(number / size), unit)


def _counts(numbers: Range) -> str:
    return _with_range(numbers, _digits)


def _sizes(numbers: Range) -> str:
    return _with_range(numbers, size_text)


def _digits(number: float) -> str:
    """Two digits, and all before the point."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _with_range(numbers: Range, text: Callable[[float], str], unit: str = "") -> str:
    """`24`, or `30 [26 to 41]` where the ends differ in what is shown."""
    low, middle, high = (text(number) for number in (numbers.low, numbers.middle, numbers.high))
    middle = f"{middle} {unit}".rstrip()
    return middle if low == high else f"{middle} [{low} to {high}]"


def _between(numbers: Range, text: Callable[[float], str]) -> str:
    low, high = text(numbers.low), text(numbers.high)
    return low if low == high else f"{low} to {high}"


def _duration(seconds: float) -> str:
    return f"{seconds / 86400:.1f} days" if seconds >= 2 * 86400 else duration(seconds)
