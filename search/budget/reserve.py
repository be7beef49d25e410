"""What a search keeps in reserve, so that it ends with a fully trained best trial.

A search with a limit may begin a job only if afterwards the best trial, whichever it is then, can still be
trained to full length (as in HyperSched, Liaw et al., arXiv:2001.02338, which moves the resources of a search
to its leading trials as the deadline comes near). So the last trial begins when one full training is left,
and what is left then goes to the leading trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from search.budget.limits import Limit, limits_of
from search.budget.totals import totals_of
from search.config.config import Config
from search.fidelity.draw import is_audited
from search.schedulers.base import Scheduler
from search.study.study import SearchStudy
from search.study.trial import Outcome, TrialRecord, ranked

_ROUNDING = 1e-9


def is_fully_trained(record: TrialRecord, num_virtual_epochs: int) -> bool:
    """Whether the trial has come to its end: its full length, a plateau, or where its scheduler ended it."""
    ended = record.outcome is Outcome.STOPPED and not record.stopped_by_budget
    return record.depth >= num_virtual_epochs or ended


def is_held(record: TrialRecord) -> bool:
    """Whether the trial paused for the budget alone at its last report, and was not continued since."""
    return record.depth > 0 and record.held_at == record.depth != record.promoted_at


class Reserve:
    """Says what a search may still begin; a function of the study, of what runs, and of the clock.

    Limits below one full training have no reserve: the search ends where they are reached.

    Args:
        study: the truth about the search.
        scheduler: says how far a job goes.
        config: with the budget.
        elapsed: seconds of the search so far.
    """

    def __init__(
        self, study: SearchStudy, scheduler: Scheduler, config: Config, elapsed: Callable[[], float]
    ) -> None:
        self.limits = list(limits_of(study, config, elapsed, self._num_starts))
        self.obstacles: list[Limit] = []
        """Limits that kept jobs from being begun, see `admits`."""
        self._study, self._scheduler, self._config = study, scheduler, config
        self._full_length = config.budget.max_virtual_epochs

    @property
    def reached(self) -> str | None:
        """The limit at which the search has arrived, if any."""
        return next((limit.name for limit in self.limits if limit.left <= 0), None)

    def share(self, key: str) -> float:
        """Share that is spent of the limit with that key."""
        return next(limit.spent / limit.total for limit in self.limits if limit.key == key)

    @property
    def best(self) -> TrialRecord | None:
        return totals_of(self._study).best

    @property
    def has_limits(self) -> bool:
        """Whether there is a limit within which a full training fits."""
        return any(self._has_reserve(limit) for limit in self.limits)

    def may_continue(self, record: TrialRecord) -> bool:
        """Whether the trial can be trained further."""
        unended = record.outcome is None or record.resumable
        return unended and not record.of_other_data and record.depth < self._full_length

    @property
    def held(self) -> list[TrialRecord]:
        """Trials that paused for the budget alone, the best first."""
        if not self.limits:  # then they have continued at once
            return []
        held = [r for r in self._study.records if is_held(r) and self.may_continue(r)]
        return ranked(held, self._study.mode)

    def admits(self, record: TrialRecord | None, others: Collection[TrialRecord]) -> bool:
        """Whether a job can be begun; limits that keep it from that are added to `obstacles`.

        The best trial may always continue alone: what is left is of no better use.

        Args:
            record: the trial; None for a new one.
            others: trials with a running job.
        """
        unfit = [limit for limit in self.limits if not self._fits(limit, record, others)]
        if record is not None and record is self.best:
            unfit = [limit for limit in unfit if limit.shared and others]
        self.obstacles += unfit
        return not unfit

    def holds(self, record: TrialRecord, running: Collection[TrialRecord]) -> bool:
        """Whether a job pauses for the budget, which is recorded, although its scheduler has it go on.

        At a rung this is a decision as at the beginning of a job. Between rungs a job is paused only where
        virtual epochs take more than those before them did: for the sake of the best trial, or because it
        cannot come to its own end any more.
        """
        others = [other for other in running if other is not record]
        if self._job_end(record, record.depth - 1) == record.depth:
            goes_on = self.admits(record, others)
        else:
            estimated = [limit for limit in self.limits if not limit.is_exact]
            goes_on = record is self.best or all(self._still_fits(each, record, others) for each in estimated)
        if not goes_on:
            self._study.hold(record)
        return not goes_on

    def leading(
        self, others: Collection[TrialRecord], left_out: Collection[TrialRecord], *, best_only: bool
    ) -> TrialRecord | None:
        """The trial that continues when nothing else is to begin: the best, then those next to it that fit.

        Without a limit of time the best waits until nothing else runs, as that may become better.

        Args:
            others: trials with a running job.
            left_out: trials that cannot be chosen.
            best_only: what is left besides is not for others.
        """
        best = self.best
        if best is None or not self.has_limits or best in left_out:
            return None
        if self.may_continue(best) and best not in others:
            in_parallel = not all(limit.shared for limit in self.limits)
            chosen = not others or (in_parallel and self.admits(best, others))
            return best if chosen else None
        if best_only:
            return None
        for record in ranked(self._study.records, self._study.mode)[: self._config.checkpoint.keep_trials]:
            chosen = self.may_continue(record) and record not in others and record not in left_out
            if chosen and self.admits(record, others):
                return record
        return None

    def num_new_trials(self) -> int:
        """No more trials than so many can begin, by what their first jobs take at the least."""
        number, trials = len(self._study.records), self._config.budget.trials
        # The next one may be let through further than those after it.
        first = self._scheduler.next_decision(number, 0, None, self._full_length)
        most = [math.inf if trials is None else trials - number] + [
            limit.left / cost
            for limit in self.limits
            if limit.shared and (cost := limit.cost(None, 0, first, safely=False)) > 0
        ]
        return max(0, math.ceil(min(*most, 10**9)))

    def _has_reserve(self, limit: Limit) -> bool:
        return limit.full_training <= limit.total * (1 + _ROUNDING)

    def _fits(self, limit: Limit, record: TrialRecord | None, others: Collection[TrialRecord]) -> bool:
        if limit.shared and others and not limit.is_known:
            return False  # as many as there are workers could take more than there is
        if not self._has_reserve(limit):
            return True
        depth, stop = 0 if record is None else record.depth, self._job_end(record)
        left = limit.left - limit.cost(record, depth, stop)
        needed = [limit.cost(record, stop, self._full_length)]
        if limit.shared:
            ends = [(other, self._job_end(other)) for other in others]
            left -= sum(limit.cost(other, other.depth, end) for other, end in ends)
            needed += [limit.cost(other, end, self._full_length) for other, end in ends]
        best = self.best
        if best is not None and best is not record and best not in others and self.may_continue(best):
            needed.append(limit.cost(best, best.depth, self._full_length))
        return left >= max(needed) - _ROUNDING * limit.total

    def _still_fits(self, limit: Limit, record: TrialRecord, others: Collection[TrialRecord]) -> bool:
        if not self._has_reserve(limit):
            return True
        left, best = limit.left, self.best
        if left < limit.cost(record, record.depth, self._full_length, safely=False):
            return False
        if best is None or not self.may_continue(best) or (best in others and not limit.shared):
            return True
        running = [record, *others] if limit.shared else [record]
        left -= sum(limit.cost(r, r.depth, r.depth + 1) for r in running if r is not best)
        return left >= limit.cost(best, best.depth, self._full_length)

    def _num_starts(self, record: TrialRecord | None, start: int, stop: int) -> int:
        """How many jobs begin while a trial trains from `start` to `stop`; one that runs has begun."""
        depth, count = start, 0
        while depth < stop:
            depth, count = self._job_end(record, depth), count + 1
        if not self._scheduler.pauses:
            count = min(1, count)
        under_way = record is not None and record.running and start == record.depth
        return max(0, count - under_way)

    def _is_audited(self, record: TrialRecord | None) -> bool:
        if record is not None:
            return record.audited
        return is_audited(self._study.records, self._config, self._config.budget.trials)

    def _job_end(self, record: TrialRecord | None, depth: int | None = None) -> int:
        """Depth up to which a job trains that begins at `depth` (default: where the trial is)."""
        number = len(self._study.records) if record is None else record.number
        lengths = None if record is None else record.lengths
        at = depth if depth is not None else 0 if record is None else record.depth
        if at >= self._full_length:
            return at
        if self._is_audited(record):
            return self._full_length
        bracket = self._scheduler.next_bracket(self._study) if record is None else record.bracket
        return self._scheduler.next_decision(number, at, lengths, self._full_length, bracket)
