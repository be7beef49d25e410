"""Training data as Lightning reads them: each pass is a virtual epoch of an endless stream."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from trainables.function.suspended import TrialEnded
from trainables.function.trial import Trial


class VirtualEpochData:
    """The batches of a loader, with the length of a virtual epoch.

    Args:
        trial: gives the batches.
        loader: the user's.
        per_step: batches of an optimizer step.
        ended: the module or a callback has ended the training already.
        leaving: what is raised when the trial is to end passes through this.

    Raises:
        ValueError: virtual epochs have different numbers of batches, or a sampler asks for the epoch.
    """

    def __init__(
        self,
        trial: Trial,
        loader: Iterable[Any],
        per_step: int,
        *,
        ended: bool,
        leaving: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._per_step, self._ended, self._leaving = per_step, ended, leaving
        _refuse_set_epoch(loader)
        self._batches = trial.batches(loader, per_step=per_step)
        self._virtual_epochs = trial.virtual_epochs()
        lengths = trial.lengths
        self._length = lengths.end_step(1) * per_step
        if lengths.unit == "epochs":
            # As Lightning does, the last step takes what is left of the pass.
            self._length = lengths.count * len(loader)  # type: ignore[arg-type]
        ends = map(lengths.end_step, range(trial.num_virtual_epochs + 1))
        if len({end - start for start, end in itertools.pairwise(ends)}) > 1:
            size = lengths.step_samples
            raise ValueError(
                f"virtual_epoch is {{samples: {lengths.count}}}, and epochs of Lightning are whole steps, of "
                f"{size} samples here: give a multiple of that, or virtual_epoch: {{steps: N}}"
            )
        self.left = self._length
        """Batches of this virtual epoch that were not given."""

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        with self._leaving():
            steps = next(self._virtual_epochs, None)  # from here on random states are those of the pause
            if steps is None or self._ended:
                raise TrialEnded
            for _ in steps:
                for _ in range(self._per_step):
                    self.left -= 1
                    if self.left == 0:
                        deque(steps, maxlen=0)
                    yield next(self._batches)
                    if self.left == 0:
                        return


def _refuse_set_epoch(loader: Any) -> None:
    """Raise for a sampler that Lightning would tell each epoch, without which its order never changes."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    for sampler in (getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None)):
        if hasattr(sampler, "set_epoch"):
            raise ValueError(
                f"the sampler {type(sampler).__name__} waits for set_epoch, and the training data are one "
                "endless stream here: take one that draws from torch's random numbers (shuffle=True, or "
                "torch.randperm in a sampler of your own), which continue with the trial"
            )
