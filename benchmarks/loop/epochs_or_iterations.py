"""The same training in virtual epochs of one epoch, 50 steps and 1600 samples, and what each shows when.

    python -m benchmarks.loop.epochs_or_iterations            prints a table, writes a JSON beside it
    python -m benchmarks.loop.epochs_or_iterations --figure docs/iteration_based_training.png

One thread, on the CPU. Samples and counts repeat exactly; seconds are of the machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from trainables.build import build_trainer, load_arrays
from trainables.checkpoints.checkpoint import list_checkpoints
from trainables.data.virtual_epoch import Unit
from trainables.segmentation import SegmentationOptions, SegmentationTask
from trainables.session import TrialPlan, TrialSession
from trainables.task import Task
from trainables.training.trainer import Trainer

NUM_TRAIN = 8192
UNITS: dict[str, tuple[Unit, int]] = {
    "one epoch": ("epochs", 1),
    "50 steps": ("steps", 50),
    "1600 samples": ("samples", 1600),
}
BATCH_SIZES = (1, 4, 16, 64)
NUM_ITERATIONS = 250
SEGMENTATION = "trainables.segmentation.task:SegmentationTask"
DIGITS: dict[str, Any] = {
    "data": {"source": "digits", "num_train": NUM_TRAIN, "num_valid": 64},
    "model": {"name": "unet", "width": 8, "depth": 2},
    "optimizer": {"name": "adamw", "lr": 0.01},
    "batch_size": 16,
}


class LazyFolder(Task):
    """Classifies PNG files that are read when they are drawn; nobody looks at them before."""

    def train_data(self) -> Dataset:
        return _Files(sorted(Path(self.options.data["root"]).glob("*.png")))

    def valid_data(self) -> Any:
        digits = load_digits()
        return (digits.images[-64:, None] / 16).astype(np.float32), digits.target[-64:]

    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        return F.cross_entropy(outputs, batch[1])

    def metrics(self) -> Any:
        return _NoMetrics()


class _NoMetrics:
    def update(self, outputs: Any, batch: Any) -> None:
        return None

    def compute(self) -> dict[str, float]:
        return {}


class _Files(Dataset):
    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        path = self._paths[index]
        with Image.open(path) as image:
            return np.asarray(image, np.float32)[None] / 255, int(path.stem[-1])


def session(task: str, options: Mapping[str, Any], unit: str, folder: Path, **more: Any) -> TrialSession:
    """A trial as a search runs it, without Ray; with the decoded data of `arrays` where it is given."""
    name, count = UNITS[unit]
    arrays = more.pop("arrays", None)
    plan = TrialPlan(
        number=0,
        folder=str(folder),
        task=task,
        options=options,
        unit=name,
        count=count,
        num_virtual_epochs=1000,
        checkpoint_keep=1000,
        **{"metric": "valid_loss", "mode": "min", **more},
    )
    return TrialSession(plan, arrays)


def one_epoch(unit: str, arrays: Mapping[str, np.ndarray], folder: Path) -> dict[str, Any]:
    """Train for one epoch (to the last virtual epoch that fits); note when reports and checkpoints come."""
    began = time.perf_counter()
    trial = session(SEGMENTATION, DIGITS, unit, folder, arrays=arrays, metric="miou", mode="max")
    curve: list[dict[str, Any]] = []
    while not curve or curve[-1]["samples"] + curve[0]["samples"] <= NUM_TRAIN:
        record = trial.next_report()
        seconds = time.perf_counter() - began
        curve.append({"samples": record["samples"], "seconds": seconds, "miou": record["miou"]})
    trial.close()
    return {
        "first_report": curve[0],
        "reports": len(curve),
        "checkpoints": len(list_checkpoints(folder)),
        "seconds_between_checkpoints": curve[-1]["seconds"] / len(curve),
        "curve": curve,
    }


def useless_trial(unit: str, arrays: Mapping[str, np.ndarray], folder: Path) -> dict[str, Any]:
    """A learning rate 300 times too high, which stays finite: bad from the first report on, or from which?"""
    options = {**DIGITS, "optimizer": {"name": "adamw", "lr": 3.0}}
    trial = session(SEGMENTATION, options, unit, folder, arrays=arrays, metric="miou", mode="max")
    record = trial.next_report()
    return {"samples": record["samples"], "miou": record["miou"], "train_loss": record["train_loss"]}


def diverging_trial(unit: str, arrays: Mapping[str, np.ndarray], folder: Path) -> dict[str, Any]:
    """Plain SGD without normalization and a learning rate that ends in infinity."""
    model = {"name": "unet", "width": 8, "depth": 2, "normalization": "none"}
    options = {**DIGITS, "model": model, "optimizer": {"name": "sgd", "lr": 1000.0}}
    trial = session(SEGMENTATION, options, unit, folder, arrays=arrays, metric="miou", mode="max")
    record = trial.next_report()
    return {"samples": drawn(trial), "reason": record.get("diverged", "")}


def broken_folder(unit: str, folder: Path) -> dict[str, Any]:
    """A folder of images and masks with one broken file: nothing is trained before all are decoded."""
    root = folder / "data"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
        for number in range(64):
            Image.fromarray(np.full((16, 16), number % 2, np.uint8)).save(root / kind / f"{number:03d}.png")
    broken = root / "images" / "040.png"
    broken.write_bytes(broken.read_bytes()[:40])
    options = {**DIGITS, "data": {"source": "folder", "root": str(root), "channels": 1}}
    error = raised(lambda: session(SEGMENTATION, options, unit, folder / "trial"))
    return {"samples": 0, "names_the_file": broken.name in error}


def broken_lazy_file(unit: str, folder: Path) -> dict[str, Any]:
    """The same with files that are read as they are drawn: when the broken one is drawn."""
    root = folder / "data"
    root.mkdir(parents=True)
    digits = load_digits()
    for number in range(1024):
        label = digits.target[number]
        pixels = (digits.images[number] / 16 * 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{number:04d}_{label}.png")
    broken = sorted(root.glob("*.png"))[700]
    broken.write_bytes(broken.read_bytes()[:40])
    options = {"data": {"root": str(root)}, "batch_size": 16}
    trial = session("epochs_or_iterations:LazyFolder", options, unit, folder / "trial")
    error = raised(lambda: [trial.next_report() for _ in range(100)])
    # The batch that failed is not counted as drawn.
    samples = drawn(trial) + 16
    return {"samples": samples, "reports_before": len(trial.history), "names_the_file": broken.name in error}


def drawn(trial: TrialSession) -> int:
    """Samples that its loop has drawn."""
    assert isinstance(trial.trainer, Trainer)
    return int(trial.trainer.stream.state_dict()["position"])


def raised(work: Callable[[], Any]) -> str:
    """The text of what the work fails of."""
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("nothing was noticed")


def loss_per_iteration(arrays: Mapping[str, np.ndarray], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Training losses step by step from the same trained weights, with each batch size."""
    small = {name: part[:1] if name.startswith("valid_") else part for name, part in arrays.items()}
    found = {}
    for batch_size in BATCH_SIZES:
        options = SegmentationOptions.model_validate(
            {**DIGITS, "batch_size": batch_size, "optimizer": {"name": "adamw", "lr": 0.001}}
        )
        trainer = build_trainer(
            SegmentationTask,
            options,
            small,
            unit="steps",
            count=1,
            num_virtual_epochs=NUM_ITERATIONS,
            device=torch.device("cpu"),
        )
        trainer.model.load_state_dict(dict(weights))
        losses = [trainer.run_virtual_epoch()["train_loss"] for _ in range(NUM_ITERATIONS)]
        means = np.reshape(losses, (-1, 50)).mean(1)
        found[str(batch_size)] = {
            "mean": float(np.mean(losses)),
            "deviation": float(np.std(losses)),
            "lowest": min(losses),
            "highest": max(losses),
            "deviation_of_means_of_50": float(means.std()),
            "losses": losses,
        }
    return found


def measure(folder: Path) -> dict[str, Any]:
    """Everything, with temporary files below `folder`."""
    options = SegmentationOptions.model_validate(DIGITS)
    arrays = load_arrays(SegmentationTask, options)
    units: dict[str, Any] = {}
    for index, unit in enumerate(UNITS):
        here = folder / str(index)
        units[unit] = {
            **one_epoch(unit, arrays, here / "whole"),
            "useless_trial": useless_trial(unit, arrays, here / "useless"),
            "diverging_trial": diverging_trial(unit, arrays, here / "diverging"),
            "broken_folder": broken_folder(unit, here / "folder"),
            "broken_lazy_file": broken_lazy_file(unit, here / "lazy"),
        }
    trained = session(
        SEGMENTATION, DIGITS, "50 steps", folder / "1" / "whole", arrays=arrays, metric="miou", mode="max"
    )
    return {
        "num_train": NUM_TRAIN,
        "batch_size": DIGITS["batch_size"],
        "units": units,
        "loss_per_iteration": loss_per_iteration(arrays, trained.trainer.weights()),
    }


def table(found: Mapping[str, Any]) -> str:
    """Two tables: what each length of a virtual epoch shows when, and the loss per iteration."""
    rows: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "samples to the first report": lambda u: f"{u['first_report']['samples']:,}",
        "seconds to the first report": lambda u: f"{u['first_report']['seconds']:.1f}",
        "reports in one epoch": lambda u: str(u["reports"]),
        "checkpoints in one epoch": lambda u: str(u["checkpoints"]),
        "seconds between checkpoints": lambda u: f"{u['seconds_between_checkpoints']:.1f}",
        "samples until a useless trial is seen": lambda u: f"{u['useless_trial']['samples']:,}",
        "  its mIoU then": lambda u: f"{u['useless_trial']['miou']:.3f}",
        "samples until a loss is not finite": lambda u: f"{u['diverging_trial']['samples']:,}",
        "samples until a broken file in a folder": lambda u: f"{u['broken_folder']['samples']:,}",
        "samples until a broken file, read late": lambda u: f"{u['broken_lazy_file']['samples']:,}",
    }
    units = found["units"]
    lines = [f"{'virtual epoch of':<42}" + "".join(f"{unit:>14}" for unit in units)]
    lines += [
        f"{name:<42}" + "".join(f"{row(units[unit]):>14}" for unit in units) for name, row in rows.items()
    ]
    lines += [
        "",
        "training loss per iteration, from the same trained weights",
        f"{'batch size':>12}{'mean':>10}{'deviation':>12}{'lowest':>10}{'highest':>10}{'of means of 50':>16}",
    ]
    for size, row in found["loss_per_iteration"].items():
        numbers = (row[key] for key in ("mean", "deviation", "lowest", "highest", "deviation_of_means_of_50"))
        lines.append(
            f"{size:>12}"
            + "".join(f"{n:>{w}.4f}" for n, w in zip(numbers, (10, 12, 10, 10, 16), strict=True))
        )
    return "\n".join(lines)


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Validation over the samples of one epoch, and the loss of each iteration."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    for (unit, result), marker in zip(found["units"].items(), ("s", ".", "o"), strict=True):
        samples, values = zip(*((point["samples"], point["miou"]) for point in result["curve"]), strict=True)
        left.plot(samples, values, marker=marker, lw=1, ms=7, label=unit)
    left.set_xlabel("training samples")
    left.set_ylabel("validation mIoU")
    left.legend(title="virtual epoch of", frameon=False)
    for size in ("1", "16", "64"):
        right.plot(found["loss_per_iteration"][size]["losses"], lw=0.8, label=size)
    right.set_xlabel("iteration")
    right.set_ylabel("training loss")
    right.legend(title="batch size", frameon=False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--figure", type=Path, help="draw it into this PNG too")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    if arguments.figure is not None:
        draw(found, arguments.figure)


if __name__ == "__main__":
    main()
