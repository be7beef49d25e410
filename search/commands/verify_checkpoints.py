"""The checkpoints of a run, compared with their sums and with the study, and what each damaged one costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.config.config import Config
from search.config.schema import Mode
from search.run.folder import RunFolder
from search.schedulers.base import Scheduler
from search.schedulers.build import build_scheduler
from search.study.trial import TrialRecord, ranked
from search.text import counted
from trainables.checkpoint import (
    REASON,
    DamagedCheckpointError,
    checkpoint_folder,
    list_checkpoints,
    list_damaged,
    read_checkpoint,
)
from trainables.files import folder_bytes


@dataclass(frozen=True)
class Damage:
    """A file or folder of a run that is not as it was written."""

    path: str
    """Relative to the run's folder."""
    what: str
    cost: str
    """What is lost, or has to be computed again."""


class CheckpointCheck:
    """Reads all checkpoints of a run, then says which are damaged or missing.

    Args:
        folder: of the run.
        numbers: trials that have a folder.
        records: the trials in the study.
        mode: of the objective.
        config: the run's, or None if it cannot be read.
        being_written: a search is running there.
    """

    def __init__(
        self,
        folder: RunFolder,
        numbers: Collection[int],
        records: Sequence[TrialRecord],
        mode: Mode,
        config: Config | None,
        *,
        being_written: bool,
    ) -> None:
        self._folder, self._mode, self._config = folder, mode, config
        self._being_written = being_written
        self._records = {record.number: record for record in records}
        self._ranked = ranked(records, mode)
        self._faults: dict[int, dict[int, str | None]] = {n: {} for n in sorted({*numbers, *self._records})}
        """By trial and virtual epoch of each checkpoint: what is wrong with it, or None if it is intact."""
        self._differing: list[Damage] = []

    @property
    def num_checkpoints(self) -> int:
        return sum(map(len, self._faults.values()))

    def damages(self) -> Iterator[Damage]:
        """Everything that is wrong, once all was read."""
        yield from self._differing
        yield from self._explain_damaged()
        yield from self._set_aside()
        if not self._being_written:
            yield from self._unknown_trials()
            yield from self._missing()

    def _damage(self, number: int, epoch: int, what: str, cost: str) -> Damage:
        return Damage(self._name(checkpoint_folder(self._folder.trial(number), epoch)), what, cost)

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._folder.path))

    def read(self, progress: Callable[[int, int], None]) -> int:
        """Compare every checkpoint with its sums and with the study; returns their bytes."""
        checkpoints = [
            (number, epoch, folder_bytes(checkpoint_folder(self._folder.trial(number), epoch)))
            for number in self._faults
            for epoch in list_checkpoints(self._folder.trial(number))
        ]
        done, total = 0, sum(size for *_, size in checkpoints)
        for number, epoch, size in checkpoints:
            progress(done, total)
            self._read(number, epoch)
            done += size
        return total

    def _read(self, number: int, epoch: int) -> None:
        trial, record = self._folder.trial(number), self._records.get(number)
        folder = checkpoint_folder(trial, epoch)
        try:
            info = read_checkpoint(trial, epoch).info
        except DamagedCheckpointError as error:
            if folder.exists() or not self._being_written:  # else the search has just removed it
                self._faults[number][epoch] = error.reason
            return
        except (ValueError, OSError) as error:
            self._faults[number][epoch] = str(error).removeprefix(f"{folder} ")
            return
        mismatch = _mismatch(info, epoch, record) if record else None
        self._faults[number][epoch] = mismatch
        difference = _other_value(info, record) if record and mismatch is None else None
        if difference is not None:
            cost = "the search uses the value in the study, an export the one in the checkpoint"
            self._differing.append(self._damage(number, epoch, difference, cost))

    def _explain_damaged(self) -> Iterator[Damage]:
        """What each damaged checkpoint of a trial in the study costs."""
        for record in self._records.values():
            for epoch, fault in self._faults[record.number].items():
                if fault is not None:
                    yield self._damage(record.number, epoch, fault, self._cost(record, epoch))

    def _cost(self, record: TrialRecord, epoch: int) -> str:
        lost = record.outcome is None and epoch > self._newest(record)
        exported = record in self._ranked and epoch == record.best_virtual_epoch(self._mode)
        costs = []
        # A value that is computed again can be exported then; the best of all is missed until then.
        if exported and (not lost or record is self._ranked[0]):
            costs.append(self._cost_of_export(record))
        if lost:
            costs.append(self._cost_of_computing(record, epoch))
        return "; ".join(costs) or f"none: trial {record.number} does not need it"

    def _set_aside(self) -> Iterator[Damage]:
        for number in sorted(self._records):
            for folder in list_damaged(self._folder.trial(number)):
                file = folder / REASON
                reason = file.read_text().strip() if file.is_file() else "damaged"
                cost = "none: the trial continued without it; `tune-search clean` removes it"
                yield Damage(self._name(folder), f"was set aside: {reason}", cost)

    def _unknown_trials(self) -> Iterator[Damage]:
        for number in (n for n, faults in self._faults.items() if faults and n not in self._records):
            cost = "its values are lost; move it away, or a new trial of this number takes its checkpoints"
            yield Damage(self._name(self._folder.trial(number)), "is of no trial in the study", cost)

    def _missing(self) -> Iterator[Damage]:
        """Checkpoints that must exist: the best of all, and the newest of each trial that continues."""
        for best in self._ranked[:1]:
            epoch = best.best_virtual_epoch(self._mode)
            if epoch not in self._faults[best.number]:
                yield self._damage(best.number, epoch, "is missing", self._cost_of_export(best))
        if self._config is None:
            return
        rule = build_scheduler(self._config)
        for record in self._records.values():
            epoch = _newest_written(record, self._config)
            if _continues(record, rule) and max(self._faults[record.number], default=0) < epoch:
                yield self._damage(record.number, epoch, "is missing", self._cost_of_computing(record, epoch))

    def _newest(self, record: TrialRecord) -> int:
        """Virtual epoch of the newest intact checkpoint of a trial; 0 without one."""
        faults = self._faults[record.number]
        return max((epoch for epoch, fault in faults.items() if fault is None), default=0)

    def _cost_of_export(self, record: TrialRecord) -> str:
        best, *others = self._ranked
        if record is not best:
            return f"trial {record.number} cannot be exported"
        other = next((r for r in others if self._has_intact_best(r)), None)
        if other is None:
            return "the best trial cannot be exported, and no other has its best checkpoint"
        metric = self._config.objective.metric if self._config else "objective"
        value = f"{metric} {other.best(self._mode):.4g}"
        return f"the best trial cannot be exported; the next best intact is trial {other.number} ({value})"

    def _has_intact_best(self, record: TrialRecord) -> bool:
        epoch, faults = record.best_virtual_epoch(self._mode), self._faults[record.number]
        return epoch in faults and faults[epoch] is None

    def _cost_of_computing(self, record: TrialRecord, epoch: int) -> str:
        newest = self._newest(record)
        start = f"continues from virtual epoch {newest}" if newest else "starts again"
        lost = counted(max(record.depth, epoch) - newest, "virtual epoch")
        return f"trial {record.number} {start}: {lost} to compute again"


def _mismatch(info: Mapping[str, Any], virtual_epoch: int, record: TrialRecord) -> str | None:
    """Why a checkpoint cannot be the trial's; None if it can."""
    history = info.get("history")
    if not isinstance(history, list) or len(history) != virtual_epoch:
        return f"its history is not one of {virtual_epoch} virtual epochs; remove it"
    if info.get("trial") != record.number:
        return f"it is of trial {info.get('trial')}; remove it"
    if info.get("options") != json.loads(json.dumps(record.resolved.options)):
        return "it was trained with other options than the study has for the trial; remove it"
    return None


def _other_value(info: Mapping[str, Any], record: TrialRecord) -> str | None:
    """Where a checkpoint's history and the study differ."""
    metric = info.get("metric")
    for number, (entry, value) in enumerate(zip(info["history"], record.values, strict=False), start=1):
        found = entry.get(metric) if isinstance(entry, dict) else None
        if found != value:
            return f"says {metric} {found} at virtual epoch {number}, and the study {value}"
    return None


def _continues(record: TrialRecord, rule: Scheduler) -> bool:
    """Whether a trial was interrupted, rather than paused at a rung: a resumed search trains it first."""
    paused = rule.pauses and record.depth != record.promoted_at and rule.rungs.reached(record)
    return record.outcome is None and not paused


def _newest_written(record: TrialRecord, config: Config) -> int:
    """The newest virtual epoch in the study after which a checkpoint was written; 0 before the first."""
    best = [record.best(config.objective.mode, depth) for depth in range(record.depth + 1)]
    written = [
        number
        for number in range(1, record.depth + 1)
        if number % config.checkpoint.every == 0 or best[number] != best[number - 1]
    ]
    return max(written, default=0)
