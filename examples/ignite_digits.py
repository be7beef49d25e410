"""A training function around an engine of pytorch-ignite, with a schedule and metrics of its own.

tune-search examples/ignite_digits.yaml
"""

from __future__ import annotations

import torch
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import CosineAnnealingScheduler
from ignite.metrics import Accuracy, Loss
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import search
from examples.digits import make_network, train_digits, valid_digits
from trainables.integrations.ignite import run


def train(trial: search.Trial, lr: float = 1e-2, batch_size: int = 32, width: int = 64) -> None:
    """The engine's own loop and handlers; evaluated at the end of each virtual epoch."""
    model = make_network(width).to(trial.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    trial.track(model=model, optimizer=optimizer)
    trainer = create_supervised_trainer(model, optimizer, cross_entropy, device=trial.device)
    metrics = {"accuracy": Accuracy(), "loss": Loss(cross_entropy)}
    evaluator = create_supervised_evaluator(model, metrics, device=trial.device)
    schedule = CosineAnnealingScheduler(optimizer, "lr", lr, 0.1 * lr, cycle_size=100)
    trainer.add_event_handler(Events.ITERATION_STARTED, schedule)
    valid = DataLoader(valid_digits(), batch_size=500)
    loader = DataLoader(train_digits(), batch_size=batch_size, shuffle=True)
    run(trial, trainer, loader, lambda: evaluator.run(valid).metrics)


if __name__ == "__main__":
    search.alone(train)
