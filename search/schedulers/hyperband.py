"""Several successive halvings side by side."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import partial

from search.config.schema import Mode
from search.schedulers.asha import halve
from search.schedulers.base import Decision, Rungs, Scheduler
from search.schedulers.rung_table import rung_table_of
from search.study.study import SearchStudy
from search.study.trial import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs


class Hyperband(Scheduler):
    """Several successive halvings side by side, each with its own first rung (Li et al., arXiv:1603.06560).

    Which of them a trial belongs to is a function of its number: in turn, each as often as its share.
    Optuna's pruner is not used: it writes into the study when it is asked, so a process that dies there
    decides otherwise afterwards.
    """

    def __init__(self, grace_period: int, reduction_factor: int, mode: Mode, num_virtual_epochs: int) -> None:
        self.rungs = Rungs(grace_period, reduction_factor)
        self._mode = mode
        first_rungs = [grace_period]
        while first_rungs[-1] * reduction_factor <= num_virtual_epochs:
            first_rungs.append(first_rungs[-1] * reduction_factor)
        self._brackets = [Rungs(rung, reduction_factor) for rung in first_rungs]
        count = len(first_rungs)
        # n in Algorithm 1 of the paper, the bracket with the smallest first rung first.
        shares = [math.ceil(count * reduction_factor**s / (s + 1)) for s in reversed(range(count))]
        self._turns = _in_turn(shares)

    def bracket(self, number: int) -> int:
        """The bracket of trial `number`; 0 has the smallest first rung."""
        return self._turns[number % len(self._turns)]

    def rungs_of(self, number: int) -> Rungs:
        return self._brackets[self.bracket(number)]

    def is_rival(self, number: int, other: int) -> bool:
        return self.bracket(number) == self.bracket(other)

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        rungs = self.rungs_of(record.number)
        if not rungs.reached(record):
            return Decision.GO_ON
        table = rung_table_of(
            study,
            rungs,
            self._mode,
            group=self.bracket(record.number),
            among=partial(self.is_rival, record.number),
        )
        return halve(table, record)

    def next_decision(
        self,
        number: int,
        depth: int,
        lengths: VirtualEpochs | None,
        num_virtual_epochs: int,
        bracket: int = 0,
    ) -> int:
        return self.rungs_of(number).next_depth(depth, lengths, num_virtual_epochs)


def _in_turn(shares: Collection[int]) -> list[int]:
    """Indices of `shares`, each as often as its share says, spread evenly."""
    turns: list[int] = []
    for length in range(1, sum(shares) + 1):
        lags = [share * length / sum(shares) - turns.count(index) for index, share in enumerate(shares)]
        turns.append(max(range(len(lags)), key=lags.__getitem__))
    return turns
