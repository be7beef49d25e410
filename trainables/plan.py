"""What a process is told of a trial that it runs or continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainables.data.prepared import prepared_file
from trainables.data.virtual_epoch import Unit
from trainables.fence import ALONE, Job
from trainables.options import Mode

DataSplit = Literal["train", "train+val"]


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """All that a process needs to run or continue a trial; serializable as JSON."""

    number: int
    folder: str
    task: str
    """`package.module:Class`"""
    options: Mapping[str, Any]
    """The resolved `trial:` section; `${env:NAME}` in data paths is replaced where the trial begins."""
    unit: Unit
    count: int
    """Length of a virtual epoch: `count` steps, samples or epochs."""
    num_virtual_epochs: int
    """Full length of the trial."""
    metric: str
    mode: Mode
    window: int = 1
    """Successive virtual epochs whose mean says which one is the best, see `best_window`."""
    other_metrics: Sequence[str] = ()
    """More objectives of which each report needs a value."""
    job: Job = ALONE
    """Number of the trial's job that this is the plan of."""
    reported: int = 0
    """Virtual epochs whose reports have arrived; the next one is `reported + 1`."""
    checkpoint: int = 0
    """Virtual epoch of the newest checkpoint that must be there; 0 if it may begin without one."""
    checkpoint_every: int = 1
    checkpoint_keep: int = 2
    hparams: Mapping[str, Any] = field(default_factory=dict)
    """Searched parameters for TensorBoard's HParams."""
    num_threads: int = 1
    """Of torch in this process; 0 leaves them as they are."""
    gpu_fraction: float = 0.0
    """Share of the GPU's memory that this process may use, context included; 1 and above is all of it."""
    workers: int = 1
    """Processes that train it together."""
    pretrained: bool = True
    """Whether it begins from pretrained weights, where its options name some."""
    data: DataSplit = "train"
    measures: Sequence[str] = ()
    """What is measured of the model before the first step, see `trainables.measure`."""
    data_number: int = 0
    """Which of the data that its search has had; a checkpoint of others is not continued."""
    schedule: Sequence[Mapping[str, Any]] = ()
    """What the weights of a trial that went on from another one had gone through before, from their first
    step on: `trial`, `until` (virtual epoch), `params` and `options`; the last is the other trial."""
    timeout: float | None = None
    """Seconds that a virtual epoch may take."""
    storage: str = ""
    """Address under which the trial's checkpoints are kept too; empty where they are in its folder alone."""
    prepared: str | None = None
    """Folder of what the task prepared once for the whole run; None recomputes it."""
    working_folder: str = "."
    """Where the search was started; relative data paths and the user's tasks are found from there."""
    search_path: Sequence[str] = ()
    """More folders in which the user's modules are looked for, after the installed packages."""

    def __post_init__(self) -> None:
        session, number = self.job  # which JSON makes a list
        object.__setattr__(self, "job", (session, number))

    @property
    def prepared_file(self) -> Path | None:
        """In that folder, the file for this plan's task and data."""
        if self.prepared is None:
            return None
        return prepared_file(Path(self.prepared), self.task, self.options)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
