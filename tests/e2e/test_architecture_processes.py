"""Which part of the program may import what, and how long files and functions are."""

import subprocess
import sys

from rooms import ROOT

PARTS = (
    "checkpoints.checkpoint",
    "data.stream",
    "data.virtual_epoch",
    "optim.ema",
    "optim.lr_schedules",
    "optim.optimizers",
    "optim.precision",
    "training.trainer",
)


UNWANTED = {"PIL", "click", "optuna", "pydantic", "ray", "rich", "scipy", "search", "sklearn", "tensorboard"}


def test_the_trainer_and_its_parts_need_torch_numpy_and_safetensors_only():
    code = f"import sys, {', '.join(f'trainables.{part}' for part in PARTS)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert {"torch", "numpy", "safetensors", "trainables"} <= loaded
    assert loaded & UNWANTED == set()
