"""The best of a search as text: its front, or one trial, which is the winner of the race if there is one.

And by what each trial is ranked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from search.config.schema import Mode
from search.config.sections.limits import measured_text
from search.run.outcome.summary import NO_VALUE, Best, Summary
from search.screen.texts.confirm import confirmed_lines
from search.screen.texts.front import front_lines
from search.study.lineage import schedule_lines
from search.study.trial import TrialRecord
from search.text import number_text, value_text


def best_lines(summary: Summary, *, color: bool) -> list[str]:
    """What was found, after an empty line; where a race has a winner, that is what one should read."""
    if summary.front:
        return ["", *front_lines(summary)]
    race, best = summary.confirmed, summary.best
    if race is not None and race.best is not None and race.status == "complete":
        head, *rows = confirmed_lines(race, summary.metric)
        lines = ["", _bold(head, color), *_params(race.best.params), *_measured(race.best.measured), *rows]
        return (
            lines if best is None else [*lines, "", _before_the_race(best, race.best.trial, summary.metric)]
        )
    lines = [] if best is None else ["", *best_trial_lines(best, summary.metric, color)]
    if best is None and not summary.reason.startswith(NO_VALUE):
        lines = ["", NO_VALUE]
    return lines if race is None else [*lines, "", *confirmed_lines(race, summary.metric)]


def best_trial_lines(best: Best, metric: str, color: bool) -> list[str]:
    """The best trial of a search: its value, where it has it, and its parameters."""
    head = _bold(f"best trial {best.trial}: {metric} {number_text(best.value)}", color)
    where = f"{head} at virtual epoch {best.virtual_epoch}, step {best.step}{_mean_text(best)}"
    lines = [f"{where}, on other data than there are now" if best.of_other_data else where]
    return [*lines, *_params(best.params), *schedule_lines(best.schedule), *_measured(best.measured)]


def _before_the_race(best: Best, winner: int, metric: str) -> str:
    """What the search itself had, which is of one seed and so in part its luck."""
    also = " too" if best.trial == winner else ""
    at = f"virtual epoch {best.virtual_epoch}, step {best.step}{_mean_text(best)}"
    value = f"{metric} {number_text(best.value)} at {at}"
    return f"in the search, by one seed each, trial {best.trial} was the best{also}: {value}"


def _mean_text(best: Best) -> str:
    """By what the trial was chosen, where that is not its value."""
    if best.window == 1 or best.mean is None:
        return ""
    return f" ({number_text(best.mean)} on average over {best.window} virtual epochs)"


def _params(params: Mapping[str, Any]) -> list[str]:
    return [f"  {name} = {value_text(value)}" for name, value in params.items()]


def _measured(measured: Mapping[str, float]) -> list[str]:
    return [f"  {measured_text(measured)}"] if measured else []


def _bold(text: str, color: bool) -> str:
    return click.style(text, bold=True) if color else text


def standing_text(record: TrialRecord, mode: Mode) -> str:
    """`mean of 5 0.9139`, by which it is ranked; `best 0.91` where that is the best report."""
    mean = record.mean(mode)
    if mean is None or record.window == 1:
        return f"best {number_text(record.best(mode))}"
    return f"mean of {min(record.window, record.depth)} {number_text(mean)}"
