"""A training by Lightning in a trial, against the same training by Lightning alone.

    python -m benchmarks.overhead.lightning --pairs 9

Both train the same module on the same digits for the same number of steps, with the same validations,
and write nothing: alone with `val_check_interval`, in a trial with a report after each virtual epoch.
`saved` also takes the state of a checkpoint after each. One thread; a ratio of each pair.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from benchmarks import measuring
from examples.digits import train_digits, valid_digits
from examples.lightning_digits import Digits, train
from trainables.function.task import function_task

STEPS, VIRTUAL_EPOCHS = 100, 10


def alone() -> float:
    torch.manual_seed(0)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=STEPS * VIRTUAL_EPOCHS,
        val_check_interval=STEPS,
        check_val_every_n_epoch=None,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    loader = DataLoader(train_digits(), batch_size=32, shuffle=True)
    began = time.perf_counter()
    trainer.fit(Digits(1e-2, 64), loader, DataLoader(valid_digits(), batch_size=500))
    return time.perf_counter() - began


def in_a_trial(after: Callable[[Any], Any] = lambda trainer: None) -> float:
    task = function_task(train)
    trainer = task.trainer(
        task.Options.parse({}),
        number=0,
        device=torch.device("cpu"),
        folder=Path("."),
        unit="steps",
        count=STEPS,
        num_virtual_epochs=VIRTUAL_EPOCHS,
    )
    began = time.perf_counter()
    while trainer.run_virtual_epoch() is not None:
        after(trainer)
    trainer.close()
    return time.perf_counter() - began


def saved() -> float:
    return in_a_trial(lambda trainer: (trainer.weights(), trainer.state_dict()))


def main() -> None:
    asked = measuring.parser(__doc__ or "", "python -m benchmarks.overhead.lightning", pairs=9).parse_args()
    torch.set_num_threads(1)
    measured = measuring.alternate({"alone": alone, "trial": in_a_trial, "saved": saved}, asked.pairs)
    summary = {
        name: measuring.spread(measuring.ratios(measured[name], measured["alone"]))
        for name in ("trial", "saved")
    }
    measuring.print_table(
        "Time, relative to Lightning alone", ["", "ratio"], [[name, each] for name, each in summary.items()]
    )


if __name__ == "__main__":
    main()
