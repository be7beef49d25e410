"""A small classifier of digits whose features take the place of Inception's in the Fréchet distance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.gan.data import NUM_CLASSES
from trainables.gan.frechet import mean_and_covariance

NUM_FEATURES = 32
_PREFIX = "classifier."
_NUM_PASSES, _BATCH_SIZE, _LR = 10, 64, 3e-3


class DigitClassifier(nn.Module):
    """8x8 digits [N, 1, 8, 8] in -1..1 to features [N, NUM_FEATURES] and logits [N, NUM_CLASSES]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, NUM_FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(NUM_FEATURES, NUM_CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images)
        return features, self.head(features)


def train_classifier(images: np.ndarray, labels: np.ndarray, seed: int) -> DigitClassifier:
    """A classifier trained on the CPU; random states are seeded before the call.

    Args:
        images: float32 [N, 1, 8, 8].
        labels: int64 [N].
        seed: seed of the order of the samples.
    """
    classifier = DigitClassifier()
    optimizer = torch.optim.Adam(classifier.parameters(), lr=_LR)
    rng = np.random.default_rng(seed)
    for _ in range(_NUM_PASSES):
        order = rng.permutation(len(images))
        for chosen in np.split(order, range(_BATCH_SIZE, len(order), _BATCH_SIZE)):
            _, logits = classifier(torch.tensor(images[chosen]))
            optimizer.zero_grad()
            F.cross_entropy(logits, torch.tensor(labels[chosen])).backward()
            optimizer.step()
    return classifier.requires_grad_(False).eval()


def classifier_arrays(classifier: DigitClassifier, held_out: np.ndarray) -> dict[str, np.ndarray]:
    """The classifier's weights, and its features' mean and covariance on held-out images, as arrays."""
    features, _ = classifier(torch.tensor(held_out))
    mean, covariance = mean_and_covariance(features)
    weights = {_PREFIX + name: tensor.numpy() for name, tensor in classifier.state_dict().items()}
    return {**weights, "valid_mean": mean.numpy(), "valid_covariance": covariance.numpy()}


def classifier_from(arrays: Mapping[str, np.ndarray]) -> DigitClassifier:
    """The classifier whose weights `classifier_arrays` gave."""
    classifier = DigitClassifier().requires_grad_(False).eval()
    names = classifier.state_dict()
    classifier.load_state_dict({name: torch.tensor(arrays[_PREFIX + name]) for name in names})
    return classifier
