"""How long a virtual epoch is, as pure arithmetic over optimizer steps and samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Unit = Literal["steps", "samples", "epochs"]


@dataclass(frozen=True, kw_only=True)
class VirtualEpochs:
    """The virtual epochs of one trial.

    A virtual epoch is a whole number of optimizer steps. Where `count` samples are not a multiple of
    `step_samples`, the ends are rounded up one by one, so the error does not grow with their number.

    Args:
        unit: what `count` counts.
        count: steps, samples or epochs in one virtual epoch.
        step_samples: samples of one optimizer step (batch size times its micro-batches).
        epoch_samples: samples of one epoch over the training data; None when nobody knows.
        batch_samples: samples of one micro-batch where a last one of fewer samples ends each epoch although
            steps run on, as in a user's DataLoader; None where every micro-batch of these steps is full.

    Raises:
        ValueError: `count` is below 1, or epochs are asked for and `epoch_samples` is not known.
    """

    unit: Unit
    count: int
    step_samples: int
    epoch_samples: int | None
    batch_samples: int | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"virtual_epoch is {{{self.unit}: {self.count}}}; it must be 1 or more")
        if self.unit == "epochs" and self.epoch_samples is None:
            raise ValueError(
                f"virtual_epoch is {{epochs: {self.count}}} but the training data has no length; "
                "use {steps: N} or {samples: N}"
            )

    @property
    def steps_per_epoch(self) -> int | None:
        """Optimizer steps of one epoch whose last step takes what is left; None without a length."""
        return None if self.epoch_samples is None else _divided_up(self.epoch_samples, self.step_samples)

    def end_step(self, virtual_epoch: int) -> int:
        """Optimizer steps done when virtual epoch number `virtual_epoch` (from 1) ends."""
        if self.unit == "steps":
            return virtual_epoch * self.count
        if self.unit == "samples":
            # At least one step each, also where a step holds more samples than a virtual epoch.
            return max(virtual_epoch, self._steps_to(virtual_epoch * self.count))
        assert self.steps_per_epoch is not None
        return virtual_epoch * self.count * self.steps_per_epoch

    def step_size(self, step: int) -> int:
        """Training samples of optimizer step `step` (from 0)."""
        return self._samples_after(step + 1) - self._samples_after(step)

    def micro_batch_sizes(self, step: int, batch_size: int) -> list[int]:
        """Samples of the micro-batches of optimizer step `step` (from 0), each of `batch_size` at most."""
        whole, rest = divmod(self.step_size(step), batch_size)
        return [batch_size] * whole + [rest] * (rest > 0)

    def samples_at(self, virtual_epoch: int) -> int:
        """Training samples drawn when virtual epoch number `virtual_epoch` ends."""
        return self._samples_after(self.end_step(virtual_epoch))

    def _samples_after(self, num_steps: int) -> int:
        """Training samples of the first `num_steps` optimizer steps."""
        if self.unit == "epochs":
            assert self.epoch_samples is not None
            assert self.steps_per_epoch is not None
            epochs, rest = divmod(num_steps, self.steps_per_epoch)
            return epochs * self.epoch_samples + rest * self.step_samples
        if self.batch_samples is None:
            return num_steps * self.step_samples
        assert self.epoch_samples is not None
        batches_per_epoch = _divided_up(self.epoch_samples, self.batch_samples)
        epochs, rest = divmod(num_steps * self._batches_per_step, batches_per_epoch)
        return epochs * self.epoch_samples + rest * self.batch_samples

    def _steps_to(self, num_samples: int) -> int:
        """Optimizer steps after which at least `num_samples` are drawn."""
        if self.batch_samples is None:
            return _divided_up(num_samples, self.step_samples)
        assert self.epoch_samples is not None
        epochs, rest = divmod(num_samples, self.epoch_samples)
        batches = epochs * _divided_up(self.epoch_samples, self.batch_samples)
        return _divided_up(batches + _divided_up(rest, self.batch_samples), self._batches_per_step)

    @property
    def _batches_per_step(self) -> int:
        assert self.batch_samples is not None
        return self.step_samples // self.batch_samples

    def as_dict(self) -> dict[str, Any]:
        """The fields; `batch_samples` only where there is one, as runs before it had none."""
        return {key: value for key, value in asdict(self).items() if (key, value) != ("batch_samples", None)}


def _divided_up(number: int, by: int) -> int:
    """The quotient rounded up; exact also where a float is not."""
    return -(-number // by)
