"""The thin adapter from Ray's Trainable to our trial session: one `step()` is one virtual epoch."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from trainables.build import load_arrays
from trainables.environment import expand
from trainables.failure import recorded_failure
from trainables.random_state import clean_process
from trainables.session import TrialPlan, TrialSession, data_key, load_task_class


class TrialTrainable(tune.Trainable):
    """Runs trials one after another in one process.

    Checkpoints are the session's own, in the trial's folder; Ray keeps none.
    """

    def setup(
        self, config: dict[str, Any], shared: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        self._shared = dict(shared or {})
        self._session: TrialSession | None = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._end()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        assert self._session is not None
        with recorded_failure(Path(self._session.plan.folder)):
            lengths = self._session.trainer.virtual_epochs.as_dict()
            return {**self._session.next_report(), "lengths": lengths, "process": os.getpid()}

    def cleanup(self) -> None:
        self._end()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Called when the trial pauses, before another process may go on with it."""
        if self._session is not None:
            self._session.save()

    def load_checkpoint(self, checkpoint: Any) -> None:
        return None

    def _begin(self, config: dict[str, Any]) -> None:
        plan = TrialPlan(**config["plan"])
        os.chdir(plan.working_folder)
        if plan.working_folder not in sys.path:
            sys.path.insert(0, plan.working_folder)
        with recorded_failure(Path(plan.folder)):
            self._session = TrialSession(plan, self._arrays(plan))

    def _arrays(self, plan: TrialPlan) -> Mapping[str, np.ndarray]:
        """The shared data of this plan's `data` section, loaded here only where nobody shares it."""
        key = data_key(plan.task, plan.options)
        if key not in self._shared:
            task_class = load_task_class(plan.task)
            clean_process()
            self._shared = {
                key: load_arrays(task_class, task_class.Options.model_validate(expand(plan.options)))
            }
        return self._shared[key]

    def _end(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
