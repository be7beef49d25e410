"""What a budget of compute allows a search, held against its decisions in the order of its journal."""

from __future__ import annotations

from search.budget.reserve import Reserve
from search.config.config import Config
from search.schedulers.base import Scheduler
from search.study.study import SearchStudy
from search.study.trial import TrialRecord, ranked


class Budgeted:
    """The limits of compute of a replayed search.

    A limit that is known exactly must never be exceeded, a trial begins, or is held, only where the reserve
    says so, and the leading trials continue when nothing else fits. After a kill the journal does not say
    which trials run again already: with fewer of them more fits. So what must fit is tried with none beside
    it, and what must not with all that may run. What limits of time allow depends on a clock that is gone.

    Args:
        study: as the journal has made it so far.
        rule: the search's scheduler.
        config: of the search.
    """

    def __init__(self, study: SearchStudy, rule: Scheduler, config: Config) -> None:
        self._study, self._rule, self._config = study, rule, config
        self._reserve = Reserve(study, rule, config, lambda: 0.0)
        self._is_exact = all(limit.is_exact for limit in self._reserve.limits)

    @property
    def _judges(self) -> bool:
        return bool(self._reserve.limits) and self._is_exact

    @property
    def _running(self) -> list[TrialRecord]:
        return [record for record in self._study.records if record.running]

    def assert_may_begin(self, number: int) -> None:
        """A new trial leaves what the best one needs, and no held trial could have gone on in its place."""
        if not self._judges:
            return
        assert self._reserve.admits(None, []), f"trial {number} began, and the budget was not enough for it"
        for record in self._reserve.held:
            fits = self._reserve.admits(record, self._running)
            assert not fits, f"trial {number} began, and trial {record.number} was held although it fits"

    def assert_within_limits(self, record: TrialRecord) -> None:
        """What has been spent is within the limits."""
        for limit in self._reserve.limits if self._judges else ():
            where = f"trial {record.number} at virtual epoch {record.depth}"
            assert limit.left >= 0, f"{where}: {limit.spent} spent of the {limit.name} of {limit.total}"

    def assert_held(self, record: TrialRecord) -> None:
        """A trial pauses for the budget only where going on would have taken what the best one needs."""
        where = f"trial {record.number} was held at virtual epoch {record.depth}"
        assert self._reserve.limits, f"{where}, and there is no limit of compute"
        if self._judges:
            others = [other for other in self._running if other is not record]
            assert not self._reserve.admits(record, others), f"{where}, and the budget was enough for it"

    def assert_nothing_fits(self, where: str) -> None:
        """The search ends with this trial, and no other could begin, nor the best go on."""
        trials, best = self._config.budget.trials, self._reserve.best
        if not self._judges:
            return
        if trials is None or len(self._study.records) < trials:
            assert not self._reserve.admits(None, []), (
                f"{where} ended with the search, and a trial could begin"
            )
        if best is not None and self._reserve.may_continue(best) and self._reserve.has_limits:
            assert self._reserve.reached, (
                f"{where} ended with the search, and trial {best.number} could go on"
            )

    def leads(self, record: TrialRecord) -> bool:
        """Whether the trial continues as one of the best, as nothing else may: not by its scheduler."""
        chosen = self._rule.next_promotion(self._study, closing=False)
        if not self._reserve.limits or chosen is record:
            return False
        leading = ranked(self._study.records, self._study.mode)[: self._config.checkpoint.keep_trials]
        if record not in leading:
            return False
        if self._judges:
            trials, begun = self._config.budget.trials, len(self._study.records)
            where = f"trial {record.number} continued from virtual epoch {record.depth}"
            if chosen is not None:
                fits = self._reserve.admits(chosen, self._running)
                assert not fits, f"{where}, and trial {chosen.number} was to be promoted"
            elif trials is None or begun < trials:
                assert not self._reserve.admits(None, self._running), f"{where}, and a trial could begin"
        return True
