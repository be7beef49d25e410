"""The `model:` of a classification or regression."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainables.imported_options import NetworkOptions

Width = Annotated[int, Field(ge=1, le=4096)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


class CNNOptions(NetworkOptions):
    """A small convolutional network, for images."""

    name: Literal["cnn"]
    """Blocks of convolutions with halvings between them."""
    width: Width = 16
    """Channels of the first level; each level below has twice as many."""
    depth: Annotated[int, Field(ge=0, le=8)] = 2
    """Number of halvings."""
    dropout: Dropout = 0.0
    """Share of features dropped before the head."""


class ResNetOptions(NetworkOptions):
    """A residual network of basic blocks (arXiv:1512.03385), for images."""

    name: Literal["resnet"]
    """Of basic blocks; one with bottlenecks by its path."""
    width: Width = 16
    """Channels of the first stage; each later one has twice as many."""
    stages: Annotated[int, Field(ge=1, le=6)] = 3
    """Number of stages, with one halving between each two."""
    blocks: Annotated[int, Field(ge=1, le=64)] = 1
    """Basic blocks of each stage."""
    stem: Literal["small", "large"] = "small"
    """small keeps the size of the image; large quarters both sides, for images above about 100 pixels."""
    dropout: Dropout = 0.0
    """Share of features dropped before the head."""


class MLPOptions(NetworkOptions):
    """A multilayer perceptron, for tables."""

    name: Literal["mlp"]
    """Linear layers with ReLU between them."""
    width: Width = 64
    """Units of each hidden layer."""
    depth: Annotated[int, Field(ge=0, le=64)] = 2
    """Hidden layers; 0 is a linear model."""
    normalization: Literal["batch", "layer", "none"] = "none"
    """After each hidden linear layer (arXiv:1502.03167, arXiv:1607.06450)."""
    dropout: Dropout = 0.0
    """Share of hidden units dropped."""
