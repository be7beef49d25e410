"""A training function for mini-batches against one big batch, counted in passes over the data.

tune-search examples/mini_batches.yaml
"""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import search
from examples.diabetes import rows_and_targets


def train(trial: search.Trial, lr: float = 1e-2, batch_size: int = 342) -> None:
    """A small network; a virtual epoch is one pass, of one step or of many."""
    (rows, targets), (valid_rows, valid_targets) = rows_and_targets()
    model = nn.Sequential(nn.Linear(rows.shape[1], 5), nn.ReLU(), nn.Linear(5, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    batches = trial.batches(DataLoader(TensorDataset(rows, targets), batch_size=batch_size, shuffle=True))
    trial.track(model=model, optimizer=optimizer)
    trial.evaluated_by(lambda: {"mse": nn.functional.mse_loss(model(valid_rows), valid_targets)})
    for steps in trial.virtual_epochs():
        total = 0.0
        for _ in steps:
            inputs, wanted = next(batches)
            loss = nn.functional.mse_loss(model(inputs), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs) / len(rows)
        trial.report(**trial.evaluate(), train_mse=total)


if __name__ == "__main__":
    search.alone(train, virtual_epochs=10, steps=None, epochs=1)
