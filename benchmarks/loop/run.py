"""Optimizer steps per second inside a trial, against the bare loop a person would write and against peers.

    python -m benchmarks.loop.run                          three tables, and run.json beside it
    python -m benchmarks.loop.run --only mlp --clock cpu   on a machine that has other work
    python -m benchmarks.loop.run --device cuda            bf16, channels_last; against the bare loop alone

Only training steps are timed, for everybody: no validation, no checkpoint, no start. Ours are virtual epochs
as a trial runs them (`Trainer.run_virtual_epoch`), the validation left out: batches drawn from arrays by a
resumable stream, gradient norms measured, divergence looked for at every step. All others get the same
batches in the same order as rows of tensors in memory, from one iterator without workers, the same model with
the same first weights, and the same kind of optimizer (fused, weight decay on matrices only). After the first
round the weights of all are compared: they differ by rounding. `bare, AdamW's defaults` is
torch.optim.AdamW(model.parameters(), ...) as people write it. One thread.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import measuring
from trainables.build import build_trainer, load_arrays
from trainables.classification.task import ClassificationTask
from trainables.data.stream import SampleStream
from trainables.regression.task import RegressionTask
from trainables.segmentation.task import SegmentationTask
from trainables.task import Task
from trainables.training.trainer import Trainer

LR, WEIGHT_DECAY = 1e-3, 1e-4
COMMON = {"optimizer": {"name": "adamw", "lr": LR, "weight_decay": WEIGHT_DECAY}}
PACKAGES = ["torch", "numpy", "pytorch-lightning", "pytorch-ignite", "transformers", "accelerate"]
SAME_WEIGHTS = LR / 2
"""Largest difference of a weight after the first round; a step that others do not take makes one of LR."""

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Work:
    """One model with its data; `loss` is what a person would call instead of the task's."""

    task: type[Task]
    options: dict[str, Any]
    steps: int
    loss: Loss


WORKS = {
    "unet": Work(  # configs/seg.yaml, its smaller model
        SegmentationTask,
        {"data": {"source": "digits"}, "model": {"name": "unet", "width": 8, "depth": 2}, "batch_size": 16},
        40,
        F.cross_entropy,
    ),
    "cnn": Work(  # configs/classification.yaml; not augmented, for the peers have nothing for it
        ClassificationTask,
        {"data": {"source": "digits"}, "model": {"name": "cnn", "width": 16, "depth": 2}, "batch_size": 32},
        100,
        F.cross_entropy,
    ),
    "mlp": Work(  # configs/regression.yaml
        RegressionTask,
        {"data": {"source": "diabetes"}, "model": {"name": "mlp", "width": 64, "depth": 2}, "batch_size": 16},
        400,
        F.mse_loss,
    ),
}


class Stopwatch:
    """Seconds of the wall's clock or of this process, all of its threads."""

    def __init__(self, clock: str, device: torch.device) -> None:
        self._clock = time.process_time if clock == "cpu" else time.perf_counter
        self._device = device
        self.seconds = 0.0

    def start(self) -> None:
        self._synchronize()
        self.seconds = -self._clock()

    def stop(self) -> None:
        self._synchronize()
        self.seconds += self._clock()

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


class Batches:
    """`steps` batches each time it is iterated, going on where it stopped: the order of a trial's stream."""

    def __init__(self, trainer: Trainer, batch_size: int, steps: int, *, as_dict: bool = False) -> None:
        assert isinstance(trainer.stream, SampleStream)
        source = trainer.stream._source
        inputs, targets = source.batch(np.arange(len(source)), None)
        layout = torch.channels_last if inputs.dim() == 4 else torch.contiguous_format
        self._inputs = inputs.to(trainer.device).contiguous(memory_format=layout)
        self._targets = targets.to(trainer.device)
        self._batch_size, self._steps, self._as_dict = batch_size, steps, as_dict
        self._rest, self._epochs = torch.empty(0, dtype=torch.int64, device=trainer.device), 0
        self.dataset = range(len(source))

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self._steps):
            if len(self._rest) < self._batch_size:
                order = np.random.default_rng([0, 0, self._epochs]).permutation(len(self._inputs))
                self._rest = torch.cat([self._rest, torch.from_numpy(order).to(self._rest.device)])
                self._epochs += 1
            rows, self._rest = self._rest[: self._batch_size], self._rest[self._batch_size :]
            inputs, targets = self._inputs[rows], self._targets[rows]
            yield {"inputs": inputs, "labels": targets} if self._as_dict else (inputs, targets)


@dataclass
class Contestant:
    """What one candidate trains, all from the same first weights."""

    trainer: Trainer
    batches: Batches
    work: Work
    watch: Stopwatch

    @property
    def model(self) -> nn.Module:
        return self.trainer.model


def ours(it: Contestant) -> Callable[[], None]:
    it.trainer.validate = lambda model=None: {}  # type: ignore[method-assign]

    def run() -> None:
        it.watch.start()
        it.trainer.run_virtual_epoch()
        it.watch.stop()

    return run


def bare(it: Contestant, optimizer: torch.optim.Optimizer | None = None) -> Callable[[], None]:
    model, loss_of = it.model, it.work.loss
    optimizer = optimizer or it.trainer.optimizer
    on_gpu = it.trainer.device.type == "cuda"

    def run() -> None:
        model.train()
        it.watch.start()
        for inputs, targets in it.batches:
            if on_gpu:
                with torch.autocast("cuda", dtype=torch.bfloat16):
                    loss = loss_of(model(inputs), targets)
            else:
                loss = loss_of(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        it.watch.stop()

    return run


def bare_defaults(it: Contestant) -> Callable[[], None]:
    return bare(it, torch.optim.AdamW(it.model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY))


def lightning(it: Contestant) -> Callable[[], None]:
    """With `barebones`, which its documentation has for measuring overhead: no logger, no checkpoint."""
    import pytorch_lightning as pl

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = it.model

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            inputs, targets = batch
            return it.work.loss(self.model(inputs), targets)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return it.trainer.optimizer

    class Timing(pl.Callback):
        def on_train_start(self, *_: Any) -> None:
            it.watch.start()

        def on_train_end(self, *_: Any) -> None:
            it.watch.stop()

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    module = Module()

    def run() -> None:
        trainer = pl.Trainer(
            barebones=True, accelerator="cpu", max_steps=len(it.batches), callbacks=[Timing()]
        )
        trainer.fit(module, it.batches)

    return run


def ignite(it: Contestant) -> Callable[[], None]:
    """Its own supervised trainer; the loss is handed on as a tensor."""
    from ignite.engine import create_supervised_trainer

    engine = create_supervised_trainer(
        it.model, it.trainer.optimizer, it.work.loss, output_transform=lambda x, y, y_pred, loss: loss
    )

    def run() -> None:
        it.watch.start()
        engine.run(it.batches, max_epochs=1, epoch_length=len(it.batches))
        it.watch.stop()

    return run


def transformers_trainer(it: Contestant) -> Callable[[], None]:
    """No logs, bar, checkpoints, clipping or filter of losses, and the loader is the one of all others."""
    import transformers

    class WithLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = it.model

        def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
            outputs = self.model(inputs)
            return {"loss": it.work.loss(outputs, labels), "logits": outputs}

    class Timing(transformers.TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            it.watch.start()

        def on_train_end(self, *_: Any, **__: Any) -> None:
            it.watch.stop()

    class WithLoader(transformers.Trainer):
        def get_train_dataloader(self) -> Any:
            return it.batches

    folder = tempfile.mkdtemp()
    arguments = transformers.TrainingArguments(
        output_dir=folder,
        max_steps=len(it.batches),
        per_device_train_batch_size=it.batches._batch_size,
        use_cpu=True,
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    model = WithLoss()

    def run() -> None:
        trainer = WithLoader(
            model,
            arguments,
            train_dataset=it.batches.dataset,
            optimizers=(it.trainer.optimizer, None),
            callbacks=[Timing()],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()

    return run


CANDIDATES: dict[str, Callable[[Contestant], Callable[[], None]]] = {
    "bare": bare,
    "tune-search": ours,
    "bare, AdamW's defaults": bare_defaults,
    "pytorch-lightning": lightning,
    "pytorch-ignite": ignite,
    "transformers": transformers_trainer,
}


def contestant(work: Work, steps: int, clock: str, device: torch.device, *, as_dict: bool) -> Contestant:
    options = work.task.Options.model_validate({**work.options, **COMMON})
    arrays = load_arrays(work.task, options)
    trainer = build_trainer(
        work.task, options, arrays, unit="steps", count=steps, num_virtual_epochs=1000, device=device
    )
    batches = Batches(trainer, work.options["batch_size"], steps, as_dict=as_dict)
    return Contestant(trainer, batches, work, Stopwatch(clock, device))


def measure(name: str, asked: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of a round of each, and how far its weights are from ours after the first round."""
    work, device = WORKS[name], torch.device(asked.device)
    steps = max(1, round(work.steps * asked.scale))
    chosen = list(CANDIDATES) if device.type == "cpu" else ["bare", "tune-search", "bare, AdamW's defaults"]
    entered = {
        key: contestant(work, steps, asked.clock, device, as_dict=key == "transformers") for key in chosen
    }

    def timed(key: str) -> Callable[[], float]:
        run = CANDIDATES[key](entered[key])

        def seconds() -> float:
            run()
            return entered[key].watch.seconds

        return seconds

    runs = {key: timed(key) for key in chosen}
    for run in runs.values():
        run()
    weights = {key: _vector(it.model) for key, it in entered.items()}
    differences = {key: float((each - weights["tune-search"]).abs().max()) for key, each in weights.items()}
    for key, difference in differences.items():
        if device.type == "cpu" and "defaults" not in key and difference > SAME_WEIGHTS:
            raise RuntimeError(
                f"{key} on {name}: a weight differs from ours by {difference:g} after {steps} steps, more "
                f"than {SAME_WEIGHTS:g}: it does not train the same, so it cannot be compared"
            )
    return measuring.alternate(runs, asked.pairs, warm_up=0), differences


def _vector(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def summarized(name: str, measured: dict[str, list[float]], steps: int) -> dict[str, dict[str, Any]]:
    """Prints one table; steps per second, and speeds as ratios to the bare loop and to ours."""
    summary, rows = {}, []
    for key, seconds in measured.items():
        of_bare = measuring.spread(measuring.ratios(measured["bare"], seconds))
        of_ours = measuring.spread(measuring.ratios(measured["tune-search"], seconds))
        per_second = measuring.spread([steps / each for each in seconds])
        summary[key] = {"steps_per_second": per_second, "of_bare": of_bare, "of_ours": of_ours}
        rows.append([key, f"{per_second.median:.0f}", of_bare, of_ours])
    measuring.print_table(name, ["loop", "steps/s", "speed, of bare", "of tune-search"], rows)
    return summary


def main() -> None:
    parser = measuring.parser(
        __doc__.split("\n")[0], "python -m benchmarks.loop.run --only mlp --pairs 9", pairs=9
    )
    parser.add_argument("--only", choices=WORKS, action="append", help="a model; several times for several")
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu: seconds of the process"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of the steps of a round")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    summary, measurements, settings = {}, {}, vars(asked) | {"unit": "seconds of a round"}
    for name in asked.only or WORKS:
        steps = max(1, round(WORKS[name].steps * asked.scale))
        measured, differences = measure(name, asked)
        summary[name] = summarized(f"{name}, {steps} steps a round, {asked.clock} clock", measured, steps)
        measurements[name] = measured
        settings[name] = WORKS[name].options | COMMON | {"steps": steps, "weights_differ_by": differences}
    beside = Path(__file__).with_name("run.json" if asked.device == "cpu" else f"run_{asked.device}.json")
    measuring.write_results(
        settings=settings,
        measurements=measurements,
        summary=summary,
        packages=PACKAGES,
        out=asked.out or beside,
    )


if __name__ == "__main__":
    main()
