"""All that the program uses of Optuna without being promised it. Checked with Optuna 5.0.0.

1. `BaseDistribution._contains`.
   Why: a sampler may have drawn a value for another option's parameter of the same name. Optuna's `Trial`
   asks the same question, and nothing public answers it.
   If it changes: AttributeError at the first trial that is drawn from a model.
2. `QMCSampler._find_sample_id`.
   Why: Optuna numbers the points of the sequence in the order in which they are asked for, and keeps the
   count in the study. A trial that is asked for again after a kill would get another point.
   Upstream: https://github.com/optuna/optuna/pull/6616 is about this sampler's state.
   If it changes: silent, trials get other points of the sequence.
3. `storage.get_trial` and `get_all_trials(deepcopy=False)` give the storage's own objects.
   Why: so trials of equal spaces can share one description of it; Optuna decodes a new one for each.
   If it changes: silent, kilobytes more memory for each trial.

Each has a test in tests/unit/test_patches_optuna.py. The journal, and the studies that samplers and pruners
are shown (in_memory.py), need no private name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import QMCSampler
from optuna.trial import FrozenTrial


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value lies in a distribution."""
    return distribution._contains(distribution.to_internal_repr(value))


class NumberedQMCSampler(QMCSampler):
    """Gives trial n the n-th point of its sequence, where Optuna counts the points that were asked for."""

    def __init__(self, number: int, **options: Any) -> None:
        super().__init__(**options)
        self._number = number

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number


def share_distributions(frozen: FrozenTrial) -> None:
    """Let trials of equal spaces hold one description of it, where Optuna makes each its own."""
    distributions = frozen.distributions
    # Also told apart by their text: to Optuna the choices 0 and 1 are those of false and true.
    frozen.distributions = _one_of_equal(repr(distributions), *distributions.items())


@lru_cache(maxsize=1000)
def _one_of_equal(text: str, *items: tuple[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    return dict(items)
