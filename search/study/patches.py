"""All that the program uses of Optuna without being promised it. Checked with Optuna 5.0.0.

| what | why | if it changes |
|---|---|---|
| `BaseDistribution._contains` | a sampler may draw a value for another option's parameter of the same name; Optuna's own `Trial` asks the same, and offers it to nobody else | AttributeError at the first trial of a model |
| `QMCSampler._find_sample_id` | Optuna numbers the points of the sequence in the study, in the order in which they are asked for, so that a trial that is asked for again gets another one | two trials get the same point |
| `storage.get_trial` and `get_all_trials(deepcopy=False)` give the storage's own objects | so trials can share one description of their space; Optuna decodes a new one for each, kilobytes that never differ | more memory |

Each row has a test in tests/unit/test_patches_optuna.py. Studies that samplers and pruners are shown, in_memory.py,
and the journal need no private name.
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
