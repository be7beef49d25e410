"""The GAN task: two players that take turns, exact resume, and a measure that is not their loss."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from gan_trials import (
    SGD,
    SMALL,
    WatchedTask,
    digits_and_classifier,
    is_equal,
    num_steps,
    parameters,
    trainer_for,
)
from small_trials import CPU, assert_identical, everything, segmentation_plan, small_trainer
from tiny_tasks import DigitsTask

from search.config.stages import load_config
from search.errors import ConfigError
from trainables.data.stream import SampleStream
from trainables.gan.data import NoisySource
from trainables.gan.metrics import GANMetrics
from trainables.pictures import image_grid
from trainables.predicting.noise import fixed_latents
from trainables.session import TrialSession
from trainables.training.progress import DivergedError, Progress


@pytest.fixture(scope="module")
def arrays():
    return digits_and_classifier()


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
    assert metrics["epoch"] == trainer.num_samples / 1437


def test_an_epoch_ends_with_as_many_discriminator_steps_as_there_are_digits_for(arrays):
    trainer = trainer_for(
        arrays, unit="epochs", count=1, batch_size=400, discriminator_steps=3, evaluation={"num_samples": 100}
    )
    metrics = trainer.run_virtual_epoch()
    # Batches of 400, 400, 400 and 237 digits: three for the generator's first step, one for its second.
    assert (metrics["epoch"], trainer.num_samples) == (1.0, 1437)
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
