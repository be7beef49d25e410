"""A training function whose step adds up the gradients of several batches.

tune-search examples/accumulation.yaml
"""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

import search
from examples.digits import accuracy, make_network, train_digits


def train(trial: search.Trial, lr: float = 0.1, batch_size: int = 16, accumulate: int = 4) -> None:
    """Steps of `accumulate` batches, each loss divided by their number: the gradient of the large batch."""
    model = make_network(64).to(trial.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    loader = DataLoader(train_digits(), batch_size=batch_size, shuffle=True, drop_last=True)
    batches = trial.batches(loader, per_step=accumulate)
    trial.track(model=model, optimizer=optimizer)
    trial.evaluated_by(lambda: {"accuracy": accuracy(model, trial.device)})
    for steps in trial.virtual_epochs():
        model.train()
        for _ in steps:
            optimizer.zero_grad()
            for _ in range(accumulate):
                images, labels = (tensor.to(trial.device) for tensor in next(batches))
                (F.cross_entropy(model(images), labels) / accumulate).backward()
            optimizer.step()
        trial.report(accuracy=accuracy(model, trial.device))


if __name__ == "__main__":
    search.alone(train)
