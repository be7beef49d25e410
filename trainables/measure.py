"""What a model costs, measured before its first step: parameters, FLOPs, latency, memory of training."""

from __future__ import annotations

import contextlib
import gc
import time
import warnings
from collections.abc import Callable, Collection, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trainables.data.batches import Batch, num_samples, to_device
from trainables.function.trainer import FunctionTrainer
from trainables.options import MEASURED
from trainables.process.gpu_share import why_no_gpu
from trainables.training.progress import DivergedError
from trainables.training.trainer import Trainer

_WARM_UP, _WARM_SECONDS = 3, 0.1
_FEWEST, _MOST, _TIMED_SECONDS = 7, 100, 1.0
NUM_STEPS = 2
"""The first step creates the optimizer's state; the second holds it in addition to its gradients."""
_MOST_SKIPPED = 17
"""Steps that a scaler of fp16 skips at most: its scale begins at 2**16 and is halved with each."""


def measure(names: Collection[str], build: Callable[[], Trainer | FunctionTrainer]) -> dict[str, float]:
    """Measure a model that is built for this, and forgotten afterwards.

    parameters: of the model that is exported, frozen ones too.
    flops: of one sample's forward in evaluation: matrix products, convolutions and attention, where a
        multiplication with its addition counts as two, as torch's FlopCounterMode has it.
    latency: seconds of one sample's forward in evaluation, the median of several after a warm-up, on the
        trial's device with its threads and precision, without `compile`.
    memory: peak bytes of torch's tensors on the GPU over two training steps, the second of which holds the
        optimizer's state besides the gradients.

    Args:
        names: which of MEASURED.
        build: makes a trainer of fresh weights.

    Raises:
        ValueError: memory is asked for, and there is no GPU.
    """
    before = torch.cuda.memory_allocated() if torch.cuda.is_initialized() else 0
    trainer = build()
    try:
        assert isinstance(trainer, Trainer)  # limits of functions are refused
        model = trainer.evaluated_model
        found = {"parameters": float(sum(parameter.numel() for parameter in model.parameters()))}
        if {"flops", "latency"} & set(names):
            forward = _forward(trainer, model)
            if "flops" in names:
                found["flops"] = _flops(forward)
            if "latency" in names:
                found["latency"] = _latency(forward, trainer.device)
        if "memory" in names:
            found["memory"] = _memory(trainer, before)
    finally:
        trainer.close()
        del trainer
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
    return {name: found[name] for name in MEASURED if name in names}


def take_step(trainer: Trainer) -> None:
    """One step that the optimizer takes: those that a scaler skips make no state of it."""
    scaler = trainer.precision.scaler
    for _ in range(_MOST_SKIPPED):
        scale = scaler.get_scale()
        with contextlib.suppress(DivergedError):  # it had the memory
            trainer.take_steps(1)
        if scaler.get_scale() >= scale:
            return


def _forward(trainer: Trainer, model: nn.Module) -> Callable[[], None]:
    """What evaluates the first sample of the validation data."""
    batch: Batch = trainer.valid_source.batch(np.arange(1), None)
    batch = to_device(batch, trainer.device, trainer.channels_last)
    if (number := num_samples(batch)) != 1:
        raise ValueError(
            f"valid_data() gave {number} samples where one was asked for: FLOPs and latency are those of one"
        )
    model.eval()

    def forward() -> None:
        with torch.no_grad(), trainer.precision.autocast(), torch.compiler.set_stance("force_eager"):
            trainer.task.infer(model, batch)

    return forward


def _flops(forward: Callable[[], None]) -> float:
    with _unfused(), FlopCounterMode(display=False) as counter:
        forward()
    return float(counter.get_total_flops())


@contextlib.contextmanager
def _unfused() -> Iterator[None]:
    """Without the kernels of LSTMs, encoder layers and attention, which the counter takes for nothing."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            warnings.catch_warnings(action="ignore", category=UserWarning),  # of oneDNN's flags
            torch.backends.mkldnn.flags(enabled=False),
            torch.backends.cudnn.flags(enabled=False),
            sdpa_kernel(SDPBackend.MATH),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _latency(forward: Callable[[], None], device: torch.device) -> float:
    def timed() -> float:
        began = time.perf_counter()
        forward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    warmed: list[float] = []
    while len(warmed) < _WARM_UP or (sum(warmed) < _WARM_SECONDS and len(warmed) < _MOST):
        warmed.append(timed())
    times: list[float] = []
    while len(times) < _FEWEST or (sum(times) < _TIMED_SECONDS and len(times) < _MOST):
        times.append(timed())
    return float(np.median(times))


def _memory(trainer: Trainer, before: int) -> float:
    if trainer.device.type != "cuda":
        raise ValueError(
            f"limits.memory is the memory of a GPU, and the trial is trained on the CPU: {why_no_gpu()}; "
            "leave it out here"
        )
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(NUM_STEPS):
        take_step(trainer)
    torch.cuda.synchronize()
    return float(torch.cuda.max_memory_allocated() - before)
