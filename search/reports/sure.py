"""How far the best value of a search can be believed, in sentences."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from itertools import pairwise

from search.config.sections.pbt import Pbt
from search.race.confirmed import Confirmed
from search.reports.opened import OpenedRun, Stage
from search.study.trial import TrialRecord, as_loss
from search.text import command, counted, number_text

_FEWEST_REPORTS = 3
"""Of which a spread can be told."""
_DEVIATIONS = 2.0
"""Standard errors by which two values must differ to be told apart."""


def sure_of(run: OpenedRun, stage: Stage, best: TrialRecord) -> Iterator[str]:
    """Whether the order of the first two can be believed: by a race over seeds, or by the trial's reports."""
    race = complete_race(run)
    if race is not None and race.best is not None:
        if race.best.chance is not None:
            yield (
                f"It is the best of {counted(len(race.candidates), 'candidate')} with a chance of "
                f"{race.best.chance:.0%}, by a race over {counted(race.best.seeds, 'seed')}."
            )
        yield (
            f"The charts show the search before that race, by one seed each, in which trial {best.number} "
            "was the best."
        )
        return
    if best.of_other_data:
        yield "The data have changed since: this value is of other data than there are now."
    if best.depth < stage.length and not run.is_running:
        yield "It was not trained to its full length, and may still improve."
    if len(stage.ranked) > 1:
        yield from _lead(stage, best, stage.ranked[1])
    if not (run.is_running or isinstance(stage.config.scheduler, Pbt)):
        confirm = command("confirm", run.folder.path)
        yield f"One seed tells nothing of the next: `{confirm}` races the best trials over new seeds."


def complete_race(run: OpenedRun) -> Confirmed | None:
    """The race over seeds, if it has come to its end and has a winner."""
    race = run.race
    return race if race is not None and race.status == "complete" and race.best is not None else None


def _lead(stage: Stage, best: TrialRecord, second: TrialRecord) -> Iterator[str]:
    """By how much the first leads, against how much its own reports vary."""
    mode = stage.config.objective.mode
    one, other = best.mean(mode), second.mean(mode)
    if one is None or other is None or second.of_other_data != best.of_other_data:
        return  # they are ranked by something else than these values
    lead, noise = as_loss(other, mode) - as_loss(one, mode), noise_of(best)
    if noise is None:
        return
    window = min(best.window, best.depth)
    error = noise * math.sqrt(2.0 / window)
    told = (
        f"It leads trial {second.number} by {number_text(lead)}"
        f"{f' on average over {window} virtual epochs' if window > 1 else ''}; "
        f"its own last reports vary by ± {number_text(noise)} from one to the next"
    )
    yield f"{told}, so the two may as well be equal." if lead <= _DEVIATIONS * error else f"{told}."


def noise_of(record: TrialRecord) -> float | None:
    """Standard deviation of the last reports without their trend, as many as it is ranked by, 5 at least.

    By the mean squared difference of successive values (von Neumann et al., The mean square successive
    difference, 1941); None of fewer than three.
    """
    last = [value for value in record.values[-max(record.window, 5) :] if math.isfinite(value)]
    if len(last) < _FEWEST_REPORTS:
        return None
    return math.sqrt(statistics.fmean((later - one) ** 2 for one, later in pairwise(last)) / 2.0)
