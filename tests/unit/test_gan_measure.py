"""What a GAN is trained and measured by: its losses, its networks and the Fréchet distance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gan_trials import digits_and_classifier, trainer_for
from scipy.linalg import sqrtm
from torch import nn
from torch.nn import functional as F

from trainables.gan.adversary import discriminator_loss, generator_loss, gradient_penalty
from trainables.gan.classifier import classifier_from
from trainables.gan.frechet import frechet_distance, mean_and_covariance
from trainables.gan.metrics import Generated
from trainables.networks.gan import build_discriminator, build_generator


@pytest.fixture(scope="module")
def arrays():
    return digits_and_classifier()


# Losses


def test_losses_are_those_of_the_papers():
    real, fake = torch.tensor([[0.3], [-2.0]]), torch.tensor([[1.5], [-0.2]])
    real_probability, fake_probability = torch.sigmoid(real), torch.sigmoid(fake)
    goodfellow = -(real_probability.log().mean() + (1 - fake_probability).log().mean())
    assert discriminator_loss("non_saturating", real, fake) == pytest.approx(float(goodfellow), rel=1e-6)
    assert generator_loss("non_saturating", fake) == pytest.approx(float(-fake_probability.log().mean()))
    assert discriminator_loss("hinge", real, fake) == pytest.approx((0.7 + 3.0) / 2 + (2.5 + 0.8) / 2)
    assert generator_loss("hinge", fake) == pytest.approx(-0.65)


def test_the_gradient_penalty_of_a_linear_discriminator_is_half_its_squared_weights():
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    penalty = gradient_penalty(discriminator, torch.randn(5, 1, 8, 8))
    weight = discriminator[1].weight
    assert penalty.item() == pytest.approx(0.5 * weight.square().sum().item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert torch.allclose(gradient, weight, atol=1e-6)


@pytest.mark.parametrize("name", ["conv", "mlp"])
def test_networks_have_the_shapes_of_digits_and_a_spectral_norm_of_one(name):
    torch.manual_seed(0)
    images = build_generator(name, latent_size=5, width=2)(torch.randn(3, 5))
    assert images.shape == (3, 1, 8, 8)
    assert images.abs().max() <= 1.0
    discriminator = build_discriminator(name, width=2, normalized=True)
    for _ in range(50):
        assert discriminator(images).shape == (3, 1)
    norms = [
        torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        for layer in discriminator
        if hasattr(layer, "weight")
    ]
    assert torch.allclose(torch.stack(norms), torch.ones(len(norms)), atol=1e-2)


# The measure


def distance(some, others):
    return frechet_distance(*mean_and_covariance(some), *mean_and_covariance(others))


def test_the_frechet_distance_is_the_one_of_scipy():
    rng = np.random.default_rng(0)
    some, others = (rng.standard_normal((200, 7)) @ rng.standard_normal((7, 7)) + rng.random(7) for _ in "ab")
    C1, C2 = np.cov(some.T), np.cov(others.T)
    mean = some.mean(0) - others.mean(0)
    expected = mean @ mean + np.trace(C1 + C2 - 2 * sqrtm(C1 @ C2).real)
    found = distance(torch.tensor(some), torch.tensor(others))
    assert found == pytest.approx(expected, rel=1e-9)
    assert distance(torch.tensor(others), torch.tensor(some)) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_of_one_dimension_is_by_hand():
    one = torch.ones(1, 1, dtype=torch.float64)
    assert frechet_distance(one[0], 4 * one, 3 * one[0], 9 * one) == pytest.approx(2.0**2 + (2 - 3) ** 2)


def test_equal_sets_have_no_distance_also_where_features_do_not_vary():
    features = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    features[:, 3] = 0.0
    features[:, 4] = features[:, 5]
    assert distance(features, features) == pytest.approx(0.0, abs=1e-9)
    constant = torch.zeros(50, 8)
    assert distance(constant, constant) == 0.0
    assert distance(constant, constant + 1.0) == pytest.approx(8.0)


def test_a_feature_that_is_not_finite_has_no_distance():
    features = torch.randn(20, 3)
    bad = features.clone()
    bad[4, 1] = math.inf
    assert math.isnan(distance(bad, features))


def measured(task, images):
    metrics = task.metrics()
    images = torch.tensor(images)
    metrics.update(Generated(images, torch.zeros(len(images), 1)), None)
    return metrics.compute()


def test_real_digits_are_near_and_noise_and_one_class_are_far(arrays):
    task = trainer_for(arrays).task
    train, labels = arrays["train_images"], arrays["train_labels"]
    real = measured(task, train)
    noise = measured(task, np.random.default_rng(0).uniform(-1, 1, (500, 1, 8, 8)).astype(np.float32))
    ones = measured(task, train[labels == 1])
    assert real["frechet_distance"] * 20 < min(noise["frechet_distance"], ones["frechet_distance"])
    assert real["class_coverage"] > 0.9
    assert ones["class_coverage"] < 0.2
    held_out = measured(task, arrays["valid_images"])
    assert held_out["frechet_distance"] == pytest.approx(0.0, abs=1e-6)
    logits = task._adversary.discriminator(torch.tensor(arrays["valid_images"]))
    expected = F.softplus(-logits).mean() + math.log(2.0)
    assert real["discriminator_loss"] == pytest.approx(float(expected), rel=1e-5)


def test_the_measuring_classifier_reads_held_out_digits(arrays):
    classifier = classifier_from(arrays)
    _, logits = classifier(torch.tensor(arrays["valid_images"]))
    assert (logits.argmax(1).numpy() == arrays["valid_labels"]).mean() > 0.97
    train, held_out = ({image.tobytes() for image in arrays[f"{part}_images"]} for part in ("train", "valid"))
    assert train.isdisjoint(held_out)


def test_a_generator_gone_wrong_gives_no_distance_and_no_error(arrays):
    trainer = trainer_for(arrays)
    with torch.no_grad():
        trainer.model[0].weight.fill_(math.nan)
    assert math.isnan(trainer.validate()["frechet_distance"])


def test_training_brings_generated_digits_nearer_to_real_ones(arrays):
    trainer = trainer_for(
        arrays,
        count=60,
        model={"name": "mlp", "latent_size": 16, "width": 8},
        loss={"r1": 0.5},
        batch_size=32,
        evaluation={"num_samples": 300},
    )
    before = trainer.validate()["frechet_distance"]
    assert trainer.run_virtual_epoch()["frechet_distance"] < before / 2
