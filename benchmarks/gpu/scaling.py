"""fp16 and its scalers, and trials that diverge."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.cases import (
    CASES,
    PRECISIONS,
    arrays_of,
    fp16_on_a_cpu,
    plan_of,
    set_scale,
    trainer_of,
    vector,
)
from benchmarks.gpu.check import Check, Context, Figure
from trainables.session import TrialSession
from trainables.training.trainer import Trainer

_TOO_LARGE = 2.0**40
_MOST_STEPS = 45


def overflow(case: str, context: Context) -> Figure:
    """Steps until the first one is taken, from a scale at which every gradient overflows."""
    with fp16_on_a_cpu(context.device):
        trainer = trainer_of(case, context.device, "fp16")
        set_scale(trainer.precision.scaler, _TOO_LARGE)
        before = vector(dict(trainer.model.named_parameters()))
        trainer.take_steps(1)  # raises if it were taken for a divergence
        if not torch.equal(before, vector(dict(trainer.model.named_parameters()))):
            raise AssertionError("a step whose gradient had overflowed has changed the weights")
        if (scale := trainer.precision.scaler.get_scale()) != _TOO_LARGE / 2:
            raise AssertionError(
                f"the scale is {scale:g} after an overflow at {_TOO_LARGE:g}; it must be half"
            )
        skipped = 1
        while torch.equal(before, vector(dict(trainer.model.named_parameters()))):
            if skipped == _MOST_STEPS:
                raise AssertionError(f"{skipped} steps were skipped one after the other")
            trainer.take_steps(1)
            skipped += 1
        loss = trainer.validate()["valid_loss"]
    note = (
        f"goes on at scale 2^{torch.tensor(trainer.precision.scaler.get_scale()).log2():.0f}, loss {loss:.3g}"
    )
    return Figure(skipped - 1, "skipped", limit=_MOST_STEPS, least=1, note=note)


def two_scalers(context: Context) -> Figure:
    """Where only the discriminator's gradient overflows, the generator trains on; both are saved."""
    with fp16_on_a_cpu(context.device):
        trainer = trainer_of("gan", context.device, "fp16")
        set_scale(trainer.precision.scaler, 256.0)
        _set_discriminator_scale(trainer, _TOO_LARGE)
        before = vector(dict(trainer.model.named_parameters()))
        discriminator = _discriminator(trainer)
        trainer.take_steps(1)
        own, other = trainer.precision.scaler.get_scale(), _discriminator_scale(trainer)
        if (own, other) != (256.0, _TOO_LARGE / 2):
            raise AssertionError(f"scales are {own:g} and {other:g}; they must be 256 and {_TOO_LARGE / 2:g}")
        if not torch.equal(discriminator, _discriminator(trainer)):
            raise AssertionError("a discriminator whose gradient had overflowed has changed")
        if torch.equal(before, vector(dict(trainer.model.named_parameters()))):
            raise AssertionError("the generator has not been trained")
        copy = trainer_of("gan", context.device, "fp16")
        copy.load(trainer.weights(), trainer.state_dict())
        found = copy.precision.scaler.get_scale(), _discriminator_scale(copy)
    if found != (own, other):
        raise AssertionError(f"restored scales are {found}; they must be {(own, other)}")
    return Figure(2, "scalers", least=2, limit=2)


def diverged(precision: str, context: Context) -> Figure:
    """The step at which a trial with an absurd learning rate ends, as its record names it."""
    sgd = {"name": "sgd", "lr": 1e30}
    with tempfile.TemporaryDirectory() as folder, fp16_on_a_cpu(context.device, precision):
        plan = plan_of("unet", context, Path(folder), precision, optimizer=sgd)
        session = TrialSession(plan, arrays_of("unet"))
        report: dict[str, Any] = {}
        while not session.finished and "diverged" not in report:
            report = session.next_report()
        session.close()
    reason = str(report.get("diverged", ""))
    if not all(part in reason for part in ("step ", "loss ", "gradient norm ")):
        raise AssertionError(f"the record is {report}; it must name step, loss and gradient norm")
    step = int(reason.partition("step ")[2].partition(":")[0])
    return Figure(step, "th step", limit=3, least=0, note=reason)


def _set_discriminator_scale(trainer: Trainer, scale: float) -> None:
    state = trainer.task.state_dict()
    trainer.task.load_state_dict({**state, "scaler": {**state["scaler"], "scale": scale}})


def _discriminator_scale(trainer: Trainer) -> float:
    return float(trainer.task.state_dict()["scaler"]["scale"])


def _discriminator(trainer: Trainer) -> torch.Tensor:
    return vector(trainer.task.state_dict()["discriminator"])


CHECKS: list[Check] = [
    *(
        Check(
            name=f"overflow/{case}",
            shows="fp16: a step that overflows is skipped, and the training goes on",
            run=partial(overflow, case),
        )
        for case in CASES
    ),
    Check(name="scalers/gan", shows="each player of a GAN has a scaler of its own", run=two_scalers),
    *(
        Check(
            name=f"diverged/{precision}",
            shows="a trial that diverges ends with step and values",
            run=partial(diverged, precision),
        )
        for precision in PRECISIONS
    ),
]
