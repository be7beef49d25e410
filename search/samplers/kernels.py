"""Kernels of the tree-structured Parzen estimator that are all of one width, in the place of Optuna's."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator

from search.config.sections.sampler import Kernels

DEFAULT_KERNELS: Kernels = "one_width"
"""Of new studies; see benchmarks/efficiency/NOTES.md for what either finds."""
WIDTH = 0.2
"""Of a single observation's kernel, as a share of the range."""


class OneWidthKernels(_ParzenEstimator):
    """As wide as Scott's rule says for n observations in d ranges: n^(-1 / (d + 4)), as BOHB's are (Falkner
    et al., arXiv:1807.01774), and as Optuna's were of several dimensions before version 5.

    Those of Optuna 5 are as wide as the gap to the next observation in each dimension by itself, so that in
    many dimensions each kernel is narrow in some and wide in others by chance.
    """

    def _calculate_numerical_distributions(
        self, observations: np.ndarray, search_space: FloatDistribution | IntDistribution, parameters: Any
    ) -> Any:
        optunas = super()._calculate_numerical_distributions(observations, search_space, parameters)
        num_ranges = sum(
            not isinstance(each, CategoricalDistribution) for each in self._search_space.values()
        )
        count = len(observations)
        width = WIDTH * max(count, 1) ** (-1 / (num_ranges + 4))
        # The last kernel is the prior, whose width is the whole range.
        whole = optunas.sigma[-1]
        widths = np.full(count, whole * np.clip(width, 1 / min(100, count + 2), 1.0))
        return optunas._replace(sigma=np.append(widths, whole))


def with_one_width(sampler: TPESampler) -> TPESampler:
    """The sampler, which draws by such kernels from now on."""
    sampler._parzen_estimator_cls = OneWidthKernels
    return sampler
