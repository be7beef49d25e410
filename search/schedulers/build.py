"""The scheduler that a configuration names."""

from __future__ import annotations

from optuna.pruners import MedianPruner, PercentilePruner

from search.config import schema
from search.config.config import Config
from search.config.population import changing_parameters
from search.schedulers.asha import ASHA, ASHAStopping
from search.schedulers.base import NoScheduler, Rungs, Scheduler
from search.schedulers.brackets import Brackets
from search.schedulers.hyperband import Hyperband
from search.schedulers.moasha import MOASHA
from search.schedulers.optuna_pruner import OptunaPruner
from search.schedulers.pbt import PBT
from search.schedulers.plateau import PlateauStopping
from search.schedulers.warmup import first_bracket


def build_scheduler(config: Config) -> Scheduler:
    """The scheduler that `scheduler:` names, and `plateau:` with it."""
    scheduler = _build(config)
    return PlateauStopping(scheduler, config.plateau, config.objective.mode) if config.plateau else scheduler


def _build(config: Config) -> Scheduler:
    mode, length = config.objective.mode, config.budget.max_virtual_epochs
    match config.scheduler:
        case schema.Asha(grace_period=grace, reduction_factor=factor, axis=axis):
            rungs = Rungs(1 if grace == "auto" else grace, factor, axis)
            if config.objectives:
                return MOASHA(rungs, config.objectives, length)
            measured = grace == "auto" and axis == "virtual_epochs"
            brackets = Brackets(rungs, mode, length, first_bracket(config, rungs)) if measured else None
            return ASHA(rungs, mode, length, brackets=brackets)
        case schema.AshaStop(grace_period=grace, reduction_factor=factor, axis=axis):
            return ASHAStopping(Rungs(grace, factor, axis), mode)
        case schema.Hyperband(grace_period=grace, reduction_factor=factor):
            return Hyperband(grace, factor, mode, length)
        # Optuna's warm-up is the first report that may end a trial; ours, virtual epochs in which none ends.
        case schema.Median(startup_trials=startup, grace_period=grace):
            return OptunaPruner(MedianPruner(startup, n_warmup_steps=grace + 1))
        case schema.Percentile(percentile=percentile, startup_trials=startup, grace_period=grace):
            return OptunaPruner(PercentilePruner(percentile, startup, n_warmup_steps=grace + 1))
        case schema.Pbt() as options:
            assert config.budget.trials is not None
            changing = changing_parameters(options, config.space)
            return PBT(options, mode, config.budget.trials, length, changing, config.sampler.seed)
    return NoScheduler()
