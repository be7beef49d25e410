"""Pruners of Optuna as schedulers."""

from __future__ import annotations

import optuna

from search.schedulers.base import Decision, Scheduler
from search.study.in_memory import study_showing
from search.study.study import SearchStudy
from search.study.trial import TrialRecord


class OptunaPruner(Scheduler):
    """Asks an Optuna pruner, which looks at completed trials only, after each virtual epoch.

    It is shown each trial of full length once: in the study itself, one that went on after it had ended is
    there twice.
    """

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        self._pruner = pruner

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        completed = study_showing(study.completed, study.study.direction)
        return Decision.STOP if self._pruner.prune(completed, study.frozen(record)) else Decision.GO_ON
