"""Training functions as people write them: small, on numbers that need no file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from trainables.function.trial import Trial

LEFT: list[str] = []
"""What the functions were left by."""


def data(number: int = 96) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(number, 4, generator=generator)
    return TensorDataset(inputs, (inputs[:, 0] * inputs[:, 1] > 0).long())


def accuracy(model: nn.Module) -> float:
    inputs, labels = data(40).tensors
    with torch.no_grad():
        return float((model(inputs).argmax(1) == labels).float().mean())


def make(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 2))


@contextmanager
def noted(name: str) -> Iterator[None]:
    try:
        yield
    finally:
        LEFT.append(name)


def shows(trial: Trial, lr: float = 0.1) -> None:
    """Pictures and texts beside the metrics."""
    model = make(4)
    trial.track(model=model)
    for steps in trial.virtual_epochs():
        for _ in steps:
            pass
        trial.image("weights", model[0].weight.sigmoid())
        trial.text("note", f"**{trial.done}** done")
        trial.report(loss=lr)


def draws_no_step(trial: Trial) -> None:
    trial.track(model=make(4))
    for _ in trial.virtual_epochs():
        trial.report(loss=1.0)


def stops_early(trial: Trial) -> None:
    trial.track(model=make(4))
    for steps in trial.virtual_epochs():
        for step in steps:
            if step % 5 == 2:
                break
        trial.report(loss=1.0)


def ends_its_loader(trial: Trial) -> None:
    trial.track(model=make(4))
    batches = iter(DataLoader(data(8), batch_size=4))
    for steps in trial.virtual_epochs():
        for _ in steps:
            next(batches)
        trial.report(loss=1.0)


def reports_a_step(trial: Trial) -> None:
    trial.track(model=make(4))
    for steps in trial.virtual_epochs():
        deque(steps, maxlen=0)
        trial.report(loss=1.0, step=3)


def evaluates_nothing(trial: Trial) -> None:
    trial.track(model=make(4))
    for steps in trial.virtual_epochs():
        for _ in steps:
            pass
        trial.report(**trial.evaluate())


def evaluated_by_values(trial: Trial) -> None:
    trial.evaluated_by({"loss": 1.0})  # type: ignore[arg-type]


def rate_first(lr: float, width: int = 4) -> None:
    """No parameter for the trial."""


def train(trial: Trial, lr: float = 0.1, width: int = 8, momentum: float = 0.9) -> None:
    """A plain loop: everything random is drawn by torch."""
    model = make(width).to(trial.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    batches = trial.batches(DataLoader(data(), batch_size=16, shuffle=True))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, trial.num_steps)
    trial.track(model=model, optimizer=optimizer, schedule=schedule)
    trial.evaluated_by(lambda: {"accuracy": accuracy(model.eval())})
    with noted("train"), torch.enable_grad():
        for steps in trial.virtual_epochs():
            model.train()
            for _ in steps:
                inputs, labels = next(batches)
                loss = F.cross_entropy(model(inputs), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            trial.report(loss=loss, **trial.evaluate())


def flat(trial: Trial) -> None:
    """One loop over all steps, values by name, two models."""
    parts = nn.ModuleDict({"a": nn.Linear(4, 3), "b": nn.Linear(3, 2)})
    optimizer = torch.optim.Adam(parts.parameters(), lr=trial.optimizer.lr)
    trial.track(first=parts["a"], second=parts["b"], optimizer=optimizer)
    inputs, labels = data().tensors
    for step in trial.steps():
        chosen = torch.randint(len(inputs), (trial["batch"],))
        loss = F.cross_entropy(parts["b"](parts["a"](inputs[chosen])), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trial.state["sum"] = trial.state.get("sum", 0.0) + float(loss)
        if trial.is_due:
            trial.report(loss=loss.item(), total=trial.state["sum"], last=step)


def until_it_stands_still(trial: Trial, tolerance: float = 0.5) -> None:
    """Returns when the loss does not fall any more."""
    model = nn.Linear(1, 1)
    trial.track(model=model)
    loss = 8.0
    for steps in trial.virtual_epochs():
        for _ in steps:
            loss /= 2
        trial.report(loss=loss)
        if loss < tolerance:
            return


def never_reports(trial: Trial) -> None:
    trial.track(model=nn.Linear(1, 1))
    for steps in trial.virtual_epochs():
        list(steps)


def never_loops(trial: Trial) -> None:
    trial.track(model=nn.Linear(1, 1))


def reports_a_list(trial: Trial) -> None:
    trial.track(model=nn.Linear(1, 1))
    for steps in trial.virtual_epochs():
        deque(steps, maxlen=0)
        trial.report(loss=torch.zeros(3))


def without_a_model(trial: Trial) -> None:
    for steps in trial.virtual_epochs():
        deque(steps, maxlen=0)
        trial.report(loss=1.0)


def raises(trial: Trial, at: int = 2) -> None:
    trial.track(model=nn.Linear(1, 1))
    for steps in trial.virtual_epochs():
        deque(steps, maxlen=0)
        if trial.done + 1 == at:
            raise RuntimeError(f"no luck in virtual epoch {at}")
        trial.report(loss=1.0)


def swallows(trial: Trial) -> None:
    """Catches every Exception, as scripts do."""
    trial.track(model=nn.Linear(1, 1))
    for steps in trial.virtual_epochs():
        deque(steps, maxlen=0)
        try:
            trial.report(loss=1.0)
        except Exception:
            LEFT.append("swallowed")


def no_trial() -> None:
    pass


def any_values(trial: Trial, **options: Any) -> None:
    trial.track(model=nn.Linear(1, 1))
    for steps in trial.virtual_epochs():
        deque(steps, maxlen=0)
        trial.report(loss=float(len(options)))


def ends_by_what_it_keeps(trial: Trial, lr: float = 0.1) -> None:
    """Ends after its first report, by a rule at the beginning of its loop."""
    model = make(4)
    trial.track(model=model)
    for steps in trial.virtual_epochs():
        if "reported" in trial.state:
            return
        for _ in steps:
            pass
        trial.state["reported"] = True
        trial.report(loss=lr)
