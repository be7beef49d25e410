"""Optuna's pruners as schedulers that stop trials."""

from __future__ import annotations

from functools import partial

from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from search.schedulers.base import Decision, Scheduler
from search.study.in_memory import study_showing
from search.study.study import SearchStudy
from search.study.trial import TrialRecord


class OptunaPruner(Scheduler):
    """Asks an Optuna pruner, which looks at completed trials only, after each virtual epoch.

    It sees each trial of full length once; in the study itself, one that continued after its end is there
    twice.
    """

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner = pruner

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        shown = study_showing(partial(completed, study), study.study.direction)
        return Decision.STOP if self._pruner.prune(shown, study.frozen(record)) else Decision.GO_ON


def completed(study: SearchStudy) -> list[FrozenTrial]:
    """Optuna's view of the trials of full length on the data of now, each once; none that is audited."""
    trials = study.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    newest = {t.user_attrs["trial"]: t for t in trials if "trial" in t.user_attrs}
    counted = (r.number for r in study.records if not (r.of_other_data or r.audited))
    return [newest[number] for number in counted if number in newest]
