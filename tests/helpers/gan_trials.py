"""Small GANs for tests, and the digits that they learn from."""

from __future__ import annotations

import torch
from small_trials import CPU

from trainables.build import build_trainer, load_arrays
from trainables.gan.task import GANTask

ADAM = {"name": "adam", "lr": 0.003, "betas": [0.0, 0.99]}
SGD = {"name": "sgd", "lr": 0.05}
SMALL = {
    "model": {"name": "conv", "latent_size": 6, "width": 2},
    "optimizer": ADAM,
    "discriminator_optimizer": {**ADAM, "lr": 0.002},
    "evaluation": {"num_samples": 100},
    "batch_size": 8,
}


def digits_and_classifier():
    """Arrays of a GAN with default options; takes about a second."""
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
