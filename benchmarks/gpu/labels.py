"""Labels out of range: found on the CPU, by file, before the kernel's assertion that ends a CUDA context."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.gpu.check import Check, Context, Figure
from trainables.process.failure import TrialError
from trainables.session import TrialPlan
from trainables.workers.worker import TrialWorker

_SEGMENTATION = "trainables.segmentation.task:SegmentationTask"


def loaded(context: Context) -> Figure:
    """Where masks are decoded before the training, the file is named and no CUDA context is made."""
    cause = _failure_of_masks(context, {})
    if torch.cuda.is_initialized():
        raise AssertionError(f"CUDA was begun before the label was found: {cause}")
    return _named(cause)


def decoded(context: Context) -> Figure:
    """Where masks are decoded in the training, the file is named and the device goes on working."""
    cause = _failure_of_masks(context, {"max_memory": 0, "scan": "sample", "sample_size": 4})
    if float(torch.ones(8, device=context.device).sum()) != 8.0:
        raise AssertionError("the device no longer computes")
    return _named(cause)


def asserted(context: Context) -> Figure:
    """A task of one's own that checks nothing: its trial ends with a cause that says what may be wrong."""
    with tempfile.TemporaryDirectory() as folder:
        plan = TrialPlan(
            number=0,
            folder=str(Path(folder) / "trial"),
            task="benchmarks.gpu.trial_tasks:WrongLabelTask",
            options={"batch_size": 32},
            unit="steps",
            count=4,
            num_virtual_epochs=2,
            metric="accuracy",
            mode="max",
            gpu_fraction=1.0,
            working_folder=str(Path.cwd()),
        )
        cause = _cause(plan)
    if "out of range" not in cause:
        raise AssertionError(f"the cause is {cause!r}; it must say that a label is out of range")
    return Figure(1, "named", least=1, note=cause)


def _failure_of_masks(context: Context, data: dict[str, Any]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        _write_masks(root)
        plan = TrialPlan(
            number=0,
            folder=str(Path(folder) / "trial"),
            task=_SEGMENTATION,
            options={
                "data": {"source": "folder", "root": str(root), "num_classes": 3, **data},
                "model": {"name": "unet", "width": 4, "depth": 1},
                "batch_size": 4,
            },
            unit="epochs",
            count=1,
            num_virtual_epochs=2,
            metric="miou",
            mode="max",
            gpu_fraction=1.0 if context.on_gpu else 0.0,
            working_folder=str(Path.cwd()),
        )
        return _cause(plan)


def _cause(plan: TrialPlan) -> str:
    """What a trial fails of."""
    worker = TrialWorker()
    try:
        worker.begin(plan)
        for _ in range(plan.num_virtual_epochs):
            worker.next_report()
    except TrialError as error:
        return str(error)
    finally:
        worker.end()
    raise AssertionError("the trial has not failed")


def _named(cause: str) -> Figure:
    if "label 7" not in cause or ".png" not in cause:
        raise AssertionError(f"the cause is {cause!r}; it must name the file and the label")
    return Figure(1, "named", least=1, note=cause.rpartition("/")[2])


def _write_masks(root: Path) -> None:
    """Twenty images of 16 x 16; one mask that is trained on holds 7 where the classes are 0 to 2."""
    rng = np.random.default_rng(0)
    for part, number in (("train", 16), ("val", 4)):
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for index in range(number):
            image = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            mask = (image[..., 0] // 86).astype(np.uint8)
            if (part, index) == ("train", 11):
                mask[3, 5:9] = 7
            Image.fromarray(image).save(root / part / "images" / f"{index:02d}.png")
            Image.fromarray(mask).save(root / part / "masks" / f"{index:02d}.png")


CHECKS: list[Check] = [
    Check(
        name="labels/loaded",
        shows="a label out of range is found before CUDA is begun",
        run=loaded,
        fresh=True,
    ),
    Check(name="labels/decoded", shows="the same where masks are decoded in the training", run=decoded),
    Check(
        name="labels/asserted",
        shows="the kernel's own assertion ends one trial, with the cause",
        run=asserted,
        needs_gpu=True,
        fresh=True,
    ),
]
