"""The GAN task: a generator is the trainer's model, its discriminator belongs to the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.data.source import Batch
from trainables.findings import a_type
from trainables.gan.adversary import Adversary, generator_loss
from trainables.gan.classifier import classifier_arrays, classifier_from, train_classifier
from trainables.gan.data import NoisySource, load_digit_images
from trainables.gan.metrics import GANMetrics, Generated, HeldOut
from trainables.gan.options import GANOptions
from trainables.networks.gan import build_discriminator, build_generator
from trainables.optim.optimizers import build_optimizer
from trainables.optim.precision import Precision
from trainables.options import TrialOptions
from trainables.pictures import image_grid
from trainables.predicting.noise import fixed_latents
from trainables.supervised.task import build_imported
from trainables.task import Arrays, Task, Watch

IMAGE = (1, 8, 8)
"""Shape of what is generated."""
COLUMNS, ROWS = 10, 6
"""Size of the sheet of generated digits."""


class GANTask(Task):
    """Generates handwritten digits; the objective to minimize is `frechet_distance` to held-out ones.

    The model that is averaged and exported is the generator. An optimizer step is one of the generator, after
    `discriminator_steps` of the discriminator. Retraining begins with a new discriminator.
    """

    Options = GANOptions
    options: GANOptions
    output_name = "images"
    input_values = "noise, drawn from the standard normal distribution"
    output_values = "pixels from -1, black, to 1"
    metric_names = ("frechet_distance", "class_coverage", "discriminator_loss")

    def __init__(self, options: TrialOptions, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(options, arrays)
        evaluation = self.options.evaluation
        self._latents = fixed_latents(evaluation.num_samples, self.options.model.latent_size, evaluation.seed)

    @classmethod
    def load_data(cls, options: TrialOptions) -> Arrays:
        assert isinstance(options, GANOptions)
        return load_digit_images(options.data.seed)

    @classmethod
    def prepare(cls, options: TrialOptions, arrays: Mapping[str, np.ndarray]) -> Arrays:
        assert isinstance(options, GANOptions)
        classifier = train_classifier(arrays["train_images"], arrays["train_labels"], options.data.seed)
        return classifier_arrays(classifier, arrays["valid_images"])

    def train_data(self) -> NoisySource:
        return NoisySource(self.arrays["train_images"], self.options.model.latent_size)

    def valid_data(self) -> tuple[np.ndarray]:
        """The noise of the digits that are compared with the held-out ones."""
        return (self._latents,)

    def all_data(self) -> NoisySource:
        both = np.concatenate([self.arrays["train_images"], self.arrays["valid_images"]])
        return NoisySource(both, self.options.model.latent_size)

    def build_model(self) -> nn.Module:
        model = self.options.model
        if model.generator is not None:
            return build_imported(model.generator)
        return build_generator(model.name, latent_size=model.latent_size, width=model.width)

    def setup(self, device: torch.device) -> None:
        options = self.options
        discriminator = self._discriminator().to(device)
        self._precision = Precision(options.precision, device)
        self._adversary = Adversary(
            discriminator,
            build_optimizer(discriminator, options.discriminator_optimizer, device),
            options.loss,
            precision=self._precision,
            clip_norm=options.clip_norm,
        )
        self._classifier = classifier_from(self.arrays).to(device)
        names = ("valid_images", "valid_labels", "valid_mean", "valid_covariance")
        self._held_out = HeldOut(*(torch.tensor(self.arrays[name], device=device) for name in names))

    def _discriminator(self) -> nn.Module:
        model = self.options.model
        if model.discriminator is not None:
            return build_imported(model.discriminator)
        return build_discriminator(model.name, width=model.width, normalized=model.spectral_norm)

    @property
    def batches_per_step(self) -> int:
        return self.options.discriminator_steps

    def prepare_step(
        self, model: nn.Module, batches: list[Batch], *, lr_factor: float, watch: Watch
    ) -> list[Batch]:
        """Steps of the discriminator against the generator as it is; the generator's has the last batches."""
        size = self.options.accumulate
        for start in range(0, len(batches), size):
            chosen = batches[start : start + size]
            with torch.no_grad(), self._precision.autocast():
                fakes = [_generated(model, latents) for _, latents, _ in chosen]
            watch("discriminator", *self._adversary.step([b[0] for b in chosen], fakes, lr_factor))
        return batches[-size:]

    def state_dict(self) -> dict[str, Any]:
        return self._adversary.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._adversary.load_state_dict(state)

    def forward(self, model: nn.Module, batch: Batch) -> Generated:
        images = _generated(model, batch[-1])
        logits = self._adversary.discriminator(images)
        return Generated(images, _checked(logits, (len(images), 1), "the discriminator", "[samples, 1]"))

    def infer(self, model: nn.Module, batch: Batch) -> Tensor:
        """The generator's images: the discriminator is not exported."""
        return _generated(model, batch[-1])

    def loss(self, outputs: Generated, batch: Batch) -> Tensor:
        return generator_loss(self.options.loss.name, outputs.logits)

    def metrics(self) -> GANMetrics:
        return GANMetrics(
            self._held_out,
            self._classifier,
            self._adversary.discriminator,
            loss=self.options.loss.name,
            precision=self._precision,
        )

    def data_picture(self) -> np.ndarray | None:
        """The first real digits."""
        return image_grid(self.arrays["train_images"][: COLUMNS * ROWS], COLUMNS)

    def images(self, model: nn.Module, device: torch.device) -> dict[str, np.ndarray]:
        """`generated`: the first digits of those that are measured."""
        with torch.inference_mode():
            generated = model(torch.tensor(self._latents[: COLUMNS * ROWS], device=device))
        return {"generated": image_grid(generated.float().cpu().numpy(), COLUMNS)}


def _generated(model: nn.Module, latents: Tensor) -> Tensor:
    return _checked(model(latents), (len(latents), *IMAGE), "the generator", "[samples, 1, 8, 8]")


def _checked(found: Tensor, shape: tuple[int, ...], who: str, rule: str) -> Tensor:
    """The tensor, if it has this shape.

    Raises:
        ValueError: it has another, which would be broadcast.
    """
    if not isinstance(found, Tensor) or found.shape != shape:
        received = list(found.shape) if isinstance(found, Tensor) else a_type(found)
        raise ValueError(f"{who} returned {received}; must be {list(shape)}, {rule}")
    return found
