"""The GAN task: two players that take turns, exact resume, and a measure that is not their loss."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from small_trials import CPU, assert_identical, everything, segmentation_plan, small_trainer
from tiny_tasks import DigitsTask
from torch import nn
from torch.nn import functional as F

from search.config.config import load_config
from search.errors import ConfigError
from trainables.build import build_trainer, load_arrays
from trainables.data.stream import SampleStream
from trainables.gan.classifier import classifier_from
from trainables.gan.data import NoisySource, fixed_latents
from trainables.gan.frechet import frechet_distance, mean_and_covariance
from trainables.gan.losses import discriminator_loss, generator_loss, gradient_penalty
from trainables.gan.metrics import GANMetrics, Generated
from trainables.gan.task import GANTask
from trainables.networks.gan import build_discriminator, build_generator
from trainables.pictures import image_grid
from trainables.progress import DivergedError, Progress
from trainables.session import TrialSession

ADAM = {"name": "adam", "lr": 0.003, "betas": [0.0, 0.99]}
SGD = {"name": "sgd", "lr": 0.05}
SMALL = {
    "model": {"name": "conv", "latent_size": 6, "width": 2},
    "optimizer": ADAM,
    "discriminator_optimizer": {**ADAM, "lr": 0.002},
    "evaluation": {"num_samples": 100},
    "batch_size": 8,
}


@pytest.fixture(scope="module")
def arrays():
    """Digits, and the classifier that is trained once for all of these tests."""
    loaded = load_arrays(GANTask, GANTask.Options())
    for array in loaded.values():
        array.flags.writeable = False  # as in Ray's object store
    return loaded


class WatchedTask(GANTask):
    """Keeps copies of both players before and after the discriminator's steps."""

    def prepare_step(self, model, batches, **arguments):
        players = (model, self._adversary.discriminator)
        before = [parameters(player) for player in players]
        kept = super().prepare_step(model, batches, **arguments)
        self.seen = [*before, *(parameters(player) for player in players)]
        return kept


def parameters(module):
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def trainer_for(arrays, task=GANTask, *, unit="steps", count=3, virtual_epochs=4, **changes):
    options = task.Options.model_validate({**SMALL, **changes})
    return build_trainer(
        task, options, arrays, unit=unit, count=count, num_virtual_epochs=virtual_epochs, device=CPU
    )


def is_equal(some, others):
    return all(torch.equal(some[name], others[name]) for name in some)


def num_steps(optimizer):
    return {int(state["step"]) for state in optimizer.state_dict()["state"].values()}


# Two players


@pytest.mark.parametrize("loss", [{}, {"name": "hinge", "r1": 1.0}])
@pytest.mark.parametrize("model", [{}, {"name": "mlp", "spectral_norm": True}])
def test_each_optimizer_changes_its_own_parameters_only(arrays, loss, model):
    trainer = trainer_for(
        arrays, WatchedTask, count=1, loss=loss, model={**SMALL["model"], **model}, discriminator_steps=2
    )
    trainer.run_virtual_epoch()
    generator_before, discriminator_before, generator_between, discriminator_between = trainer.task.seen
    discriminator = trainer.task._adversary.discriminator
    assert is_equal(generator_before, generator_between)
    assert not is_equal(discriminator_before, discriminator_between)
    assert is_equal(discriminator_between, parameters(discriminator))
    assert not is_equal(generator_between, parameters(trainer.model))
    assert all(p.grad is None for p in [*trainer.model.parameters(), *discriminator.parameters()])


@pytest.mark.parametrize(("steps", "accumulate"), [(1, 1), (3, 1), (2, 3)])
def test_the_discriminator_takes_its_steps_for_each_one_of_the_generator(arrays, steps, accumulate):
    trainer = trainer_for(arrays, discriminator_steps=steps, accumulate=accumulate)
    metrics = trainer.run_virtual_epoch()
    assert num_steps(trainer.optimizer) == {3}
    assert num_steps(trainer.task._adversary.optimizer) == {3 * steps}
    assert trainer.num_samples == trainer.stream.position == 3 * 8 * steps * accumulate
    assert metrics["epochs"] == trainer.num_samples / 1437


def test_an_epoch_ends_with_as_many_discriminator_steps_as_there_are_digits_for(arrays):
    trainer = trainer_for(
        arrays, unit="epochs", count=1, batch_size=400, discriminator_steps=3, evaluation={"num_samples": 100}
    )
    metrics = trainer.run_virtual_epoch()
    # Batches of 400, 400, 400 and 237 digits: three for the generator's first step, one for its second.
    assert (metrics["epochs"], trainer.num_samples) == (1.0, 1437)
    assert num_steps(trainer.optimizer) == {2}
    assert num_steps(trainer.task._adversary.optimizer) == {4}


@pytest.mark.parametrize("loss", [{"r1": 0.5}, {"name": "hinge"}])
def test_accumulation_equals_the_large_batch_for_both(arrays, loss):
    common = {"optimizer": SGD, "discriminator_optimizer": SGD, "loss": loss, "discriminator_steps": 2}
    large = trainer_for(arrays, batch_size=32, **common)
    small = trainer_for(arrays, batch_size=8, accumulate=4, **common)
    first, second = large.run_virtual_epoch(), small.run_virtual_epoch()
    assert first["train_loss"] == pytest.approx(second["train_loss"], abs=1e-5)
    for one, other in (
        (large.model, small.model),
        (large.task._adversary.discriminator, small.task._adversary.discriminator),
    ):
        for name, value in parameters(one).items():
            assert torch.allclose(value, parameters(other)[name], atol=1e-5), name


def test_the_schedule_scales_both_learning_rates(arrays):
    trainer = trainer_for(arrays, lr_schedule={"name": "linear"}, virtual_epochs=2)
    trainer.run_virtual_epoch()
    factors = {
        trainer.optimizer.param_groups[0]["lr"] / 0.003,
        trainer.task._adversary.optimizer.param_groups[0]["lr"] / 0.002,
    }
    assert max(factors) == pytest.approx(min(factors))
    assert 0.0 < max(factors) < 1.0


def test_the_gradient_norm_is_clipped_for_both(arrays):
    trainer = trainer_for(
        arrays, WatchedTask, count=1, clip_norm=1e-3, optimizer=SGD, discriminator_optimizer=SGD
    )
    trainer.run_virtual_epoch()
    _, before, generator, after = trainer.task.seen
    moved = math.sqrt(sum(float((after[n] - before[n]).square().sum()) for n in before))
    assert moved == pytest.approx(0.05 * 1e-3, rel=1e-2)
    later = parameters(trainer.model)
    moved = math.sqrt(sum(float((later[n] - generator[n]).square().sum()) for n in later))
    assert moved == pytest.approx(0.05 * 1e-3, rel=1e-2)


# Divergence and precision


def overflow(adversary):
    """Have the gradients of the discriminator overflow."""
    weight = adversary.discriminator[0].weight.requires_grad_(True)
    weight.register_hook(lambda gradient: gradient * math.inf)


def test_a_discriminator_whose_loss_is_not_finite_ends_the_trial(arrays):
    trainer = trainer_for(arrays)
    with torch.no_grad():
        trainer.task._adversary.discriminator[0].weight.fill_(math.nan)
    with pytest.raises(DivergedError, match=r"^step 0: loss nan, gradient norm nan of the discriminator$"):
        trainer.run_virtual_epoch()


def test_a_discriminator_whose_gradient_alone_is_not_finite_ends_the_trial(arrays):
    trainer = trainer_for(arrays)
    overflow(trainer.task._adversary)
    told = r"step 0: loss \d\S*, gradient norm (nan|inf) of the discriminator"
    with pytest.raises(DivergedError, match=told) as caught:
        trainer.run_virtual_epoch()
    assert math.isfinite(caught.value.loss)


def test_where_looking_costs_time_the_earlier_of_both_is_named():
    progress = Progress(CPU)
    progress._look_at_once = False
    one, bad = torch.tensor(1.0), torch.tensor(math.inf)
    for step, (discriminator, generator) in enumerate([(one, one), (one, bad), (bad, bad)]):
        progress.watch(step, "discriminator", discriminator, one)
        progress.add(step, generator, one)
    with pytest.raises(DivergedError, match=r"^step 1: loss inf, gradient norm 1$"):
        progress.raise_if_diverged()
    progress = Progress(CPU)
    progress._look_at_once = False
    progress.watch(4, "discriminator", bad, one)
    progress.add(4, bad, one)
    with pytest.raises(DivergedError, match="step 4: loss inf, gradient norm 1 of the discriminator"):
        progress.raise_if_diverged()


def test_an_overflow_of_the_scaled_loss_costs_the_discriminator_one_step_only(arrays):
    trainer = trainer_for(arrays, count=1)
    adversary = trainer.task._adversary
    adversary._precision.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    overflow(adversary)
    before = parameters(adversary.discriminator)
    trainer.run_virtual_epoch()
    assert is_equal(before, parameters(adversary.discriminator))
    assert adversary.state_dict()["scaler"]["scale"] == 512.0


def test_half_precision_trains_and_measures_in_full(arrays):
    trainer = trainer_for(arrays, precision="bf16", loss={"r1": 0.1})
    metrics = trainer.run_virtual_epoch()
    assert all(math.isfinite(value) for value in metrics.values())
    assert all(p.dtype == torch.float32 for p in trainer.task._adversary.discriminator.parameters())


# Resume and state


RESUMED = {
    **SMALL,
    "model": {**SMALL["model"], "spectral_norm": True},
    "discriminator_optimizer": {"name": "adamw", "lr": 0.002, "weight_decay": 0.01},
    "loss": {"name": "hinge", "r1": 0.2},
    "lr_schedule": {"name": "cosine", "warmup": 0.1},
    "discriminator_steps": 2,
    "accumulate": 2,
    "batch_size": 60,  # 240 digits a step, 720 a virtual epoch: the second epoch begins in the second one
    "ema": 0.9,
}


def run_plan(plan, arrays, until):
    session = TrialSession(plan, arrays)
    while len(session.history) < until:
        assert "diverged" not in session.next_report()
    return session


def test_a_resumed_gan_is_the_uninterrupted_one_bit_for_bit(arrays, tmp_path):
    plan = segmentation_plan(
        tmp_path / "whole",
        task="trainables.gan.task:GANTask",
        options=RESUMED,
        count=3,
        metric="frechet_distance",
        mode="min",
    )
    whole = everything(run_plan(plan, arrays, 4))
    assert set(whole["state"]["task"]) == {"discriminator", "optimizer", "scaler"}
    parts = replace(plan, folder=str(tmp_path / "parts"))
    run_plan(parts, arrays, 1)
    run_plan(replace(parts, reported=1), arrays, 3)
    assert_identical(everything(run_plan(replace(parts, reported=3), arrays, 4)), whole)


def test_a_state_without_the_discriminator_is_refused_by_name(arrays):
    trainer = trainer_for(arrays)
    state = trainer.state_dict()
    with pytest.raises(ValueError, match=r"saved state lacks \['task'\]"):
        trainer.load(trainer.weights(), {name: part for name, part in state.items() if name != "task"})
    del state["task"]["optimizer"]
    with pytest.raises(ValueError, match="must have exactly"):
        trainer.load(trainer.weights(), state)


def test_validation_leaves_the_discriminator_as_it_is(arrays):
    trainer = trainer_for(arrays, model={**SMALL["model"], "spectral_norm": True})
    trainer.run_virtual_epoch()
    before = {n: t.clone() for n, t in trainer.task._adversary.discriminator.state_dict().items()}
    assert trainer.validate() == trainer.validate()
    assert is_equal(before, trainer.task._adversary.discriminator.state_dict())


def test_the_averaged_generator_is_what_is_measured(arrays):
    trainer = trainer_for(arrays, ema=0.9)
    metrics = trainer.run_virtual_epoch()
    trainer.average = None
    assert trainer.validate()["frechet_distance"] != metrics["frechet_distance"]


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


# Data and pictures


def test_noise_is_a_function_of_the_sample_number(arrays):
    source = NoisySource(arrays["train_images"], 5)
    small, large = (SampleStream(source, batch_size=size, seed=3) for size in (4, 12))
    parts = [small.next_step(1)[0] for _ in range(3)]
    (whole,) = large.next_step(1)
    for index in range(3):
        assert torch.equal(torch.cat([part[index] for part in parts]), whole[index])
    assert not torch.equal(whole[1], whole[2])


def test_noise_is_standard_normal_and_independent(arrays):
    source = NoisySource(arrays["train_images"], 50)
    _, first, second = SampleStream(source, batch_size=1000, seed=0).next_step(1)[0]
    drawn = torch.cat([first, second], dim=1)
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.01)
    assert float(drawn.std()) == pytest.approx(1.0, abs=0.01)
    assert float(drawn.pow(4).mean()) == pytest.approx(3.0, abs=0.1)
    assert float((first * second).mean()) == pytest.approx(0.0, abs=0.02)
    assert drawn.dtype == torch.float32
    with pytest.raises(ValueError, match="is for training"):
        source.batch(np.arange(3), None)


def test_the_noise_that_is_measured_comes_from_its_seed(arrays):
    assert np.array_equal(fixed_latents(10, 4, 1), fixed_latents(10, 4, 1))
    assert not np.array_equal(fixed_latents(10, 4, 1), fixed_latents(10, 4, 2))
    trainer = trainer_for(arrays)
    assert len(trainer.valid_source) == 100
    assert len(trainer.task.all_data()) == 1797


def test_the_sheet_shows_enlarged_digits(arrays):
    trainer = trainer_for(arrays)
    sheet = trainer.task.images(trainer.model.eval(), CPU)["generated"]
    assert sheet.dtype == np.uint8
    assert sheet.shape == (6 * 36 + 4, 10 * 36 + 4, 3)
    corner = image_grid(np.array([[[[-1.0, 1.0], [0.0, np.nan]]]], np.float32), columns=1)
    assert corner[4:36, 4:36, 0][::16, ::16].tolist() == [[0, 255], [128, 0]]
    assert corner.shape == (40, 40, 3)
    assert (corner[:4] == 128).all()


# Options


def config(**trial):
    return {
        "name": "gan",
        "task": "gan",
        "objective": {"metric": "frechet_distance", "mode": "min"},
        "trial": {**SMALL, **trial},
        "virtual_epoch": {"steps": 2},
        "budget": {"trials": 2, "max_virtual_epochs": 2},
    }


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        ({"name": "adan"}, r"discriminator_optimizer\.name.*'adan' is not a class of torch\.optim"),
        ({"name": "adam", "beta": 0.5}, r"discriminator_optimizer\.beta.*no option 'beta'"),
        ({"name": "adam", "betas": [0.5, 1.5]}, r"discriminator_optimizer: torch\.optim refuses"),
        ({"name": "adam", "layer_decay": 0.5}, r"layer_decay is 0\.5; for a discriminator it must be 1"),
        ({"name": {"choice": ["adam", "adan"]}}, r"discriminator_optimizer\.name.*'adan'"),
    ],
)
def test_the_discriminators_optimizer_is_checked_like_the_other(optimizer, told):
    with pytest.raises(ConfigError, match=told):
        load_config(config(discriminator_optimizer=optimizer))
    load_config(config(discriminator_optimizer={"name": "sgd", "lr": {"loguniform": [1e-4, 1e-2]}}))


def test_metrics_are_what_the_trainer_reports(arrays):
    trainer = trainer_for(arrays)
    assert isinstance(trainer.task.metrics(), GANMetrics)
    assert {"frechet_distance", "class_coverage", "discriminator_loss", "valid_loss", "train_loss"} <= set(
        trainer.run_virtual_epoch()
    )


def test_a_task_without_state_has_no_part_in_a_checkpoint_so_that_older_ones_load():
    trainer = small_trainer(DigitsTask, {"batch_size": 16})
    state = trainer.state_dict()
    assert set(state) == {"optimizer", "scaler", "stream", "random", "counters"}
    trainer.load(trainer.weights(), state)
