"""A multilayer perceptron for rows of numbers."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from trainables.networks.normalization import BatchNorm1d

Normalization = Literal["batch", "layer", "none"]


class MLP(nn.Module):
    """`depth` hidden layers of `width` units: linear, normalization, ReLU, dropout each; then a linear head.

    From rows [N, in_features] to outputs [N, out_features]; see MLPOptions.
    """

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        width: int = 64,
        depth: int = 2,
        normalization: Normalization = "none",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = [in_features] + [width] * depth
        self.hidden = nn.ModuleList(_layer(before, width, normalization, dropout) for before in sizes[:-1])
        self.head = nn.Linear(sizes[-1], out_features)

    def forward(self, rows: Tensor) -> Tensor:
        for layer in self.hidden:
            rows = layer(rows)
        return self.head(rows)

    def layers(self) -> list[list[nn.Module]]:
        """The layers from input to head: each hidden layer, the head."""
        return [*([layer] for layer in self.hidden), [self.head]]


def _layer(before: int, after: int, normalization: Normalization, dropout: float) -> nn.Sequential:
    parts: list[nn.Module] = [nn.Linear(before, after)]
    if normalization == "batch":
        parts.append(BatchNorm1d(after))
    elif normalization == "layer":
        parts.append(nn.LayerNorm(after))
    return nn.Sequential(*parts, nn.ReLU(), nn.Dropout(dropout))
