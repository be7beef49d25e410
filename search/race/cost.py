"""What a race over seeds takes at most, before there is one."""

from __future__ import annotations

from typing import NamedTuple

from search.config.stages import SearchConfig
from trainables.data.virtual_epoch import VirtualEpochs


class ConfirmPlan(NamedTuple):
    """The most that the race of the best trials over seeds takes."""

    top: int
    seeds: int
    virtual_epochs: int
    steps: int
    """With the batch size of the trial that was run."""


def confirm_plan(search: SearchConfig, lengths: VirtualEpochs) -> ConfirmPlan | None:
    """The race, by the full length of the last stage's trials."""
    asked, last = search.confirm, search.stages[-1].configs[0]
    if asked is None:
        return None
    runs, length = asked.top * asked.seeds, last.budget.max_virtual_epochs
    return ConfirmPlan(asked.top, asked.seeds, runs * length, runs * lengths.end_step(length))
