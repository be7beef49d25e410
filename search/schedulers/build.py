"""The scheduler that a configuration names."""

from __future__ import annotations

from optuna.pruners import MedianPruner, PercentilePruner

from search.config import schema
from search.config.config import Config
from search.schedulers.asha import ASHA, ASHAStopping
from search.schedulers.base import NoScheduler, Rungs, Scheduler
from search.schedulers.hyperband import Hyperband
from search.schedulers.optuna_pruners import OptunaPruner
from search.schedulers.plateau import PlateauStopping


def build_scheduler(config: Config) -> Scheduler:
    """The scheduler that `scheduler:` names, and `plateau:` with it."""
    scheduler = _build(config)
    return PlateauStopping(scheduler, config.plateau, config.objective.mode) if config.plateau else scheduler


def _build(config: Config) -> Scheduler:
    options, mode, length = config.scheduler, config.objective.mode, config.budget.max_virtual_epochs
    match options:
        case schema.Asha():
            rungs = Rungs(options.grace_period, options.reduction_factor, options.axis)
            return ASHA(rungs, mode, length)
        case schema.AshaStop():
            return ASHAStopping(Rungs(options.grace_period, options.reduction_factor, options.axis), mode)
        case schema.Hyperband():
            return Hyperband(options.grace_period, options.reduction_factor, mode, length)
        # Optuna's warm-up is the first report that may end a trial; ours, virtual epochs in which none ends.
        case schema.Median():
            pruner = MedianPruner(options.startup_trials, n_warmup_steps=options.grace_period + 1)
            return OptunaPruner(pruner)
        case schema.Percentile():
            return OptunaPruner(
                PercentilePruner(
                    options.percentile, options.startup_trials, n_warmup_steps=options.grace_period + 1
                )
            )
    return NoScheduler()
