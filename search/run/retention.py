"""Which trials keep their checkpoints, and how a run's disk use stays bounded while it runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence

from search.budget.words import expected_trials, full_trainings
from search.config.config import Config
from search.run.coordinator import Coordinator
from search.run.disk.folder import RunFolder
from search.run.disk.storage import LiveTrials
from search.run.events import Event, EventKind
from search.run.limits import MOST_WITHOUT_VALUE
from search.schedulers.base import Scheduler
from search.study.front import front_of
from search.study.trial import TrialRecord, ranked
from search.text import size_text
from trainables.checkpoints.checkpoint import checkpoint_bytes, list_checkpoints, remove_checkpoints
from trainables.files import discard_all, list_partial
from trainables.options import Mode
from trainables.storage.errors import StorageError


def trials_to_keep(
    records: Sequence[TrialRecord], *, mode: Mode, keep_trials: int, going_on: Collection[int]
) -> set[int]:
    """Numbers of the best `keep_trials` trials, of the best of other data, and of those in `going_on`."""
    best = ranked(records, mode)
    of_others = [record for record in best if record.of_other_data][:1]
    return {record.number for record in (*best[:keep_trials], *of_others)} | set(going_on)


def space_needed(
    config: Config, scheduler: Scheduler, concurrency: int, checkpoint_size: float, trials: int | None
) -> float:
    """The most bytes that a run's checkpoints take at once, at `checkpoint_size` each.

    Args:
        config, scheduler: of the search.
        concurrency: trials at a time.
        checkpoint_size: bytes of one checkpoint.
        trials: of the whole search; None where nobody knows, and then of its beginning.
    """
    trials, checkpoint = trials or MOST_WITHOUT_VALUE, config.checkpoint
    holding = checkpoint.keep_trials + concurrency + scheduler.most_waiting(trials)
    holding += holding // 8  # until the next sweep
    # While one is written, a trial has one more than it keeps.
    return checkpoint_size * (checkpoint.keep + 1) * min(holding, trials)


class CheckpointRetention:
    """Removes checkpoints that are not needed, and warns once if the disk is too small for the rest."""

    def __init__(
        self,
        coordinator: Coordinator,
        config: Config,
        folder: RunFolder,
        warn: Callable[[str], None],
        stored: LiveTrials | None = None,
    ) -> None:
        self._coordinator, self._config, self._folder, self._warn = coordinator, config, folder, warn
        self._stored, self._estimated = stored, False
        self._until_sweep = 0
        """Trials that may pause or end before the next sweep."""
        self._holding = {
            record.number
            for record in coordinator.study.records
            if checkpoint_bytes(folder.trial(record.number))  # of half removed ones too
        }
        if stored is not None:
            self._holding |= stored.holding & {record.number for record in coordinator.study.records}

    def event(self, event: Event) -> None:
        """Follow the search."""
        if event.kind is EventKind.REPORTED:
            self._holding.add(event.record.number)
            self._check_space(event.record.number)
        elif event.kind in (EventKind.PAUSED, EventKind.ENDED):
            self._until_sweep -= 1
            if self._until_sweep < 0:
                self.sweep()
                # A sweep looks at all trials: a large search does one when an eighth more may have to go.
                self._until_sweep = len(self._holding) // 8

    def sweep(self) -> None:
        """Remove the checkpoints of all trials that are neither among the best nor may continue."""
        study = self._coordinator.study
        # A trial without a checkpoint was not among the best when it lost it, and trains no more.
        kept = trials_to_keep(
            [study.records[number] for number in sorted(self._holding)],
            mode=study.mode,
            keep_trials=self._config.checkpoint.keep_trials,
            going_on=self._coordinator.going_on() | self._of_front(),
        )
        unneeded = self._holding - kept
        if self._stored is not None and not self._forgotten(unneeded):
            return
        for number in unneeded:
            remove_checkpoints(self._folder.trial(number))
        self._holding &= kept

    def _forgotten(self, unneeded: Collection[int]) -> bool:
        """Whether their checkpoints could be removed in the storage; else the next sweep tries again."""
        assert self._stored is not None
        try:
            self._stored.forget(unneeded)
        except StorageError as error:
            self._warn(f"checkpoints that are not needed stay for now: {error}")
            return False
        return True

    def _of_front(self) -> set[int]:
        """The front, and that of the trials that have ended: one that is running may still leave it."""
        objectives, records = self._config.objectives, self._coordinator.study.records
        if not objectives:
            return set()
        ended = [record for record in records if record.outcome is not None]
        return {record.number for each in (records, ended) for record in front_of(each, objectives)}

    def close(self) -> None:
        """After the last job, remove what is not needed, and what killed processes left half written."""
        self.sweep()
        for record in self._coordinator.study.records:
            discard_all(list_partial(self._folder.trial(record.number)))

    def _check_space(self, number: int) -> None:
        """At the first checkpoint, estimate the disk space that the run will need at most."""
        trial = self._folder.trial(number)
        num_checkpoints = len(list_checkpoints(trial))
        if self._estimated or not num_checkpoints:
            return
        self._estimated = True
        one = checkpoint_bytes(trial) / num_checkpoints
        search, lengths = self._coordinator, self._coordinator.study.records[number].lengths
        trainings = full_trainings(
            search.budget,
            lengths,
            search.slowest or 0.0,
            search.concurrency,
            self._config.resources.gpus_per_trial,
        )
        audit = self._config.scheduler.audit
        trials = expected_trials(search.budget, search.scheduler, lengths, trainings, audit)
        needed = space_needed(self._config, search.scheduler, search.concurrency, one, trials)
        free = shutil.disk_usage(self._folder.path).free
        if needed > free:
            self._warn(
                f"the disk may become full: checkpoints of {size_text(one)} each need up to "
                f"{size_text(needed)}, and {size_text(free)} are free; lower checkpoint.keep or "
                "checkpoint.keep_trials, or free some (the search can be resumed if it fills up)"
            )
