"""One trial in a process: its trainer, checkpoints and TensorBoard events. Trials and retraining use it."""

from __future__ import annotations

import json
import logging
import math
import operator
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.best_window import best_mean, best_virtual_epoch
from trainables.build import build_training, unused_batch_size
from trainables.checkpoints.arrived import require_checkpoint
from trainables.checkpoints.checkpoint import (
    Loaded,
    load_newest,
    remove_beyond,
    remove_old_checkpoints,
    set_aside,
    write_checkpoint,
)
from trainables.checkpoints.origin import discard_origins, load_origin
from trainables.checkpoints.stored import TrialStore
from trainables.data.handover import take_notes
from trainables.fence import ALONE, become_newest, is_newest, require_newest
from trainables.files import naming
from trainables.function.task import as_task
from trainables.function.trainer import FunctionTrainer
from trainables.images.skipped import keep_skipped
from trainables.measure import measure
from trainables.plan import DataSplit as DataSplit
from trainables.plan import TrialPlan as TrialPlan
from trainables.process.gpu_share import select_device
from trainables.process.imports import import_own
from trainables.process.process_state import clean_process
from trainables.ranks.team import Team
from trainables.task import Task
from trainables.tensorboard import TensorBoardWriter
from trainables.training.progress import DivergedError
from trainables.training.trainer import Trainer

log = logging.getLogger(__name__)

Record = dict[str, Any]
"""What one virtual epoch reports: flat, numbers and strings only."""


Builder = Callable[..., Trainer | FunctionTrainer]


def load_task_class(spec: str) -> type[Task]:
    """Import `package.module:Class`, or the training function there."""
    module, _, name = spec.partition(":")
    return as_task(operator.attrgetter(name)(import_own(module)))


def builder(plan: TrialPlan, arrays: Mapping[str, np.ndarray] | None) -> tuple[Any, Builder]:
    """The options of a trial, and what builds its trainer; `arrays` as `TrialSession` gets them."""
    task_class = load_task_class(plan.task)
    options = task_class.Options.parse(plan.options)
    return options, partial(
        build_training,
        task_class,
        options,
        arrays,
        prepared=plan.prepared_file,
        number=plan.number,
        folder=Path(plan.folder),
        unit=plan.unit,
        count=plan.count,
        num_virtual_epochs=plan.num_virtual_epochs,
        device=select_device(plan.gpu_fraction),
        with_validation_data=plan.data == "train+val",
    )


class TrialSession:
    """Runs a trial virtual epoch by virtual epoch, from its newest intact checkpoint.

    `next_report` gives the records of virtual epochs reported + 1, reported + 2, … in order. A virtual epoch
    that a checkpoint holds already (the process died between saving and reporting) is not computed again. If
    the newest intact checkpoint is older than `reported`, the virtual epochs after it are computed and
    reported once more, alike but for the times.

    Args:
        plan: the trial.
        arrays: the decoded data; None loads it here.
        team: the other processes that train it, which have begun this job; None for a trial of one process.
    """

    def __init__(
        self, plan: TrialPlan, arrays: Mapping[str, np.ndarray] | None, team: Team | None = None
    ) -> None:
        clean_process()
        if plan.num_threads:
            torch.set_num_threads(plan.num_threads)
        self.plan = plan
        self._folder = Path(plan.folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        become_newest(self._folder, plan.job)
        self._team = team
        self.options, build = builder(plan, arrays)
        # On a trainer of its own: the trial's is then as if nothing had been measured.
        self._measured = measure(plan.measures, build) if plan.measures else {}
        self.trainer: Trainer | FunctionTrainer = build() if team is None else build(ranks=team.ranks)
        self.history: list[Record] = []
        self._saved = 0
        self._between = True  # virtual epochs, where alone a checkpoint can be taken
        self._stored = TrialStore(plan.storage, self._folder, plan.job) if plan.storage else None
        fetched = [] if self._stored is None else self._stored.begin(plan.checkpoint)
        self._messages = [*fetched, *self._load()]
        if not self.history and plan.pretrained and (fitted := self.trainer.load_pretrained()):
            log.info("trial %d begins from %s", plan.number, fitted)
        if team is not None:
            team.share({"weights": dict(self.trainer.weights()), "state": self.trainer.state_dict()})
        remove_beyond(self._folder, len(self.history), plan.job)
        if self._stored is not None:
            self._stored.remove_beyond(len(self.history))
        self._next = min(plan.reported, len(self.history))
        self._keep_skipped()
        self._writer = TensorBoardWriter(self._folder, start_step=self.trainer.counters.num_steps + 1)
        if not self.history:
            self._writer.hparams(plan.hparams, f"best/{plan.metric}")
            if unused := unused_batch_size(self.trainer, plan.options):
                self.note(unused.removeprefix("; "))

    @property
    def best(self) -> Record | None:
        """The record of the best virtual epoch."""
        values = [record[self.plan.metric] for record in self.history]
        return (
            self.history[best_virtual_epoch(values, self.plan.mode, self.plan.window) - 1] if values else None
        )

    @property
    def where(self) -> str:
        """The step where the training is, for the message of an error."""
        at = f"step {self.trainer.counters.num_steps}"
        if getattr(self.options, "batch_size", None) != "full":
            return at
        # The error may be a lack of memory.
        samples = self.trainer.virtual_epochs.epoch_samples
        return f"{at} with batch_size full: {samples} samples; smaller ones with accumulate take less memory"

    @property
    def finished(self) -> bool:
        return self._next >= self.plan.num_virtual_epochs

    @property
    def saved(self) -> bool:
        """Whether a checkpoint holds all that another process could continue from."""
        return not self._between or len(self.history) <= self._saved

    def note(self, text: str) -> None:
        """Send a line with the next report."""
        self._messages.append(text)

    def next_report(self) -> Record:
        """The next virtual epoch's record; if it diverged, with the reason as `diverged` and no metrics.

        First of all comes what was measured of the model, as `measured`, where the plan asks for that.
        """
        if self._measured:
            measured, self._measured = self._measured, {}
            return {"virtual_epoch": 0, "measured": measured, **self._spent()}
        if self._next >= len(self.history):
            ended = self._train()
            if ended is not None:
                return ended
        record = self.history[self._next]
        self._next += 1
        messages, self._messages = [*self._messages, *take_notes()], []
        return {**record, "message": "; ".join(messages)} if messages else record

    def save(self) -> None:
        """Write a checkpoint if there is none of the last virtual epoch, as where a trial pauses.

        After an exception or a divergence inside a virtual epoch nothing is written.
        """
        if not self.saved:
            with naming(self._folder):
                self._save()

    def close(self) -> None:
        """Save what is not saved yet, close the event file and end processes that read data."""
        try:
            self.save()
            self._writer.close()
            if self._stored is not None:
                self._stored.send_files()
        finally:
            self.trainer.close()

    def _train(self) -> Record | None:
        """Compute one virtual epoch and save it; returns a record only if there is nothing to save."""
        metrics: dict[str, float] | None = {}
        self._between = False
        try:
            with nullcontext() if self._team is None else self._team.training():
                metrics = self.trainer.run_virtual_epoch()
            reason = None if metrics is None else self._objective_fault(metrics)
        except DivergedError as error:
            reason = str(error)
        finally:
            self._keep_skipped()
        if reason is not None:
            number = len(self.history) + 1
            return {"virtual_epoch": number, "diverged": f"virtual epoch {number}, {reason}", **self._spent()}
        self._between = True
        if metrics is None:
            return self._returned()
        self.history.append({"virtual_epoch": len(self.history) + 1, **self._spent(), **metrics})
        # Events first: those of a virtual epoch that is computed again are purged, lost ones stay lost.
        with naming(self._folder):
            require_newest(self._folder, self.plan.job)
            self._write_events(self.history[-1])
            if self._is_due():
                self._save()
        return None

    def _returned(self) -> Record:
        """Of a training function that has come to its end."""
        number = len(self.history)
        if number == 0:
            raise ValueError("the function has returned without a report")
        return {"virtual_epoch": number, "ended": f"returned after virtual epoch {number}", **self._spent()}

    def _keep_skipped(self) -> None:
        skipped = {**self.trainer.skipped_samples, **(self._team.skipped if self._team else {})}
        if skipped and is_newest(self._folder, self.plan.job):
            with naming(self._folder):
                keep_skipped(self._folder, skipped)

    def _objective_fault(self, metrics: Mapping[str, float]) -> str | None:
        objectives = (self.plan.metric, *self.plan.other_metrics)
        for name in objectives:
            if metrics.get(name) is None:
                known = ", ".join(sorted(metrics))
                raise KeyError(f"the task reports no metric {name!r}; it reports {known}")
        return next((f"{n} is {metrics[n]}" for n in objectives if not math.isfinite(metrics[n])), None)

    def _spent(self) -> dict[str, float]:
        trainer = self.trainer
        return {
            "step": trainer.counters.num_steps,
            "samples": trainer.num_samples,
            "seconds": trainer.counters.seconds,
        }

    def _is_due(self) -> bool:
        number, plan = len(self.history), self.plan
        is_best = self.best is self.history[-1]
        return is_best or number >= plan.num_virtual_epochs or number % plan.checkpoint_every == 0

    def _save(self) -> None:
        plan, trainer, best, newest = self.plan, self.trainer, self.best, len(self.history)
        assert best is not None
        info = {
            "trial": plan.number,
            "task": plan.task,
            "options": dict(plan.options),
            "device": trainer.device.type,
            "precision": trainer.precision_name,
            "data": plan.data,
            "data_number": plan.data_number,
            "preprocessing": trainer.preprocessing(),
            "virtual_epoch": {plan.unit: plan.count},
            "num_virtual_epochs": plan.num_virtual_epochs,
            "metric": plan.metric,
            "mode": plan.mode,
            "window": plan.window,
            "best": best["virtual_epoch"],
            "schedule": list(plan.schedule),
            "history": self.history,
        }
        weights, state = trainer.weights(), trainer.state_dict()
        write_checkpoint(self._folder, newest, weights=weights, state=state, info=info, job=plan.job)
        require_newest(self._folder, plan.job)
        if self._stored is not None:  # before the report that tells of it
            self._stored.keep(newest=newest, best=best["virtual_epoch"], keep=plan.checkpoint_keep)
        self._saved = newest
        if newest >= plan.num_virtual_epochs:
            discard_origins(self._folder)
        remove_old_checkpoints(
            self._folder, newest=newest, best=best["virtual_epoch"], keep=plan.checkpoint_keep
        )

    def _load(self) -> list[str]:
        """Continue from the newest intact checkpoint, if any; returns what is to be said of that."""
        job, other = self.plan.job, "it was written with other options or data"
        require_checkpoint(self._folder, self.plan.checkpoint, self.plan.reported, self.plan.storage)
        loaded, messages = load_newest(self._folder, job)
        if messages and self._stored is not None:  # what is damaged here may be whole there
            messages += self._stored.fetch()
            loaded, more = load_newest(self._folder, job)
            messages += more
        while loaded is not None and not (self._begins_elsewhere(loaded) or self._is_own(loaded.info)):
            aside = set_aside(self._folder, loaded.virtual_epoch, other, job)
            messages.append(
                f"a checkpoint with other options or data than this trial's was set aside as {aside.name}"
            )
            loaded, more = load_newest(self._folder, job)
            messages += more
        if self._begins_elsewhere(loaded):
            self._take_over()
        elif loaded is not None:
            self.trainer.load(loaded.weights, loaded.state)
            self.history = list(loaded.info["history"])
            self._saved = len(self.history)
        elif self.plan.reported and job != ALONE and not messages:
            told = f"virtual epochs were reported up to {self.plan.reported}"
            messages.append(f"{told}, and {self._folder} has no checkpoint: the trial begins again")
        return messages

    def _begins_elsewhere(self, loaded: Loaded | None) -> bool:
        """Whether no checkpoint is newer than the other trial's that this one goes on from."""
        schedule = self.plan.schedule
        return bool(schedule) and (loaded is None or loaded.virtual_epoch <= schedule[-1]["until"])

    def _take_over(self) -> None:
        """Go on from another trial's checkpoint; the records before stay this trial's own."""
        assert isinstance(self.trainer, Trainer)
        last = self.plan.schedule[-1]
        loaded, self.history = load_origin(self._folder, last["until"], last["trial"])
        self.trainer.take_over(loaded.weights, loaded.state)
        self.trainer.counters.seconds = self.history[-1]["seconds"]
        self._saved = len(self.history)

    def _is_own(self, info: Mapping[str, Any]) -> bool:
        """Whether a checkpoint is of this trial: a study restored to an earlier state may reuse numbers."""
        same_data = info.get("data_number", 0) == self.plan.data_number
        return same_data and info["options"] == json.loads(json.dumps(self.plan.options))

    def _write_events(self, record: Record) -> None:
        plan = self.plan
        standing = best_mean([entry[plan.metric] for entry in self.history], plan.mode, plan.window)
        scalars = {name: value for name, value in record.items() if isinstance(value, float | int)}
        step = scalars.pop("step")
        self._writer.scalars({**scalars, f"best/{plan.metric}": standing}, int(step))
        self._writer.images(self.trainer.take_images(), int(step))
        for tag, content in self.trainer.take_texts().items():
            self._writer.text(tag, content, int(step))
