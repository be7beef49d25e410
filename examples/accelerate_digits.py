"""A training function with accelerate, which accumulates gradients and may train in bf16.

tune-search examples/accelerate_digits.yaml
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import search
from examples.digits import accuracy, make_network, train_digits
from trainables.integrations.accelerate import accelerator_of, batches_of


def train(
    trial: search.Trial, lr: float = 1e-2, batch_size: int = 16, accumulate: int = 2, precision: str = "no"
) -> None:
    """The loop is one's own; the Accelerator has precision, accumulation and device."""
    accelerator = accelerator_of(trial, mixed_precision=precision, gradient_accumulation_steps=accumulate)
    loader = DataLoader(train_digits(), batch_size=batch_size, shuffle=True)
    batches = batches_of(trial, accelerator, loader)
    model = make_network(64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=trial.num_steps)
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    trial.track(model=model, optimizer=optimizer, schedule=schedule)
    trial.evaluated_by(lambda: {"accuracy": accuracy(model, trial.device)})
    for steps in trial.virtual_epochs():
        model.train()
        for _ in steps:
            for _ in range(accumulate):
                images, labels = next(batches)
                with accelerator.accumulate(model):
                    accelerator.backward(cross_entropy(model(images), labels))
                    optimizer.step()
                    schedule.step()
                    optimizer.zero_grad()
        trial.report()


if __name__ == "__main__":
    search.alone(train, steps=None, epochs=1)
