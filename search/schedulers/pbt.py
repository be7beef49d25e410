"""Population based training, in step: all trials are compared when the last of them has arrived."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from random import Random

from search.config.schema import Mode, Pbt
from search.schedulers.base import Decision, Rungs, Scheduler
from search.schedulers.explore import explored
from search.study.study import SearchStudy
from search.study.trial import TakenOver, TrialRecord, as_loss
from trainables.data.virtual_epoch import VirtualEpochs

_MOST_DRAWS = 20
"""Of values that no other trial goes on with from there; in a space of few values there may be none."""


class PBT(Scheduler):
    """Population based training (Jaderberg et al., arXiv:1711.09846).

    Every trial is a member of the population, and pauses every `interval` virtual epochs. When all of them
    have arrived, each of the worst `quantile` goes on from the checkpoint of one of the best `quantile`,
    drawn at random (truncation selection, section 4.1 of the paper), with the values of that one, of which
    some are perturbed or drawn anew. All others go on as they are.

    The paper's workers do not wait for each other, so that what each of them does follows from who was
    faster. Here who goes on from whom is a pure function of the values at that virtual epoch and of the seed:
    it depends neither on the number of workers nor on the order in which they report, and a search that was
    killed decides alike. While there are more trials than workers, waiting costs next to nothing.

    Args:
        options: the section `scheduler:`.
        mode: whether larger or smaller is better.
        population: number of trials.
        num_virtual_epochs: the full length.
        changing: names of the parameters that may change.
        seed: of what is drawn.
    """

    pauses = True

    def __init__(
        self,
        options: Pbt,
        mode: Mode,
        population: int,
        num_virtual_epochs: int,
        changing: Collection[str],
        seed: int,
    ) -> None:
        # Trials are compared at the same depth, also between those that differ: there is no other rung.
        self.rungs = Rungs(num_virtual_epochs)
        self._options, self._mode = options, mode
        self._population, self._num_virtual_epochs = population, num_virtual_epochs
        self._changing, self._seed = frozenset(changing), seed

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        pauses = record.depth % self._options.interval == 0 and record.depth < self._num_virtual_epochs
        return Decision.PAUSE if pauses else Decision.GO_ON

    def next_decision(
        self,
        number: int,
        depth: int,
        lengths: VirtualEpochs | None,
        num_virtual_epochs: int,
        bracket: int = 0,
    ) -> int:
        interval = self._options.interval
        return min(num_virtual_epochs, (depth // interval + 1) * interval)

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None:
        """Of the trials that wait where no other is behind them, those first that go on from another one.

        So each has got the checkpoint before the trial that it is from goes on and replaces it.
        """
        unended = [record for record in study.records if record.outcome is None and not record.of_other_data]
        if len(study.records) < self._population or not unended:
            return None
        depth = min(record.depth for record in unended)
        if depth == 0 or depth % self._options.interval:
            return None
        waiting = [r for r in unended if r.depth == depth > r.promoted_at and not r.running]
        worst = {record.number for record in self._worst(study, depth)}
        return min(waiting, key=lambda record: (record.number not in worst, record.number), default=None)

    def taken_over(self, study: SearchStudy, record: TrialRecord) -> TakenOver | None:
        depth = record.depth
        undecided = record.outcome is None and depth > record.promoted_at and depth < self._num_virtual_epochs
        if not undecided or depth % self._options.interval or any(t.at == depth for t in record.taken_over):
            return None
        if record not in self._worst(study, depth):
            return None
        # Those that a trial which was tried again later finds ahead of itself keep no checkpoint of then.
        donors = [
            donor
            for donor in self._ranked(study, depth)[: self._num_selected(study, depth)]
            if donor.outcome is None
            and donor.depth == depth > donor.promoted_at
            and donor.lengths == record.lengths
            and donor.space_number == record.space_number
        ]
        if not donors:
            return None
        rng = Random(f"{self._seed}/{record.number}/{depth}")
        known = [(donor.number, dict(donor.params_at(depth))) for donor in donors]
        known += [(t.donor, dict(t.params)) for r in study.records for t in r.taken_over if t.at == depth]
        found = self._drawn(donors, depth, rng)
        # Two that go on from the same checkpoint with the same values would train the same, bit for bit.
        for _ in range(_MOST_DRAWS):
            if (found.donor, found.params) not in known:
                break
            found = self._drawn(donors, depth, rng)
        return found

    def _drawn(self, donors: Sequence[TrialRecord], depth: int, rng: Random) -> TakenOver:
        """Whom to go on from, and with which values."""
        donor, changing = rng.choice(donors), self._changing
        resample, perturb = self._options.resample, self._options.perturb
        before = donor.params_at(depth)
        params = explored(donor.space, before, changing, resample=resample, perturb=perturb, rng=rng)
        return TakenOver(depth, donor.number, params)

    def may_promote(self, study: SearchStudy, num_new: int) -> list[TrialRecord]:
        return [record for record in study.records if record.outcome is None]

    def most_waiting(self, num_trials: int) -> int:
        return num_trials

    def expected_virtual_epochs(
        self, num_trials: int, num_virtual_epochs: int, lengths: VirtualEpochs | None = None
    ) -> int | None:
        return num_trials * num_virtual_epochs

    def _ranked(self, study: SearchStudy, depth: int) -> Sequence[TrialRecord]:
        """The trials that came to this depth, by their value there, the best first.

        Also those that have ended since: what happens later must not change who was better then.
        """
        came = [record for record in study.records if record.depth >= depth and not record.of_other_data]
        return sorted(came, key=lambda record: (as_loss(record.values[depth - 1], self._mode), record.number))

    def _num_selected(self, study: SearchStudy, depth: int) -> int:
        number = len(self._ranked(study, depth))
        return min(math.ceil(number * self._options.quantile), number // 2)

    def _worst(self, study: SearchStudy, depth: int) -> Sequence[TrialRecord]:
        ranked = self._ranked(study, depth)
        return ranked[len(ranked) - self._num_selected(study, depth) :]
