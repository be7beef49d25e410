"""The Fréchet distance between two sets of features (Heusel et al., arXiv:1706.08500)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def mean_and_covariance(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of features [N, D], N at least 2: float64 [D] and [D, D], on their device."""
    features = features.double()
    return features.mean(0), torch.cov(features.T)


def frechet_distance(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> float:
    """Squared Wasserstein-2 distance of two Gaussians; NaN where a number is not finite.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). The trace of that root is the one of the symmetric matrix
    (C1^(1/2) C2 C1^(1/2))^(1/2), which `eigh` takes exactly also where features do not vary.

    Args:
        mean, other_mean: float64 [D].
        covariance, other_covariance: float64 [D, D], symmetric.
    """
    given = [x.cpu() for x in (mean, covariance, other_mean, other_covariance)]
    if not all(bool(torch.isfinite(x).all()) for x in given):
        return math.nan
    m1, C1, m2, C2 = given
    root = _root(C1)
    values = torch.linalg.eigvalsh(root @ C2 @ root).clamp_min(0.0)
    distance = (m1 - m2).square().sum() + C1.trace() + C2.trace() - 2.0 * values.sqrt().sum()
    return max(0.0, float(distance))


def _root(matrix: Tensor) -> Tensor:
    """Symmetric square root; eigenvalues that rounding has made negative count as 0."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0.0).sqrt()) @ vectors.T
