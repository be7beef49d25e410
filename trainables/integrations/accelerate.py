"""accelerate in a training function: an Accelerator on the trial's device whose own state is the trial's.

>>> accelerator = accelerator_of(trial, gradient_accumulation_steps=4)
>>> model, optimizer = accelerator.prepare(model, optimizer)
>>> trial.track(model=model, optimizer=optimizer)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelerate import Accelerator

from trainables.function.trial import Trial


def accelerator_of(trial: Trial, **options: Any) -> Accelerator:
    """`Accelerator(**options)` on the trial's device; its gradient scaler and count of batches are tracked.

    Raises:
        ValueError: it would train in several processes.
    """
    accelerator = Accelerator(cpu=trial.device.type == "cpu", **options)
    if accelerator.num_processes > 1:
        raise ValueError(
            f"accelerate would train in {accelerator.num_processes} processes; a trial has one: leave out "
            "`accelerate launch`, and WORLD_SIZE"
        )
    trial.track(accelerator=_State(accelerator))
    return accelerator


class _State:
    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    def state_dict(self) -> dict[str, Any]:
        scaler = self._accelerator.scaler
        return {"step": self._accelerator.step, "scaler": {} if scaler is None else scaler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._accelerator.step = state["step"]
        if self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(state["scaler"])
