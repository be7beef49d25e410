"""What a generator is measured by: held-out digits, never the loss that it was trained with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainables.data.source import Batch
from trainables.gan.adversary import discriminator_loss
from trainables.gan.classifier import DigitClassifier
from trainables.gan.data import NUM_CLASSES
from trainables.gan.frechet import frechet_distance, mean_and_covariance
from trainables.optim.precision import Precision


@dataclass(frozen=True)
class Generated:
    """Images [N, 1, 8, 8] in -1..1 and the discriminator's logits [N, 1] for them."""

    images: Tensor
    logits: Tensor


@dataclass(frozen=True)
class HeldOut:
    """Real digits on the device, and what the classifier makes of them."""

    images: Tensor
    labels: Tensor
    mean: Tensor
    covariance: Tensor


class GANMetrics:
    """Compares generated digits with held-out ones by the classifier's features and classes.

    `frechet_distance`: between the features. `class_coverage`: the sum over the classes of the smaller of
    their shares among held-out and generated digits, 1 where all appear as often as they should.
    `discriminator_loss`: on held-out and generated digits.
    """

    def __init__(
        self,
        held_out: HeldOut,
        classifier: DigitClassifier,
        discriminator: nn.Module,
        *,
        loss: str,
        precision: Precision,
    ) -> None:
        self._held_out = held_out
        self._classifier = classifier
        self._discriminator = discriminator
        self._loss = loss
        self._precision = precision
        self._features: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._counts = torch.zeros(NUM_CLASSES, device=held_out.images.device)

    def update(self, outputs: Generated, batch: Batch) -> None:
        images = outputs.images.float()
        with torch.autocast(images.device.type, enabled=False):
            features, logits = self._classifier(images)
        self._features.append(features)
        self._logits.append(outputs.logits)
        self._counts += torch.bincount(logits.argmax(1), minlength=NUM_CLASSES)

    def compute(self) -> dict[str, float]:
        held_out, fake = self._held_out, torch.cat(self._logits)
        found = mean_and_covariance(torch.cat(self._features))
        with torch.inference_mode(), self._precision.autocast():
            loss = discriminator_loss(self._loss, self._discriminator(held_out.images), fake)
        return {
            "frechet_distance": frechet_distance(*found, held_out.mean, held_out.covariance),
            "class_coverage": self._coverage(),
            "discriminator_loss": float(loss),
        }

    def _coverage(self) -> float:
        real = torch.bincount(self._held_out.labels, minlength=NUM_CLASSES)
        return float(torch.minimum(real / real.sum(), self._counts / self._counts.sum()).sum())
