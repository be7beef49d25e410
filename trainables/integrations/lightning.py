"""Lightning's Trainer in a training function: its epochs are the virtual epochs of the trial.

>>> def train(trial, lr: float = 1e-3, batch_size: int = 32):
...     Trainer(trial, precision="bf16-mixed").fit(Module(lr), Data(batch_size))

All that Lightning does at the end of an epoch (validation, callbacks, schedulers) it does at the end of each
virtual epoch, so a report, and a checkpoint, is taken where it is between two epochs: there a Lightning
checkpoint misses nothing. The training data are an endless stream that goes on in the middle of a pass.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from trainables.function.suspended import TrialEnded
from trainables.function.trial import Trial
from trainables.integrations.lightning_data import VirtualEpochData

_LENGTH = "budget.max_virtual_epochs and the scheduler decide how long a trial trains"
_EPOCH = "an epoch of this Trainer is a virtual epoch, whose length the configuration gives"
_VALIDATED = "each virtual epoch is validated at its end, and reported"
_DEVICE = (
    "a trial is one process on the device that the search gives it; more GPUs train more trials at a time"
)
_DECIDED = {
    "max_epochs": _LENGTH,
    "max_steps": _LENGTH,
    "limit_train_batches": _EPOCH,
    "reload_dataloaders_every_n_epochs": _EPOCH,
    "overfit_batches": _EPOCH,
    "val_check_interval": _VALIDATED,
    "check_val_every_n_epoch": _VALIDATED,
    "barebones": "nothing that a module logs would be reported",
    "fast_dev_run": "`tune-search check` takes a few steps, search.alone(train, steps=2) as many as you say",
    "accelerator": _DEVICE,
    "devices": _DEVICE,
    "num_nodes": _DEVICE,
    "strategy": _DEVICE,
}
"""Arguments that are not the user's, and why."""

_ACCELERATORS = {"cpu": ("cpu",), "cuda": ("gpu", "cuda"), "mps": ("gpu", "mps")}
_REFUSED_CALLBACKS = {
    "BatchSizeFinder": "batch_size is for the search to find, or for `tune-search batch-sizes`",
    "LearningRateFinder": "the learning rate is for the search to find",
    "GradientAccumulationScheduler": "accumulate_grad_batches is the same in all steps of a trial",
    "OnExceptionCheckpoint": "the search saves its trials, and continues them",
}
_CHECKPOINT = "of the trial"
"""Stands for a path where the trial's own checkpoint is meant."""
_NOT_NEEDED = (
    "state_dict",  # is in model.safetensors
    *("hparams_name", "hyper_parameters", "hparams_type"),  # may be any objects; only load_from_checkpoint
    *("datamodule_hparams_name", "datamodule_hyper_parameters", "datamodule_hparams_type"),  # reads them
)


def Trainer(trial: Trial, **arguments: Any) -> Any:  # noqa: N802 - stands where Lightning's name stood
    """Lightning's Trainer for a trial, with all arguments of its own that the search does not decide.

    By default it writes nothing and shows nothing: `logger`, `enable_checkpointing`, `enable_progress_bar`,
    `enable_model_summary` and `num_sanity_val_steps` are off unless given.

    Args:
        trial: reported to, and continued where it was paused, by `fit`.
        arguments: of pytorch_lightning.Trainer, or of lightning.pytorch's where that is imported.

    Raises:
        ValueError: an argument is the search's to decide.
    """
    pl = importlib.import_module(
        "lightning.pytorch" if "lightning.pytorch" in sys.modules else "pytorch_lightning"
    )
    environments = importlib.import_module(f"{pl.__name__}.plugins.environments")
    _be_quiet()
    callbacks = _as_list(arguments.pop("callbacks", None))
    _refuse(pl, trial, arguments, callbacks)
    plugins = _as_list(arguments.pop("plugins", None))
    fit = _Fit(pl, trial)
    reporter = pl.callbacks.LambdaCallback(
        on_fit_start=fit.begin, on_train_epoch_start=fit.report, on_train_end=fit.report
    )
    quiet = {
        "logger": False,
        "enable_checkpointing": any(isinstance(each, pl.callbacks.Checkpoint) for each in callbacks),
        "enable_progress_bar": any(isinstance(each, pl.callbacks.ProgressBar) for each in callbacks),
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": trial.folder,
    }
    decided = {
        # One more where nothing is left: a trial that is only evaluated is not skipped.
        "max_epochs": max(trial.num_virtual_epochs, trial.done + 1),
        "accelerator": _ACCELERATORS[trial.device.type][0],
        "devices": [trial.device.index or 0] if trial.device.type == "cuda" else 1,
        # The reporter comes first, when all that belongs to an epoch is done and nothing of the next one.
        "callbacks": [reporter, *callbacks],
        # Whatever Slurm or torchrun has started, this is one process of its own.
        "plugins": [environments.LightningEnvironment(), *plugins],
    }
    trainer = pl.Trainer(**(quiet | arguments | decided))
    fit.attach(trainer)
    return trainer


class _Fit:
    """The `fit` of a Trainer, and the state of the trial in it.

    Args:
        pl: Lightning.
        trial: whose training it is.
    """

    def __init__(self, pl: Any, trial: Trial) -> None:
        self._pl, self._trial = pl, trial
        self._saved: dict[str, Any] = {}
        self._data: VirtualEpochData | None = None
        self._end: TrialEnded | None = None

    def attach(self, trainer: Any) -> None:
        """Take the place of the trainer's own `fit`, and of where it looks for checkpoints."""
        self._trainer, self._fit = trainer, trainer.fit
        self._files = _Files(trainer.strategy.checkpoint_io, self._restored)
        trainer.strategy.checkpoint_io = self._files
        trainer.fit = self

    def __call__(
        self,
        model: Any,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: Any = None,
        ckpt_path: Any = None,
    ) -> None:
        """Train the virtual epochs that are left; see Lightning's `Trainer.fit`.

        Raises:
            ValueError: `ckpt_path` is given, or this is not the first call.
        """
        if ckpt_path is not None:
            raise ValueError(
                f"fit(ckpt_path={str(ckpt_path)!r}): a trial continues from checkpoints of its own; to begin "
                "with other weights, load them into the module before fit"
            )
        if "trainer" in self._trial.tracked:
            raise ValueError(
                "fit is called a second time, and a trial is one training with one Trainer(trial)"
            )
        self._trial.track(trainer=self)
        if isinstance(train_dataloaders, self._pl.LightningDataModule):
            train_dataloaders, datamodule = None, train_dataloaders
        if train_dataloaders is None:
            source = model if datamodule is None else datamodule
            make = source.train_dataloader
            source.train_dataloader = lambda: self._endless(make())
        else:
            train_dataloaders = self._endless(train_dataloaders)
        path = _CHECKPOINT if self._saved else None
        self._fit(model, train_dataloaders, val_dataloaders, datamodule, ckpt_path=path)
        if self._end is not None:
            raise self._end

    def begin(self, trainer: Any, module: Any) -> None:
        """Hook: everything is built, nothing trained."""
        self._track(module)
        trainer.callback_metrics.update(self._saved.get("metrics", {}))
        if trainer.enable_validation:
            self._trial.evaluated_by(self._evaluate)

    def report(self, trainer: Any, module: Any) -> None:
        """Hook: what belongs to the epoch before is done, and nothing of the next one."""
        data = self._data
        if data is None or data.left == len(data):  # none before
            return
        if data.left:
            if trainer.should_stop:
                return
            raise ValueError(
                f"the epoch has ended {data.left} of its {len(data)} batches early: let training_step return "
                "None to leave out a batch, instead of -1 from on_train_batch_start, and set "
                "trainer.should_stop to end the training"
            )
        data.left = len(data)
        if not trainer.callback_metrics:
            raise ValueError(
                "the module has logged nothing, so there is nothing to report; call "
                'self.log("val_loss", loss) in validation_step, and give its name as objective.metric'
            )
        with self.leaving():
            self._trial.report(**trainer.callback_metrics)

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Leave Lightning when the trial is to end as its own tuners do: torn down, and not as an error.

        `on_exception` of callbacks is not called, and loggers do not record a failure.
        """
        try:
            yield
        except TrialEnded as end:
            self._end = end
            raise self._pl.utilities.exceptions._TunerExitException from end

    def state_dict(self) -> dict[str, Any]:
        """Lightning's checkpoint without the weights, and the metrics so far."""
        trainer = self._trainer
        trainer.save_checkpoint(_CHECKPOINT, weights_only=False)
        saved, self._files.checkpoint = self._files.checkpoint, {}
        kept = {key: value for key, value in saved.items() if key not in _NOT_NEEDED}
        progress = kept["loops"]["fit_loop"]["epoch_progress"]
        # The next epoch is counted already where the trial pauses.
        for counts in progress.values():
            counts.update(dict.fromkeys(counts, counts["completed"]))
        return kept | {"metrics": dict(trainer.callback_metrics), "ended": trainer.should_stop}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Keep it for when Lightning asks for it."""
        self._saved = dict(state)

    def _restored(self) -> dict[str, Any]:
        module = self._trainer.lightning_module
        self._track(module)
        return {**self._saved, "state_dict": module.state_dict()}

    def _track(self, module: Any) -> None:
        """Not before Lightning has called the hooks that build layers."""
        if "model" not in self._trial.tracked:
            self._trial.track(model=module)

    def _endless(self, loader: Any) -> VirtualEpochData:
        if isinstance(loader, dict | list | tuple | self._pl.utilities.CombinedLoader):
            raise ValueError(
                f"the training data are a {type(loader).__name__} of loaders, whose place cannot be saved; "
                "give one DataLoader, over a dataset that returns a sample of each"
            )
        per_step = self._trainer.accumulate_grad_batches
        ended = self._saved.get("ended", False)
        self._data = VirtualEpochData(self._trial, loader, per_step, ended=ended, leaving=self.leaving)
        return self._data

    def _evaluate(self) -> dict[str, Any]:
        """Validate as at the end of an epoch."""
        trainer = self._trainer
        trainer.callback_metrics.clear()
        trainer.validating = True
        trainer.fit_loop.epoch_loop.val_loop.run()
        metrics = dict(trainer.callback_metrics)
        trainer.training = True
        return metrics


class _Files:
    """Where a Trainer writes and reads checkpoints: that of the trial is kept in memory.

    Args:
        others: for all others.
        load: gives that of the trial.
    """

    def __init__(self, others: Any, load: Callable[[], dict[str, Any]]) -> None:
        self._others, self._load = others, load
        self.checkpoint: dict[str, Any] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if path == _CHECKPOINT:
            self.checkpoint = checkpoint
        else:
            self._others.save_checkpoint(checkpoint, path, storage_options=storage_options)

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        return (
            self._load() if path == _CHECKPOINT else self._others.load_checkpoint(path, *arguments, **options)
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._others, name)


def _refuse(pl: Any, trial: Trial, arguments: Mapping[str, Any], callbacks: list[Any]) -> None:
    """Raise for what the search decides, unless it says the same."""
    defaults = inspect.signature(pl.Trainer.__init__).parameters
    same = {"devices": (1, "1"), "accelerator": _ACCELERATORS[trial.device.type]}
    for name, reason in _DECIDED.items():
        value = arguments.get(name, defaults[name].default)
        if value != defaults[name].default and value not in same.get(name, ()):
            raise ValueError(f"Trainer(trial, {name}={value!r}): leave {name} out, {reason}")
    for name in (type(callback).__name__ for callback in callbacks):
        if reason := _REFUSED_CALLBACKS.get(name, ""):
            raise ValueError(f"Trainer(trial, callbacks=[{name}(…)]): leave it out, {reason}")


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _be_quiet() -> None:
    """Leave of Lightning's lines only warnings, without its advice on workers and those about itself."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        if logger.level == logging.INFO:
            logger.setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers")
    warnings.filterwarnings("ignore", ".*treespec, LeafSpec.* is deprecated")
    # On machines of SLURM; a trial is not to be started by srun.
    warnings.filterwarnings("ignore", "The `srun` command is available")
