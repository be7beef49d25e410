"""The `trial:` section of a GAN: data, networks, losses, the discriminator's optimizer and the evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, field_validator

from trainables.base_options import VALIDATES, Options
from trainables.imported_options import ImportedModel
from trainables.options import OptimizerOptions, TrialOptions


class DataOptions(Options):
    """Handwritten digits of scikit-learn, 8x8 pixels, one grey channel; nothing to download."""

    source: Literal["digits"] = "digits"
    """The only source so far."""
    seed: Annotated[NonNegativeInt, VALIDATES] = 0
    """Seed of the split into training and held-out digits, and of the classifier that measures."""


class NetworkOptions(Options):
    """Generator and discriminator, built alike."""

    name: Literal["conv", "mlp"] = "conv"
    """conv: three convolutions each; mlp: two hidden layers each."""
    latent_size: PositiveInt = 32
    """Dimensions of the Gaussian noise that a digit is generated from."""
    width: PositiveInt = 32
    """Channels of the convolution at 8x8 pixels (2 and 4 times as many at 4x4 and 2x2), or an eighth of the
    units of a hidden layer."""
    spectral_norm: bool = False
    """Hold each layer of the built-in discriminator to a spectral norm of 1 (arXiv:1802.05957)."""
    generator: ImportedModel | None = None
    """By its path, in the place of the built-in one: from latents [N, latent_size] to images [N, 1, 8, 8] in
    -1..1."""
    discriminator: ImportedModel | None = None
    """By its path: from images to logits [N, 1], high for real ones."""


class LossOptions(Options):
    """What generator and discriminator play for."""

    name: Literal["non_saturating", "hinge"] = "non_saturating"
    """Cross-entropy with the generator's non-saturating form (arXiv:1406.2661), or the hinge loss
    (arXiv:1705.02894, arXiv:1802.05957)."""
    r1: NonNegativeFloat = 0.0
    """Coefficient gamma of the gradient penalty gamma/2 |grad D(x)|^2 on real digits (arXiv:1801.04406)."""


class EvaluationOptions(Options):
    """How the generator is measured; trials are comparable only where these are equal."""

    num_samples: Annotated[int, Field(ge=100), VALIDATES] = 1000
    """Digits to generate. The Fréchet distance is biased upwards for few (arXiv:1706.08500)."""
    seed: Annotated[NonNegativeInt, VALIDATES] = 0
    """Seed of the noise that they are generated from, the same at every virtual epoch."""


class GANOptions(TrialOptions):
    """Everything that one GAN trial gets; `optimizer` is the generator's, `lr_schedule` scales both."""

    data: DataOptions = DataOptions()  # type: ignore[assignment]  # narrows the base's open mapping
    model: NetworkOptions = NetworkOptions()  # type: ignore[assignment]
    loss: LossOptions = LossOptions()
    discriminator_optimizer: OptimizerOptions = OptimizerOptions()
    """As `optimizer`, of the discriminator; without `layer_decay`."""
    discriminator_steps: PositiveInt = 1
    """Steps of the discriminator, each with digits of its own, for one of the generator."""
    evaluation: EvaluationOptions = EvaluationOptions()

    @field_validator("discriminator_optimizer")
    @classmethod
    def _one_rate(cls, optimizer: OptimizerOptions) -> OptimizerOptions:
        if optimizer.layer_decay != 1.0:
            raise ValueError(f"layer_decay is {optimizer.layer_decay:g}; for a discriminator it must be 1")
        return optimizer
