"""Loss and gradients against the CPU, accumulation against the large batch, exports on another device."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import search
from benchmarks.gpu.cases import (
    CASES,
    CPU,
    arrays_of,
    freeze_batch_norm,
    per_case,
    plan_of,
    relative,
    set_scale,
    trainer_of,
    vector,
)
from benchmarks.gpu.check import Check, Context, Figure, Skip
from search.exports.restore import restore_trainer
from search.exports.value import OTHER_ARITHMETIC, SAME_ARITHMETIC
from trainables.checkpoints.checkpoint import read_checkpoint
from trainables.data.source import to_device
from trainables.session import TrialSession

# Convolutions in fp32 are TF32 on a GPU unless that is switched off: ten bits of mantissa.
_GRADIENTS = {"fp32": 1e-2, "bf16": 0.15, "fp16": 0.05}
_LOSS = {"fp32": 1e-3, "bf16": 3e-2, "fp16": 5e-3}
_ACCUMULATED = {"fp32": 5e-3, "bf16": 0.1, "fp16": 2e-2}


def gradients(context: Context, case: str, precision: str) -> Figure:
    """Of one batch, the relative error of all gradients together."""
    loss, gradient = _loss_and_gradient(case, context.device, precision)
    expected_loss, expected = _loss_and_gradient(case, CPU, "fp32")
    off = abs(loss - expected_loss) / max(abs(expected_loss), 1e-6)
    note = f"loss {loss:.6g}, on the CPU {expected_loss:.6g}"
    if off > _LOSS[precision]:
        raise AssertionError(f"{note}: the relative difference {off:.2g} is above {_LOSS[precision]:g}")
    return Figure(relative(gradient, expected), "relative", limit=_GRADIENTS[precision], note=note)


def _loss_and_gradient(case: str, device: torch.device, precision: str) -> tuple[float, Tensor]:
    trainer = trainer_of(case, device, precision)
    batch = to_device(trainer.stream.next_step(1)[0], device, trainer.channels_last)
    set_scale(trainer.precision.scaler, 256.0)
    trainer.model.train()
    with trainer.precision.autocast():
        loss = trainer.task.loss(trainer.task.forward(trainer.model, batch), batch).sum()
    trainer.precision.scaler.scale(loss).backward()
    scale = trainer.precision.scaler.get_scale()
    found = {n: p.grad / scale for n, p in trainer.model.named_parameters() if p.grad is not None}
    return float(loss.detach()), vector(found)


def accumulation(context: Context, case: str, precision: str) -> Figure:
    """After three steps, how far the weights have come apart, over how far they have gone."""
    # Plain descent: Adam would turn the sign of a gradient that is nearly zero into a whole step.
    sgd = {"name": "sgd", "lr": 0.05}
    changes: dict[str, Any] = {"optimizer": sgd}
    if case == "gan":
        changes["discriminator_optimizer"] = sgd
    size = CASES[case].options["batch_size"]
    before, large = _moved(context, case, precision, {**changes, "batch_size": size, "accumulate": 1})
    _, small = _moved(context, case, precision, {**changes, "batch_size": size // 4, "accumulate": 4})
    return Figure(relative(small - before, large - before), "relative", limit=_ACCUMULATED[precision])


def _moved(context: Context, case: str, precision: str, changes: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Weights before and after three steps."""
    trainer = trainer_of(case, context.device, precision, **changes)
    freeze_batch_norm(trainer.model)
    set_scale(trainer.precision.scaler, 256.0)
    state = trainer.task.state_dict()
    if state.get("scaler"):
        trainer.task.load_state_dict({**state, "scaler": {**state["scaler"], "scale": 256.0}})
    before = vector(dict(trainer.model.named_parameters()))
    trainer.take_steps(3)
    return before, vector(dict(trainer.model.named_parameters()))


def on_the_cpu(context: Context, case: str, precision: str) -> Figure:
    """A checkpoint evaluated on a CPU gives the objective that was recorded on the device."""
    with tempfile.TemporaryDirectory() as folder:
        session = TrialSession(plan_of(case, context, Path(folder), precision), arrays_of(case))
        while not session.finished:
            report = session.next_report()
            if "diverged" in report:
                raise AssertionError(report["diverged"])
        session.close()
        checkpoint = read_checkpoint(Path(folder), session.plan.num_virtual_epochs)
        recorded = checkpoint.info["history"][-1]
        found = restore_trainer(checkpoint, Path(folder) / "prepared", CPU).validate()
    assert found is not None
    metric = CASES[case].metric
    off = abs(found[metric] - recorded[metric]) / max(abs(recorded[metric]), 1e-6)
    there = checkpoint.info["device"], checkpoint.info["precision"]
    limit = SAME_ARITHMETIC if there == ("cpu", "fp32") else OTHER_ARITHMETIC
    note = f"{metric} {recorded[metric]:.5g}, on the CPU {found[metric]:.5g}"
    return Figure(off, "relative", limit=limit, note=note)


def whole_export(context: Context) -> Figure:
    """A search here, and `tune-search export` where no GPU is to be seen."""
    trial = {**CASES["unet"].options, "precision": "fp16" if context.on_gpu else "bf16"}
    config = {
        "name": "exported",
        "task": "segmentation",
        "objective": {"metric": "miou", "mode": "max"},
        "trial": trial,
        "virtual_epoch": {"steps": 10},
        "budget": {"trials": 1, "max_virtual_epochs": 6},
        "resources": {"gpus_per_trial": 1.0 if context.on_gpu else 0},
    }
    with tempfile.TemporaryDirectory() as folder:
        summary = search.search(config, results=folder, local=True).summary
        if summary.best is None:
            raise AssertionError(f"the search has no best trial: {summary.failures}")
        command = "import sys, search; print(search.export(sys.argv[1]).value)"
        done = subprocess.run(
            [sys.executable, "-c", command, summary.folder],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            check=False,
            encoding="utf-8",
        )
    if done.returncode:
        raise AssertionError((done.stderr.strip().splitlines() or ["no message"])[-1])
    found, value = float(done.stdout.splitlines()[-1]), summary.best.value
    return Figure(abs(found - value) / value, "relative", limit=OTHER_ARITHMETIC, note=f"miou {value:.4f}")


def faithful_copy(context: Context) -> Figure:
    """What a virtual epoch's checkpoint holds is what is on the device, bit for bit."""
    if not context.on_gpu:
        raise Skip("there is no device to copy from")
    with tempfile.TemporaryDirectory() as folder:
        session = TrialSession(plan_of("unet", context, Path(folder), "bf16"), arrays_of("unet"))
        session.next_report()
        session.close()
        written = vector(dict(read_checkpoint(Path(folder), 1).weights()))
    return Figure(float((written - vector(session.trainer.weights())).abs().max()), "", limit=0.0)


CHECKS: list[Check] = [
    *per_case("gradients", "loss and gradients are those of the CPU in fp32", gradients),
    *per_case("accumulation", "four micro-batches are the large batch", accumulation),
    *per_case("on_cpu", "a checkpoint evaluated on a CPU gives what was recorded", on_the_cpu),
    Check(
        name="export/search", shows="a search here, its export without a GPU", run=whole_export, seconds=60
    ),
    Check(name="export/copy", shows="a checkpoint holds the device's bits", run=faithful_copy),
]
