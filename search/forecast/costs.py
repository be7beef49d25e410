"""What trials take, as a probe has measured it on some configurations of a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search.ray.hosts import Host
from trainables.data.virtual_epoch import VirtualEpochs


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """What one configuration takes."""

    params: Mapping[str, Any]
    lengths: VirtualEpochs
    """Of the search's virtual epochs, also where the probe's were shorter."""
    seconds: Sequence[float]
    """Wall time of virtual epochs with validation, checkpoint and what the executor does; one at least."""
    trained: float
    """Seconds of a virtual epoch by the trial's own report, which `budget.gpu_hours` counts."""
    checkpoint_bytes: float = 0.0
    """Of one checkpoint."""
    event_bytes: float = 0.0
    """Of what a virtual epoch leaves besides."""


@dataclass(frozen=True, kw_only=True)
class OverLimit:
    """One configuration over what `limits:` allow, which is not trained."""

    params: Mapping[str, Any]
    measured: Mapping[str, float]
    """Of its model."""
    reason: str
    """As `65.8k parameters of at most 2k`."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What the trials of a search take."""

    trials: Sequence[TrialCost]
    """One at least."""
    process_start: float = 0.0
    """Seconds until a process that runs trials trains its first one."""
    job_start: float = 0.0
    """Seconds from the end of a job to the training of the next one in the same process."""
    broken_off: float = 0.0
    """Share of the configurations within the limits that diverged or failed."""
    over_limit: Sequence[OverLimit] = ()
    """Those over the limit, of all that were `sampled`."""
    sampled: int = 1
    """Configurations of which is known whether they are over the limit; more than are over it."""
    fixed_bytes: float = 0.0
    """Of what a run's folder holds besides its trials."""
    hosts: Sequence[Host] = ()
    """Where trials run, which do not all take the same; empty where they do."""
    memory: Memory | None = None
    failures: Sequence[str] = field(default=())
    """Why configurations failed, each cause once."""

    @property
    def share_over_limit(self) -> float:
        """Share of the sampled configurations that were over the limit, below 1."""
        return len(self.over_limit) / self.sampled


@dataclass(frozen=True)
class Memory:
    """The most that one trial's process took."""

    process_bytes: float
    machine_bytes: float
    gpu_bytes: float | None = None
    """On its GPU, the context included; None without one."""
    gpu_total: float | None = None
