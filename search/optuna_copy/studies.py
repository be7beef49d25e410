"""The studies of a copy for Optuna's tools: all trials of a search, and those that reached each rung."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from search.config.schema import Objective
from search.listing.reading import RunReading, StageReading
from search.optuna_copy.trials import OptunaTrials

_OF_SEARCH = """All trials of `{folder}`, each once.

- COMPLETE: trained to its end{compared}.
- PRUNED: ended early, or **paused** as of now and perhaps promoted later; the attribute `state` says which.
- RUNNING: trains now. WAITING: its search was interrupted, and it goes on when that is resumed.
- FAIL: an error in every attempt. Trials that diverged or are over a limit are PRUNED without a value.

Values of this study are of different depths. For parallel coordinates, slices and importances take one of the
studies at a virtual epoch, where like is compared with like."""

_AT_RUNG = """The trials of `{folder}` that reached {where}, each as it stood there: {what}.

The attribute `trial` is its number in the search. A trial that diverged later is PRUNED here, and one that
failed later is FAIL."""


@dataclass(frozen=True)
class OptunaStudy:
    """A study to be written."""

    name: str
    note: str
    """Markdown, which optuna-dashboard shows beside the study."""
    objectives: list[Objective]
    trials: list[FrozenTrial]


def studies_of(run: RunReading, *, is_running: bool) -> Iterator[OptunaStudy]:
    """The studies of a run, stage by stage: all trials, then those at each rung that any has reached.

    Args:
        run: the run.
        is_running: whether its search runs; only the last stage has running trials then.
    """
    for stage in run.stages:
        trials = OptunaTrials(stage, is_running and stage is run.last)
        yield from _of_stage(run, stage, trials)


def _of_stage(run: RunReading, stage: StageReading, trials: OptunaTrials) -> Iterator[OptunaStudy]:
    config, rungs = stage.config, stage.scheduler.rungs
    name = " ".join(filter(None, (run.folder.path.name, stage.name)))
    objectives, folder = config.objectives or [config.objective], stage.folder.path
    window = max((record.window for record in stage.records), default=1)
    mean = f", with its best mean of {window} virtual epochs, by which it is ranked" if window > 1 else ""
    yield OptunaStudy(
        name, _OF_SEARCH.format(folder=folder, compared=mean), objectives, list(trials.of_search())
    )
    length = config.budget.max_virtual_epochs
    deepest = max((rungs.index(r, min(r.depth, length - 1)) for r in stage.records), default=0)
    for index in range(1, deepest + 1):
        amount = rungs.grace_period * rungs.reduction_factor ** (index - 1)
        where = f"virtual epoch {amount}" if rungs.axis == "virtual_epochs" else f"{amount} {rungs.axis}"
        note = _AT_RUNG.format(folder=folder, where=where, what="the best of its reports up to there")
        if there := list(trials.at_rung(index)):
            yield OptunaStudy(f"{name} at {where}", note, objectives, there)
    if of_full_length := list(trials.at_full_length()):
        what = f"the best mean of {window} virtual epochs" if window > 1 else "the best of its reports"
        where = f"virtual epoch {length}"
        note = _AT_RUNG.format(folder=folder, where=f"full length, {where}", what=what)
        yield OptunaStudy(f"{name} at {where}", note, objectives, of_full_length)
