"""The 1,797 handwritten digits of scikit-learn for the examples: nothing to download."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

NUM_TRAIN = 1297


def _digits() -> TensorDataset:
    images, labels = load_digits(return_X_y=True)
    return TensorDataset(torch.from_numpy(images).float() / 16.0, torch.from_numpy(labels).long())


def train_digits() -> TensorDataset:
    return TensorDataset(*_digits()[:NUM_TRAIN])


def valid_digits() -> TensorDataset:
    return TensorDataset(*_digits()[NUM_TRAIN:])


def make_network(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 10))


def accuracy(model: nn.Module, device: torch.device) -> float:
    """Share of the validation digits that the model recognizes."""
    images, labels = (tensor.to(device) for tensor in valid_digits().tensors)
    with torch.no_grad():
        return float((model.eval()(images).argmax(dim=1) == labels).float().mean())
