"""A training function: one pass over the data may take days, and this reports after every `steps` steps.

tune-search examples/virtual_epochs.yaml            # search
python -m examples.virtual_epochs                   # train once with the default values
"""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

import search
from examples.digits import accuracy, make_network, train_digits


def train(trial: search.Trial, lr: float = 1e-2, batch_size: int = 32, width: int = 64) -> None:
    """A network for handwritten digits, evaluated at the end of each virtual epoch."""
    model = make_network(width).to(trial.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    batches = trial.batches(DataLoader(train_digits(), batch_size=batch_size, shuffle=True))
    trial.track(model=model, optimizer=optimizer)
    trial.evaluated_by(lambda: {"accuracy": accuracy(model, trial.device)})
    for steps in trial.virtual_epochs():
        model.train()
        for _ in steps:
            images, labels = (tensor.to(trial.device) for tensor in next(batches))
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trial.report(accuracy=accuracy(model, trial.device), loss=loss)


if __name__ == "__main__":
    search.alone(train)
