"""The script as a search: trials are paused and promoted, saved, and continued after a kill, bit for bit."""

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

import search
from examples.digits import accuracy, make_network, train_digits

STEPS, EVERY = 360, 40


def main(trial, lr=1e-2, width=64):
    device = trial.device
    model = make_network(width).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    loader = trial.batches(DataLoader(train_digits(), batch_size=32, shuffle=True))
    trial.track(model=model, optimizer=optimizer)
    for _ in trial.steps():
        images, labels = next(loader)
        model.train()
        loss = F.cross_entropy(model(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if trial.is_due:
            trial.report(accuracy=accuracy(model, device))


if __name__ == "__main__":
    search.search(
        main,
        space={"lr": search.loguniform(1e-4, 1e-1), "width": search.lograndint(8, 128)},
        objective={"metric": "accuracy", "mode": "max"},
        virtual_epoch={"steps": EVERY},
        budget={"trials": 8, "max_virtual_epochs": STEPS // EVERY},
        name="digits",
    )
