"""CMA-ES that keeps nothing between trials: its state is computed again from the trials that it sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from cmaes import CMA
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

_SIGMA = 1 / 6
"""First standard deviation, as in Optuna, and the limit of later ones; domains are scaled to 0 .. 1."""

Solution = tuple[np.ndarray, float]
"""A point of the unit cube and its loss."""


class ReplayedCmaEsSampler(BaseSampler):
    """CMA-ES (Hansen, arXiv:1604.00772) for a study to maximize, over the numbers that all its trials have.

    The complete trials, in order of number, are told to a new optimizer in generations of the population
    size; then one point is drawn. So a draw is a function of the seed and of the study's trials, wherever
    these come from. Until the first generation is full, and for choices and numbers that only some trials
    have, values are drawn at random: the first trials, known points among them, cover the whole space.

    Args:
        seed: of the next draw alone; the replay draws nothing.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = RandomSampler(seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return _common_numbers(_complete_trials(study))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        transform = _SearchSpaceTransform(search_space, transform_0_1=True)
        solutions = [(transform.transform(t.params), -t.value) for t in _complete_trials(study)]
        optimizer = _new_optimizer(len(search_space), self._seed)
        if len(solutions) < optimizer.population_size:
            return {}
        return transform.untransform(_replay(optimizer, solutions, self._seed).ask())

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _complete_trials(study: optuna.Study) -> list[FrozenTrial]:
    """In order of number, as Optuna gives them."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _common_numbers(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Numbers of more than one value that all of these trials have in the same domain, in order of name."""
    if not trials:
        return {}
    return {
        name: domain
        for name, domain in sorted(trials[0].distributions.items())
        if isinstance(domain, FloatDistribution | IntDistribution)
        and not domain.single()
        and all(trial.distributions.get(name) == domain for trial in trials)
    }


def _new_optimizer(num_dimensions: int, seed: int) -> CMA:
    return CMA(
        mean=np.full(num_dimensions, 0.5),
        sigma=_SIGMA,
        bounds=np.tile([0.0, 1.0], (num_dimensions, 1)),
        n_max_resampling=10 * num_dimensions,
        seed=seed,
    )


def _replay(optimizer: CMA, solutions: Sequence[Solution], seed: int) -> CMA:
    """The optimizer after all full generations; one that has converged gives way to a new one."""
    size = optimizer.population_size
    for end in range(size, len(solutions) + 1, size):
        generation = list(solutions[end - size : end])
        _tell(optimizer, generation)
        if optimizer.should_stop() or _is_one_point(generation):
            optimizer = _new_optimizer(optimizer.dim, seed)
    return optimizer


def _tell(optimizer: CMA, generation: list[Solution]) -> None:
    """Learn from one generation; from equal losses there is nothing to learn.

    Points that the optimizer did not draw itself, such as known ones, may lie so far from its distribution
    that its step size explodes, and all draws would end on the bounds: it never grows wider than it began.
    """
    losses = [loss for _, loss in generation]
    if min(losses) == max(losses):
        return
    with np.errstate(over="ignore"):
        optimizer.tell(generation)
    _, axis_lengths = optimizer._eigen_decomposition()
    optimizer._sigma = min(optimizer._sigma, _SIGMA / axis_lengths.max())


def _is_one_point(generation: Sequence[Solution]) -> bool:
    """Whether steps and whole numbers have rounded all draws to the same values."""
    first, _ = generation[0]
    return all(np.array_equal(point, first) for point, _ in generation)
