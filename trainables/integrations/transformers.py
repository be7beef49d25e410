"""transformers' Trainer as the loop of a training function.

>>> arguments = TrainingArguments(**training_arguments(trial), learning_rate=lr)
>>> run(trial, Trainer(model, arguments, train_dataset=…, eval_dataset=…))
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import has_length
from transformers.utils import logging

from trainables.function.trial import Trial

_FOLDER = ".trainer"
"""In the trial's folder: what the Trainer writes and reads, for moments only."""
_CLOCK = ("_runtime", "_per_second", "_preparation_time", "_compilation_time")
"""Ends of the names of metrics that are times, which differ each time."""
_NOT_IN_A_TRIAL = (
    "save_only_model",
    "load_best_model_at_end",
    "ignore_data_skip",
    "auto_find_batch_size",
    "push_to_hub",
    "deepspeed",
    "fsdp",
)

NOTE = (
    "where a trial continues, transformers' Trainer goes on with the same samples, weights, optimizer, "
    "schedule and dropout; random numbers that train_dataset or data_collator draw themselves, as for "
    "augmentation, are others than without a pause"
)


def training_arguments(trial: Trial) -> dict[str, Any]:
    """What the trial decides, for TrainingArguments: length, evaluation, seed, device, and no output."""
    end = trial.lengths.end_step
    return {
        "output_dir": str(trial.folder / _FOLDER),
        "max_steps": trial.num_steps,
        "eval_strategy": "steps",
        "eval_steps": end(1),
        "save_strategy": "no",
        "logging_strategy": "no",
        "seed": trial.seed,
        "use_cpu": trial.device.type == "cpu",
        "report_to": "none",
        "disable_tqdm": True,
        "restore_callback_states_from_checkpoint": True,
    }


def run(trial: Trial, trainer: Trainer) -> None:
    """Train to the trial's full length, in place of `trainer.train()`.

    At the end of each virtual epoch the Trainer evaluates. What that returns is reported, without times, with
    the mean `loss` of the virtual epoch and the last `grad_norm`. A trial that continues does so as
    `trainer.train(resume_from_checkpoint=…)` does.

    Args:
        trial: the model is tracked as `model`.
        trainer: made with `training_arguments(trial)`.

    Raises:
        ValueError: it is set to what a trial does not allow.
    """
    files = _Files(trainer)
    with _no_progress_bars(), files:
        _check(trial, trainer)
        trial.track(model=trainer.model, trainer=files)
        trial.loads = True
        trial.notes.append(NOTE)
        trial.evaluated_by(lambda: _metrics(trainer.evaluate()))
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_Reports(trial))  # last: what comes after a report may not be called
        trainer.train(resume_from_checkpoint=files.restored())


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """As of files that are written and read."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


class _Reports(TrainerCallback):
    """Makes the Trainer log, evaluate and save at the end of each virtual epoch, and reports when it has."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._steps = trial.steps()
        self._metrics: dict[str, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        begun = next(self._steps, None)
        assert begun is None or begun == state.global_step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._trial.is_due:
            control.should_log = control.should_evaluate = control.should_save = True
        else:
            next(self._steps)

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: DataLoader[Any],
        **_: Any,
    ) -> None:
        ends = control.should_training_stop or state.global_step == state.max_steps
        if not ends and not has_length(train_dataloader):
            raise ValueError(
                f"train_dataset ended after {state.global_step} of the trial's {state.max_steps} steps, and "
                "has no length: the Trainer could not continue in a second pass; give it __len__, or let it "
                "go on for ever"
            )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any],
        **_: Any,
    ) -> None:
        self._metrics |= {name: logs[name] for name in ("loss", "grad_norm") if name in logs}

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any],
        **_: Any,
    ) -> None:
        self._metrics |= _metrics(metrics)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        metrics, self._metrics = self._metrics, {}
        self._trial.report(**metrics)
        if next(self._steps, None) is None:
            control.should_training_stop = True


class _Files:
    """What the Trainer saves beside the weights, as a part of the trial; only the Trainer itself reads it."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._folder = Path(trainer.args.output_dir)
        self._restored: Mapping[str, Tensor] = {}
        self._save_model = trainer.save_model
        trainer.save_model = self._make_folder  # type: ignore[method-assign]

    def __enter__(self) -> None:
        self._remove()  # what a killed process has left

    def __exit__(self, *_: object) -> None:
        self._remove()

    def state_dict(self) -> dict[str, Any]:
        files = (self._folder / f"checkpoint-{self._trainer.state.global_step}").iterdir()
        return {file.name: _bytes(file) for file in sorted(files)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._restored = state

    def restored(self) -> str | None:
        """A folder that `Trainer.train` resumes from; None in a trial that begins."""
        if not self._restored:
            return None
        folder = self._folder / "restored"
        self._save_model(str(folder))
        for name, content in self._restored.items():
            (folder / name).write_bytes(content.numpy().tobytes())
        self._restored = {}
        return str(folder)

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _make_folder(self, output_dir: str | None = None, **_: Any) -> None:
        """In place of saving the weights, which the trial does; what was saved before is done with."""
        self._remove()
        Path(output_dir or self._folder).mkdir(parents=True)


def _bytes(file: Path) -> Tensor:
    return torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8)


def _metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name != "epoch" and not name.endswith(_CLOCK)}


def _check(trial: Trial, trainer: Trainer) -> None:
    """Refuse what would train something else than the trial, or not continue as it was.

    Raises:
        ValueError: naming the argument, its value and what it must be.
    """
    decided = training_arguments(trial)
    wanted = {name: decided[name] for name in ("max_steps", "seed", "use_cpu", "save_strategy")}
    for name, value in {**wanted, **dict.fromkeys(_NOT_IN_A_TRIAL, False)}.items():
        found = getattr(trainer.args, name)
        if (found or False) != (value or False):  # None, as of deepspeed, is not set either
            raise ValueError(
                f"TrainingArguments has {name}={found!r}; in a trial it must be {value!r}: leave it out, and "
                "write TrainingArguments(**training_arguments(trial), …)"
            )
    if trainer.model_init is not None:
        raise ValueError(
            "the Trainer has model_init, which makes a model that is not the trial's; give it a model"
        )
    if (devices := max(trainer.args.n_gpu, 1) * trainer.args.world_size) > 1:
        raise ValueError(
            f"the Trainer would train on {devices} devices; a trial has one: set CUDA_VISIBLE_DEVICES to one"
        )
