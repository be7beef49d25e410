"""Runs a training function one virtual epoch at a time, as `training.trainer.Trainer` runs a task."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.data.virtual_epoch import Unit, VirtualEpochs
from trainables.function.suspended import Suspended
from trainables.function.trial import Trial
from trainables.process.process_state import RandomStates, seed_everything
from trainables.training.trainer import Counters

_READY = object()


class FunctionTrainer:
    """A function that owns its loop, suspended at each report.

    The function is called from its beginning when the first virtual epoch is asked for; in a trial that
    continues it builds everything anew, and `Trial.track` restores it.

    Args:
        function: called with the trial and `arguments`.
        arguments: values for its other parameters.
        values: the resolved `trial:` section.
        seed: of the random states before the call.
        device, folder, number, unit, count, num_virtual_epochs: see `Trial`.
    """

    def __init__(
        self,
        function: Callable[..., None],
        arguments: Mapping[str, Any],
        values: Mapping[str, Any],
        *,
        number: int,
        seed: int,
        device: torch.device,
        folder: Path,
        unit: Unit,
        count: int,
        num_virtual_epochs: int,
    ) -> None:
        self.device, self._seed = device, seed
        self.counters = Counters()
        self._weights: Mapping[str, Tensor] | None = None
        self._state: Mapping[str, Any] = {}
        self._make: Callable[[], Trial] = lambda: Trial(
            values,
            number=number,
            seed=seed,
            device=device,
            folder=folder,
            unit=unit,
            count=count,
            num_virtual_epochs=num_virtual_epochs,
            done=self.counters.num_virtual_epochs,
            host=self,
        )
        self._call = Suspended(lambda: function(self.trial, **arguments))
        self._trial: Trial | None = None
        self._is_ready = False

    @property
    def trial(self) -> Trial:
        if self._trial is None:
            self._trial = self._make()
            self.restore("state")
        return self._trial

    @property
    def virtual_epochs(self) -> VirtualEpochs:
        """Their lengths; the function builds what it trains first, which may say how long an epoch is."""
        self._begin()
        return self.trial.lengths

    @property
    def num_samples(self) -> int:
        """Training samples drawn so far; steps, where the trial does not know the batches."""
        return self.virtual_epochs.samples_at(self.counters.num_virtual_epochs)

    @property
    def model(self) -> nn.Module:
        """The module that is tracked, or all of them."""
        self._begin()
        modules = self.trial.tracked.modules
        return next(iter(modules.values())) if len(modules) == 1 else nn.ModuleDict(modules)

    @property
    def evaluated_model(self) -> nn.Module:
        return self.model

    @property
    def precision_name(self) -> str:
        """The function's own business."""
        return "own"

    def preprocessing(self) -> dict[str, Any]:
        """The function's own business."""
        return {}

    @property
    def skipped_samples(self) -> Mapping[str, str]:
        return {}

    def run_virtual_epoch(self) -> dict[str, float] | None:
        """Run to the next report; its metrics, or None where the function returned without one.

        Raises:
            BaseException: whatever the function raises.
        """
        self._begin()
        began = time.perf_counter()
        try:
            metrics = self._call.resume()
        except StopIteration as error:
            raise ValueError(
                "a loader or iterator of the function has ended (StopIteration); batches from "
                "trial.batches(loader) have no end"
            ) from error
        if metrics is None:
            return None
        self.counters.num_virtual_epochs += 1
        self.counters.num_steps = self.trial.lengths.end_step(self.counters.num_virtual_epochs)
        self.counters.seconds += time.perf_counter() - began
        return dict(metrics)

    def validate(self) -> dict[str, float] | None:
        """The metrics of the present weights; None where the function did not say how to compute them."""
        self._begin()
        if not self.trial.evaluates:
            return None
        with torch.no_grad():
            return {name: float(value) for name, value in self.trial.evaluate().items()}

    def doubts(self) -> Iterator[str]:
        """What is probably not meant, after some virtual epochs."""
        yield from self.trial.notes
        if not self.trial.loads:
            yield (
                "no batches come from trial.batches(loader): if it draws from a loader of its own, its place "
                "in the data is lost where a trial is paused, and it does not continue bit for bit"
            )
        if not self.trial.evaluates:
            yield "trial.evaluated_by() was not called: an export is not evaluated again"

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers of what is tracked."""
        return self.trial.tracked.weights()

    def state_dict(self) -> dict[str, Any]:
        """All other state: tensors, numbers and texts."""
        return {
            "tracked": self.trial.tracked.states(),
            "modules": len(self.trial.tracked.modules),
            "random": RandomStates().state_dict(),
            "counters": vars(self.counters).copy(),
        }

    def load(self, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Continue where the state was taken; before the first virtual epoch."""
        assert self._trial is None, "the function has begun"
        self._weights, self._state = weights, state
        self.counters = Counters(**state["counters"])

    def load_weights(self, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """As `load`: the data are the function's own."""
        self.load(weights, state)

    def load_pretrained(self) -> str:
        """Nothing: weights are the function's own."""
        return ""

    def restart_average(self) -> None:
        """Nothing: an average is the function's own."""

    def take_images(self) -> dict[str, np.ndarray]:
        """The images since the last call, by tag."""
        images, self.trial.images = self.trial.images, {}
        return images

    def take_texts(self) -> dict[str, str]:
        """The texts since the last call, by tag."""
        texts, self.trial.texts = self.trial.texts, {}
        return texts

    def close(self) -> None:
        """Leave the function, wherever it stands."""
        try:
            self._call.end()
        finally:
            if self._trial is not None:
                self._trial.close()

    def _begin(self) -> None:
        """Call the function, and let it build what it trains."""
        if not self._is_ready:
            self._is_ready = True
            seed_everything(self._seed)
            value = self._call.resume()
            if value is not _READY:
                raise ValueError(
                    "the function has returned, or reported, before its loop; train in `for steps in "
                    "trial.virtual_epochs():` and report after each. A framework's own loop does it with "
                    "Trainer(trial, …) of trainables.integrations.lightning, or run(trial, …) of "
                    "trainables.integrations.transformers or ignite"
                )

    def ready(self) -> None:
        self._call.pause(_READY)
        if self._weights is not None:
            # Last: what was built and restored before may have drawn numbers.
            RandomStates().load_state_dict(self._state["random"])

    def report(self, metrics: dict[str, float]) -> None:
        self._call.pause(metrics)

    def check(self) -> None:
        self._call.raise_if_ending()

    def restore(self, name: str) -> None:
        if self._weights is None:
            return
        trial = self.trial
        trial.tracked.load(name, self._weights, self._state["tracked"], self._state["modules"])
