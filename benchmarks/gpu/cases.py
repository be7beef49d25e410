"""The built-in tasks as small trials, on any device and in any precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.check import Check, Context, Figure, Skip
from trainables.build import build_trainer, load_arrays
from trainables.networks.segformer import MISSING, transformers_found
from trainables.optim.precision import Precision
from trainables.options import TrialOptions
from trainables.session import TrialPlan, load_task_class
from trainables.task import Arrays
from trainables.training.trainer import Trainer

CPU = torch.device("cpu")
PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A built-in task with options that take a second."""

    task: str
    metric: str
    mode: str
    options: Mapping[str, Any]
    random: Mapping[str, Any]
    """Changes that bring random numbers into a step: dropout, augmentation."""


_SEGMENTATION = {
    "loss": {"dice": 0.5},
    "optimizer": {"name": "adamw", "lr": 3e-3, "weight_decay": 0.01},
    "batch_size": 8,
    "valid_batch_size": 16,
}
_DIGITS = {"source": "digits", "num_train": 72, "num_valid": 16}
_UNET = {"name": "unet", "width": 8, "depth": 2}
_SEGFORMER = {"name": "segformer", "size": "tiny", "drop_path": 0.0, "dropout": 0.0}
_MLP = {"name": "mlp", "width": 32, "depth": 2}
_RESNET = {"name": "resnet", "width": 8, "stages": 2}
_ADAM = {"name": "adam", "lr": 2e-3, "betas": [0.0, 0.99]}

CASES: dict[str, Case] = {
    "unet": Case(
        task="trainables.segmentation.task:SegmentationTask",
        metric="miou",
        mode="max",
        options={**_SEGMENTATION, "data": {**_DIGITS, "size": 32}, "model": _UNET},
        random={"model": {**_UNET, "dropout": 0.2}, "augment": {"crop": 32, "scale_min": 0.7}},
    ),
    "segformer": Case(
        task="trainables.segmentation.task:SegmentationTask",
        metric="miou",
        mode="max",
        options={**_SEGMENTATION, "data": {**_DIGITS, "size": 64, "enlarge": 2}, "model": _SEGFORMER},
        random={"model": {**_SEGFORMER, "dropout": 0.1, "drop_path": 0.1}},
    ),
    "classification": Case(
        task="trainables.classification.task:ClassificationTask",
        metric="accuracy",
        mode="max",
        options={
            "data": {"source": "digits"},
            "model": _RESNET,
            "optimizer": {"name": "adamw", "lr": 3e-3},
            "batch_size": 32,
        },
        random={"augment": {"shift": 1}, "loss": {"mixup": 0.2}},
    ),
    "regression": Case(
        task="trainables.regression.task:RegressionTask",
        metric="rmse",
        mode="min",
        options={
            "data": {"source": "diabetes"},
            "model": _MLP,
            "optimizer": {"name": "adamw", "lr": 3e-3},
            "batch_size": 16,
        },
        random={"model": {**_MLP, "dropout": 0.2}},
    ),
    "gan": Case(
        task="trainables.gan.task:GANTask",
        metric="frechet_distance",
        mode="min",
        options={
            "model": {"name": "conv", "latent_size": 16, "width": 8},
            "optimizer": _ADAM,
            "discriminator_optimizer": _ADAM,
            "evaluation": {"num_samples": 200},
            "batch_size": 32,
        },
        random={"loss": {"r1": 0.2}, "discriminator_steps": 2},
    ),
}


def per_case(what: str, shows: str, run: Any, **fields: Any) -> list[Check]:
    """A check `what/task/precision` for each task and precision; `run(context, task, precision)` makes it."""
    return [
        Check(
            name=f"{what}/{case}/{precision}",
            shows=shows,
            run=partial(_in_precision, run, case, precision),
            **fields,
        )
        for case in CASES
        for precision in PRECISIONS
    ]


def trainer_of(case: str, device: torch.device, precision: str, **changes: Any) -> Trainer:
    """A trainer whose virtual epochs have five steps."""
    task_class, options = parsed(case, {"precision": precision, **changes})
    arrays = _arrays(case, str(changes.get("data", "")), options)
    return build_trainer(
        task_class, options, arrays, unit="steps", count=5, num_virtual_epochs=8, device=device
    )


def parsed(case: str, changes: Mapping[str, Any]) -> tuple[Any, TrialOptions]:
    """The class of a case's task and its options.

    Raises:
        Skip: what it needs is not installed.
    """
    if case == "segformer" and not transformers_found():
        raise Skip(MISSING)
    task_class = load_task_class(CASES[case].task)
    return task_class, task_class.Options.model_validate({**CASES[case].options, **changes})


def plan_of(case: str, context: Context, folder: Path, precision: str, **changes: Any) -> TrialPlan:
    """A trial of three virtual epochs of four steps, which end inside an epoch."""
    options = {**CASES[case].options, "precision": precision, **changes}
    parsed(case, options)
    return TrialPlan(
        number=0,
        folder=str(folder),
        task=CASES[case].task,
        options=options,
        unit="steps",
        count=4,
        num_virtual_epochs=3,
        metric=CASES[case].metric,
        mode=CASES[case].mode,  # type: ignore[arg-type]
        gpu_fraction=1.0 if context.on_gpu else 0.0,
    )


@cache
def _arrays_of(case: str, data: str) -> Arrays:
    task_class, options = parsed(case, {})
    return load_arrays(task_class, options)


def _arrays(case: str, data: str, options: TrialOptions) -> Arrays:
    """Decoded once in a process; other data than the case's own are not kept."""
    return load_arrays(load_task_class(CASES[case].task), options) if data else _arrays_of(case, data)


def arrays_of(case: str) -> Arrays:
    """The decoded data of a case."""
    return _arrays_of(case, "")


def vector(tensors: Mapping[str, Tensor]) -> Tensor:
    """All of them after one another, float64 on the CPU."""
    return torch.cat([tensor.detach().double().cpu().flatten() for tensor in tensors.values()])


def relative(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what was expected."""
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))


def freeze_batch_norm(model: nn.Module) -> None:
    """Let batch normalization take its running statistics: no sample's loss depends on another then."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.train = lambda mode=True, module=module: module  # type: ignore[method-assign,misc]


def set_scale(scaler: torch.amp.GradScaler, scale: float) -> None:
    """Let a scaler go on from this scale."""
    scaler.load_state_dict({**scaler.state_dict(), "scale": scale} if scaler.state_dict() else {})


def _in_precision(run: Any, case: str, precision: str, context: Context) -> Figure:
    with fp16_on_a_cpu(context.device, precision):
        return run(context, case, precision)


@contextmanager
def fp16_on_a_cpu(device: torch.device, precision: str = "fp16") -> Iterator[None]:
    """Here, on a CPU, fp16 is what the product refuses there: so that its path can be tried without a GPU."""
    if device.type != "cpu" or precision != "fp16":
        yield
        return
    original = Precision.__init__

    def as_on_a_gpu(self: Precision, name: str, device: torch.device) -> None:
        original(self, "fp32" if name == "fp16" else name, device)
        if name == "fp16":
            self.name, self.scaler = name, torch.amp.GradScaler(device.type)

    Precision.__init__ = as_on_a_gpu  # type: ignore[method-assign]
    try:
        yield
    finally:
        Precision.__init__ = original  # type: ignore[method-assign]
