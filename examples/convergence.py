"""A training function that ends by itself when the loss stands still.

tune-search examples/convergence.yaml
"""

from __future__ import annotations

import torch
from torch import nn

import search
from examples.diabetes import rows_and_targets


def train(trial: search.Trial, lr: float = 0.1, tolerance: float = 1e-4) -> None:
    """Linear regression over the whole data at each step, as optimizers of small problems do it."""
    (rows, targets), (valid_rows, valid_targets) = rows_and_targets()
    model = nn.Linear(rows.shape[1], 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    trial.track(model=model, optimizer=optimizer)
    trial.evaluated_by(lambda: {"mse": nn.functional.mse_loss(model(valid_rows), valid_targets)})
    for steps in trial.virtual_epochs():
        if trial.state.get("gain", float("inf")) <= tolerance:
            return
        for _ in steps:
            loss = nn.functional.mse_loss(model(rows), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if "loss" in trial.state:
            trial.state["gain"] = trial.state["loss"] - loss.item()
        trial.state["loss"] = loss.item()
        trial.report(**trial.evaluate(), loss=loss)  # a paused trial goes on at the beginning of the loop


if __name__ == "__main__":
    search.alone(train, virtual_epochs=100, steps=20)
