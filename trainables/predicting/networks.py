"""The network of an export, from its name and arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from trainables.imported import call, is_path
from trainables.networks.cnn import CNN
from trainables.networks.gan import build_generator
from trainables.networks.mlp import MLP
from trainables.networks.own import check_model
from trainables.networks.resnet import ResNet
from trainables.networks.segformer import build_segformer
from trainables.networks.unet import UNet
from trainables.predicting.inference import ExportError, Network

GENERATOR = "generator"
BUILT_IN: Mapping[str, Callable[..., nn.Module]] = {
    "unet": UNet,
    "segformer": build_segformer,
    "cnn": CNN,
    "resnet": ResNet,
    "mlp": MLP,
    GENERATOR: lambda kind, **arguments: build_generator(kind, **arguments),
}


def build_network(network: Network) -> nn.Module:
    """With random weights.

    Raises:
        ExportError: it cannot be made here, as its module or a library of it is not there.
    """
    if not is_path(network.name) and network.name not in BUILT_IN:
        raise ExportError(
            f"its network is {network.name!r}, and this program has {', '.join(BUILT_IN)}: update tune-search"
        )
    arguments: dict[str, Any] = dict(network.arguments)
    try:
        if is_path(network.name):
            return check_model(call(network.name, arguments))
        return BUILT_IN[network.name](**arguments)
    except (ValueError, TypeError, ModuleNotFoundError) as error:
        raise ExportError(f"its network {network.name} cannot be made: {error}") from error
