"""One search without training: the real coordinator, scheduler and budget, on a virtual clock."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from search.config.config import Config
from search.config.objectives import window_of
from search.config.schema import Sampler
from search.forecast.costs import Costs, TrialCost
from search.run.before.fit import bundle
from search.run.coordinator import Coordinator
from search.run.events import Event, EventKind
from search.run.executors.room import Claim, has_room
from search.run.executors.simulated import SimulatedExecutor
from search.run.retention import trials_to_keep
from search.samplers.build import sampler_of
from search.schedulers.build import build_scheduler
from search.study.study import SearchStudy
from search.study.trial import TrialRecord

_LEARNED_AFTER = 24
"""Trials after which a sampler that learns draws as it prefers, by and large."""
_JOURNAL_BYTES = 600
"""Of the study for each virtual epoch."""


class Simulated(NamedTuple):
    """What one simulated search came to."""

    seconds: float
    trials: int
    virtual_epochs: int
    fully_trained: int
    """Trials of full length."""
    steps: int
    kept_bytes: float
    """Of its checkpoints at the end."""
    peak_bytes: float
    """The most that they took at once."""
    other_bytes: float
    """Of what its virtual epochs have left besides."""


def simulate(config: Config, costs: Costs, concurrency: int, seed: int) -> Simulated:
    """Run a search whose trials take what was measured, with values that might be.

    The costs are resampled (a bootstrap), so that searches with other seeds differ by what the probe does
    not know. Values too: how much trials differ, how noisy ranks are, and which configurations are good.
    """
    trials = _Trials(config, costs, concurrency, random.Random(seed))
    executor = SimulatedExecutor(
        trials.value,
        metric=config.objective.metric,
        lengths=lambda record: trials.cost(record.number).lengths,
        workers=concurrency,
        pace=trials.pace,
        starting=trials.starting,
        trained=lambda number: trials.cost(number).trained,
        measured=trials.over_limit,
        has_room=trials.has_room,
    )
    # A sampler that learns would take most of the time, and learn from nothing.
    drawn = Sampler(name="grid" if config.sampler.name == "grid" else "random", seed=seed)
    several = config.objectives is not None
    # One invented value stands for several objectives: as many trials are promoted.
    window = window_of(config)
    config = config.model_copy(update={"sampler": drawn, "objectives": None})
    scheduler = build_scheduler(config)
    study = SearchStudy(
        None,
        name=config.name,
        mode=config.objective.mode,
        space=config.space,
        sampler=lambda study: sampler_of(study, scheduler, config),
        window=window,
    )
    coordinator = Coordinator(study, scheduler, config, concurrency=concurrency, clock=executor.clock)
    trials.study = study
    disk = _Disk(coordinator, config, trials, all_paused=several)
    coordinator.watch = disk.event
    coordinator.recover()
    executor.run(coordinator)
    coordinator.close(resumable=False)
    return Simulated(
        seconds=executor.now,
        trials=len(study.records),
        virtual_epochs=sum(record.depth for record in study.records),
        fully_trained=sum(record.depth >= config.budget.max_virtual_epochs for record in study.records),
        steps=study.num_steps,
        kept_bytes=disk.at_end(),
        peak_bytes=disk.peak,
        other_bytes=disk.others,
    )


class _Trials:
    """What the trials of one simulated search take, and their values."""

    study: SearchStudy

    def __init__(self, config: Config, costs: Costs, concurrency: int, numbers: random.Random) -> None:
        self._numbers, self._costs, self._config = numbers, costs, config
        self._sign = 1 if config.objective.mode == "max" else -1
        self._is_grid = config.sampler.name == "grid"
        self._learns = config.sampler.name not in ("grid", "random", "qmc")
        self._pool = numbers.choices(costs.trials, k=len(costs.trials))
        self._seconds = [numbers.choices(cost.seconds, k=len(cost.seconds)) for cost in costs.trials]
        self._of_params = {frozenset(cost.params.items()): cost for cost in costs.trials}
        self._over = {frozenset(each.params.items()): each.measured for each in costs.over_limit}
        self._liking = {id(cost): numbers.gauss(0, 0.7) for cost in self._pool}
        self._noise, self._progress = numbers.uniform(0.1, 1.0), numbers.uniform(0.0, 2.5)
        self._given: dict[int, TrialCost] = {}
        self._level: dict[int, float] = {}
        self._cold = concurrency
        """Processes that have not run a trial yet."""
        self._claims: dict[int, Claim] = {}
        """By the ids of costs, what a trial of that configuration takes of the hosts."""
        self._index = {id(cost): number for number, cost in enumerate(costs.trials)}

    def cost(self, number: int) -> TrialCost:
        """What trial `number` takes."""
        if number not in self._given:
            self._given[number] = self._draw(number)
        return self._given[number]

    def _draw(self, number: int) -> TrialCost:
        if self._is_grid:
            own = self._of_params.get(frozenset(self.study.records[number].params.items()))
            if own is not None:
                return own
        learned = min(1.0, number / _LEARNED_AFTER) if self._learns else 0.0
        weights = [math.exp(2 * learned * self._liking[id(cost)]) for cost in self._pool]
        return self._numbers.choices(self._pool, weights)[0]

    def over_limit(self, record: TrialRecord) -> Mapping[str, float]:
        """What is measured of a trial that is over the limit, as often as in the probe; empty of others.

        A sampler that learns may come to avoid such configurations, how soon is not known.
        """
        if not self._costs.over_limit:
            return {}
        params = frozenset(record.params.items())
        if self._is_grid and (params in self._of_params or params in self._over):
            return self._over.get(params, {})
        is_over = self._numbers.random() < self._costs.share_over_limit
        return self._numbers.choice(self._costs.over_limit).measured if is_over else {}

    def has_room(self, running: Sequence[int], number: int) -> bool:
        """Whether trial `number` finds what it takes, while others run."""
        if not self._costs.hosts or not running:
            return True  # all take the same, or have all to themselves
        claims = [self._claim(other) for other in running]
        return has_room(self._costs.hosts, claims, self._claim(number))

    def _claim(self, number: int) -> Claim:
        cost = self.cost(number)
        if id(cost) not in self._claims:
            size = self._config.resources.of(self._config.space.resolve(cost.params).options)
            self._claims[id(cost)] = Claim(bundle(size), size.workers_per_trial)
        return self._claims[id(cost)]

    def pace(self, number: int) -> float:
        """Seconds of a virtual epoch of trial `number`."""
        return self._numbers.choice(self._seconds[self._index[id(self.cost(number))]])

    def starting(self, number: int) -> float:
        """Seconds before a job trains: the first ones wait for their process."""
        self._cold -= 1
        return self._costs.process_start if self._cold >= 0 else self._costs.job_start

    def value(self, record: TrialRecord, virtual_epoch: int) -> float:
        """The objective; NaN where the trial diverges, as some of those that were probed did."""
        number = record.number
        if number not in self._level:
            learned = min(1.0, number / _LEARNED_AFTER) if self._learns else 0.0
            level = self._liking.get(id(self.cost(number)), 0.0) + self._progress * learned
            diverges = self._numbers.random() < self._costs.broken_off
            self._level[number] = math.nan if diverges else level + self._numbers.gauss(0, 1)
        noise = self._noise * self._numbers.gauss(0, 1)
        return self._sign * (self._level[number] + math.log(virtual_epoch) + noise)


class _Disk:
    """Follows which trials have checkpoints, as `CheckpointRetention` does on a disk.

    With several objectives (`all_paused`) each paused trial may still be promoted, see `MOASHA`. Their front
    is taken to be among the best, as one invented value has none.
    """

    def __init__(
        self, coordinator: Coordinator, config: Config, trials: _Trials, *, all_paused: bool
    ) -> None:
        self._coordinator, self._config, self._trials = coordinator, config, trials
        self._all_paused = all_paused
        self._holding: set[int] = set()
        self._until_sweep = 0
        self.peak = self.others = 0.0

    def event(self, event: Event) -> None:
        if event.kind is EventKind.REPORTED:
            self._holding.add(event.record.number)
            self.others += self._trials.cost(event.record.number).event_bytes + _JOURNAL_BYTES
        elif event.kind in (EventKind.PAUSED, EventKind.ENDED):
            self._until_sweep -= 1
            if self._until_sweep < 0:
                self.peak = max(self.peak, self._bytes(self._holding))
                self._sweep()
                self._until_sweep = len(self._holding) // 8

    def at_end(self) -> float:
        """Bytes of the checkpoints when the run is complete."""
        self.peak = max(self.peak, self._bytes(self._holding))
        self._sweep()
        return self._bytes(self._holding)

    def _sweep(self) -> None:
        study, going_on = self._coordinator.study, self._coordinator.going_on()
        if self._all_paused:
            going_on |= {number for number in self._holding if study.records[number].outcome is None}
        self._holding &= trials_to_keep(
            [study.records[number] for number in sorted(self._holding)],
            mode=study.mode,
            keep_trials=self._config.checkpoint.keep_trials,
            going_on=going_on,
        )

    def _bytes(self, numbers: Sequence[int] | set[int]) -> float:
        keep, records = self._config.checkpoint.keep, self._coordinator.study.records
        checkpoints = (
            min(keep, records[n].depth) * self._trials.cost(n).checkpoint_bytes for n in sorted(numbers)
        )
        return sum(checkpoints)
