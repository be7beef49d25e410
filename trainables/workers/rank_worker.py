"""Runs jobs of trials as one of the ranks after 0: builds, trains and validates as rank 0 says."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import numpy as np
import torch
from torch import distributed as dist

from trainables.process.failure import failure_of
from trainables.process.process_state import clean_process
from trainables.ranks.beat import start_beating
from trainables.ranks.group import Ranks
from trainables.ranks.join import find_store, join, leave
from trainables.ranks.team import Answer
from trainables.session import TrialPlan, builder
from trainables.training.progress import DivergedError
from trainables.training.trainer import Trainer
from trainables.workers.worker import TrialWorker

_Arguments = ParamSpec("_Arguments")
_OF_AN_EXCHANGE = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL")


def _answered(
    method: Callable[Concatenate[Any, _Arguments], Answer],
) -> Callable[Concatenate[Any, _Arguments], Answer]:
    """Whatever the method raises becomes its answer, and rank 0's exchange with this one ends."""

    @wraps(method)
    def answer(self: Any, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Answer:
        try:
            return method(self, *args, **kwargs)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            if hasattr(error, "ray_terminate_msg"):
                raise
            failure = failure_of(error, self.where)
            of_exchange = isinstance(error, dist.DistError) or any(
                sign in str(error) for sign in _OF_AN_EXCHANGE
            )
            trace = "".join(traceback.format_exception(error))
            leave()
            told = {"kind": failure.kind, "cause": failure.cause, "trace": trace, "exchange": of_exchange}
            return {"failed": told}

    return answer  # type: ignore[return-value]  # which is called as a method


class RankWorker:
    """What `Team` calls on another rank; nothing is written into the trial's folder here.

    Args:
        shared: decoded data by its key, see `TrialWorker`.
    """

    def __init__(self, shared: Mapping[str, Mapping[str, np.ndarray]] | None = None) -> None:
        self._worker = TrialWorker(shared, alone=True)
        self._ranks: Ranks | None = None
        self._trainer: Trainer | None = None

    @property
    def where(self) -> str:
        """The step where the training is, for the message of an error."""
        return "" if self._trainer is None else f"step {self._trainer.counters.num_steps}"

    @_answered
    def join(self, rank: int, size: int, address: str, port: int, own_address: str = "") -> dict[str, Any]:
        """Meet the others at the store of rank 0, at an address and port; `own_address` is of this host."""
        start_beating(address, port, size, rank)
        store = find_store(address, port, size)
        self._ranks = join(store, own_address or address, rank=rank, size=size)
        return {"process": os.getpid()}

    @_answered
    def begin(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """Build the trainer of a job's trial, the weights of which `receive` brings."""
        self.end()
        of_trial = TrialPlan(**plan)
        self._worker.clean_up(of_trial)
        arrays = self._worker.arrays(of_trial)
        clean_process()
        if of_trial.num_threads:
            torch.set_num_threads(of_trial.num_threads)
        trainer = builder(of_trial, arrays)[1](ranks=self._ranks)
        assert isinstance(trainer, Trainer)  # functions are refused
        self._trainer = trainer
        return {"device": trainer.device.type}

    @_answered
    def receive(self) -> dict[str, Any]:
        """Take the state of rank 0's trainer."""
        assert self._ranks is not None
        state = self._ranks.receive()
        self.trainer.load(state["weights"], state["state"])
        return {}

    @_answered
    def train(self) -> dict[str, Any]:
        """Train one virtual epoch; where rank 0 finds that it has diverged, so does this one."""
        with suppress(DivergedError):
            self.trainer.run_virtual_epoch()
        return {"skipped": dict(self.trainer.skipped_samples)}

    @property
    def trainer(self) -> Trainer:
        """That of the present job."""
        assert self._trainer is not None
        return self._trainer

    def end(self) -> None:
        """End processes that read data."""
        trainer, self._trainer = self._trainer, None
        if trainer is not None:
            trainer.close()
