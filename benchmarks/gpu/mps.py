"""Four small trials on one device, with NVIDIA's Multi-Process Service and without."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.gpu.check import Check, Context, Figure, Skip
from benchmarks.gpu.programs import running

_CONTROL = "nvidia-cuda-mps-control"
_TRIALS = 4
_SECONDS = 75.0


def without(context: Context) -> Figure:
    """Steps a second of all four together."""
    number = _TRIALS if context.on_gpu else 1
    return Figure(
        _together(context, {}), "steps/s", note=f"{number} trials, U-Net of 8 channels, 32 px, bf16"
    )


def with_it(context: Context) -> Figure:
    """The same under the service, over the same without it."""
    plain = _together(context, {})
    with _service() as environment:
        shared = _together(context, environment)
    return Figure(shared / plain, "of without", note=f"{shared:.0f} steps/s with, {plain:.0f} without")


def _together(context: Context, environment: Mapping[str, str]) -> float:
    steps = 400 if context.on_gpu else 5
    arguments = [context.device.type, str(1 / _TRIALS), str(steps)]
    number = _TRIALS if context.on_gpu else 1
    with running("benchmarks.gpu.stepper", arguments, number, environment) as steppers:
        for stepper in steppers:
            stepper.answer(_SECONDS)
        for stepper in steppers:
            stepper.go_on()
        return sum(stepper.answer(_SECONDS)["steps_per_second"] for stepper in steppers)


@contextmanager
def _service() -> Iterator[dict[str, str]]:
    """The service in folders of its own; what its clients need in their environment.

    Raises:
        Skip: it is not there, or cannot be started.
    """
    if shutil.which(_CONTROL) is None:
        raise Skip(f"there is no {_CONTROL} here")
    # A short path: the service makes sockets there.
    with tempfile.TemporaryDirectory(prefix="mps", dir="/tmp") as folder:
        names = {"CUDA_MPS_PIPE_DIRECTORY": "pipe", "CUDA_MPS_LOG_DIRECTORY": "log"}
        environment = {name: str(Path(folder) / part) for name, part in names.items()}
        for path in environment.values():
            Path(path).mkdir()
        code, output = _control(environment, "-d")
        if code:
            raise Skip(f"{_CONTROL} could not be started: {output[:200] or f'exit code {code}'}")
        try:
            time.sleep(1)  # until it listens; clients before that would go without it
            yield environment
        finally:
            _control(environment, said=b"quit\n")


def _control(environment: Mapping[str, str], *arguments: str, said: bytes = b"") -> tuple[int, str]:
    """Exit code and output, through a file: the service that stays would keep a pipe open."""
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [_CONTROL, *arguments],
            input=said,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            check=False,
            timeout=30,
        )
        output.seek(0)
        return done.returncode, output.read().decode(errors="replace").strip()


CHECKS: list[Check] = [
    Check(
        name="mps/without",
        shows="steps/s of four small trials at 0.25",
        run=without,
        seconds=80,
        fresh=True,
    ),
    Check(
        name="mps/with",
        shows="the same under NVIDIA's Multi-Process Service",
        run=with_it,
        seconds=120,
        needs_gpu=True,
        fresh=True,
    ),
]
