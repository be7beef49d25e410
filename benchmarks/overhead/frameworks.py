"""What a trial costs besides its framework: loops of examples/ against the same in their frameworks alone.

    python -m benchmarks.overhead.frameworks --pairs 9              five minutes

prints a table and writes frameworks.json beside it. Needs the extras transformers, accelerate and ignite.

Each trains 300 steps with the same model, data, optimizer and schedule in this process, and evaluates and
saves a checkpoint after every 100: the framework alone as its documentation shows it, the trial as a search
runs it, with hashed checkpoints and TensorBoard's events. Given is the time of the trial over the other.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import Checkpoint, CosineAnnealingScheduler, DiskSaver
from ignite.metrics import Accuracy, Loss
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments, ViTConfig, ViTForImageClassification
from transformers.utils import logging

from benchmarks.measuring import alternate, parser, print_table, ratios, spread, write_results
from examples.digits import accuracy, make_network, train_digits, valid_digits
from examples.transformers_vit import Digits
from examples.transformers_vit import accuracy as vit_accuracy
from trainables.session import TrialPlan, TrialSession

STEPS, VIRTUAL_EPOCHS, WIDTH = 100, 3, 64
END = STEPS * VIRTUAL_EPOCHS


def with_transformers(folder: Path) -> None:
    config = ViTConfig(image_size=8, patch_size=2, num_channels=1, num_labels=10, hidden_size=WIDTH,
                       num_hidden_layers=2, num_attention_heads=4, intermediate_size=2 * WIDTH,
                       hidden_dropout_prob=0.1)  # fmt: skip
    args = TrainingArguments(
        str(folder), learning_rate=1e-3, per_device_train_batch_size=32, max_steps=END, eval_strategy="steps",
        eval_steps=STEPS, save_strategy="steps", save_steps=STEPS, save_total_limit=1, report_to="none",
        logging_strategy="no", disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    data = {"train_dataset": Digits(train_digits()), "eval_dataset": Digits(valid_digits())}
    trainer = Trainer(ViTForImageClassification(config), args, compute_metrics=vit_accuracy, **data)
    trainer.remove_callback(PrinterCallback)
    trainer.train()


def with_accelerate(folder: Path) -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    loader = DataLoader(train_digits(), batch_size=16, shuffle=True)
    model = make_network(64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=END)
    model, optimizer, schedule, loader = accelerator.prepare(model, optimizer, schedule, loader)
    step = 0
    while step < END:
        for images, labels in loader:
            with accelerator.accumulate(model):
                accelerator.backward(cross_entropy(model(images), labels))
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            step += accelerator.sync_gradients
            if accelerator.sync_gradients and step % STEPS == 0:
                accuracy(model, accelerator.device)
                model.train()
                accelerator.save_state(str(folder))
            if step == END:
                break


def with_ignite(folder: Path) -> None:
    model = make_network(WIDTH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    trainer = create_supervised_trainer(model, optimizer, cross_entropy)
    evaluator = create_supervised_evaluator(model, {"accuracy": Accuracy(), "loss": Loss(cross_entropy)})
    schedule = CosineAnnealingScheduler(optimizer, "lr", 1e-2, 1e-3, cycle_size=100)
    trainer.add_event_handler(Events.ITERATION_STARTED, schedule)
    valid = DataLoader(valid_digits(), batch_size=500)
    due = Events.ITERATION_COMPLETED(every=STEPS)
    trainer.add_event_handler(due, lambda: evaluator.run(valid))
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "trainer": trainer}
    saver = DiskSaver(str(folder), require_empty=False)
    trainer.add_event_handler(due, Checkpoint(parts, saver, n_saved=1))
    loader = DataLoader(train_digits(), batch_size=32, shuffle=True)
    trainer.run(loader, max_iters=END)


CASES: dict[str, tuple[Callable[[Path], None], str, dict[str, Any]]] = {
    "transformers' Trainer": (with_transformers, "examples.transformers_vit:train", {"width": WIDTH}),
    "accelerate": (with_accelerate, "examples.accelerate_digits:train", {}),
    "pytorch-ignite": (with_ignite, "examples.ignite_digits:train", {}),
}


def as_trial(task: str, options: dict[str, Any], folder: Path) -> None:
    plan = TrialPlan(
        number=0,
        folder=str(folder),
        task=task,
        options=options,
        unit="steps",
        count=STEPS,
        num_virtual_epochs=VIRTUAL_EPOCHS,
        metric="eval_accuracy" if "transformers" in task else "accuracy",
        mode="max",
    )
    session = TrialSession(plan, {})
    try:
        while not session.finished:
            session.next_report()
    finally:
        session.close()


def timed(train: Callable[[Path], None]) -> float:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        began = time.perf_counter()
        train(Path(folder))
        return time.perf_counter() - began


def main() -> None:
    options = parser(
        "A trial against its framework alone: time for the same training, evaluations and checkpoints.",
        "python -m benchmarks.overhead.frameworks --pairs 9",
        pairs=9,
    ).parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    candidates: dict[str, Callable[[], float]] = {}
    for name, (alone, task, values) in CASES.items():
        candidates[f"{name} alone"] = partial(timed, alone)
        candidates[f"{name} as a trial"] = partial(timed, partial(as_trial, task, values))
    measured = alternate(candidates, options.pairs)
    summary = {
        name: {
            "ratio": spread(ratios(measured[f"{name} as a trial"], measured[f"{name} alone"])),
            "alone, s": spread(measured[f"{name} alone"]),
        }
        for name in CASES
    }
    print_table(
        f"{END} steps, {VIRTUAL_EPOCHS} evaluations and checkpoints",
        ["", "trial / framework alone", "alone, s"],
        [[name, *row.values()] for name, row in summary.items()],
    )
    write_results(
        settings={"steps": STEPS, "virtual_epochs": VIRTUAL_EPOCHS, "width": WIDTH, "pairs": options.pairs},
        measurements=measured,
        summary=summary,
        packages=["torch", "transformers", "accelerate", "pytorch-ignite"],
        out=options.out,
    )


if __name__ == "__main__":
    main()
