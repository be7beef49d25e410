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

    Raises:
        ValueError: `count` is below 1, or epochs are asked for and `epoch_samples` is not known.
    """

    unit: Unit
    count: int
    step_samples: int
    epoch_samples: int | None

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
            return max(virtual_epoch, _divided_up(virtual_epoch * self.count, self.step_samples))
        assert self.steps_per_epoch is not None
        return virtual_epoch * self.count * self.steps_per_epoch

    def samples_at(self, virtual_epoch: int) -> int:
        """Training samples drawn when virtual epoch number `virtual_epoch` ends."""
        if self.unit == "epochs":
            assert self.epoch_samples is not None
            return virtual_epoch * self.count * self.epoch_samples
        return self.end_step(virtual_epoch) * self.step_samples

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _divided_up(number: int, by: int) -> int:
    """The quotient rounded up; exact also where a float is not."""
    return -(-number // by)
