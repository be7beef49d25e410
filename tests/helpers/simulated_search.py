"""A search without Ray or training: the real study and coordinator, simulated workers, a virtual clock."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tiny_tasks import search_config

from search.config.config import Config
from search.config.objectives import window_of
from search.config.schema import Budget
from search.config.stages import load_config
from search.run.coordinator import Coordinator
from search.run.events import Event, EventKind
from search.run.executors.simulated import Curve, SimulatedExecutor
from search.samplers.build import sampler_of
from search.schedulers.base import Scheduler
from search.schedulers.build import build_scheduler
from search.space.space import Resolved
from search.study.study import JOURNAL, SearchStudy
from search.study.trial import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import FailureKind

RULES: dict[str, dict[str, Any]] = {
    "asha": {"scheduler": {"name": "asha"}},
    "asha_stop": {"scheduler": {"name": "asha_stop"}},
    "hyperband": {"scheduler": {"name": "hyperband"}},
    "median": {"scheduler": {"name": "median", "startup_trials": 2}},
    "percentile": {"scheduler": {"name": "percentile", "startup_trials": 2, "percentile": 40.0}},
    "plateau": {"scheduler": {"name": "none"}, "plateau": {"patience": 2, "min_delta": 0.05, "ema": 0.3}},
    "asha and plateau": {"scheduler": {"name": "asha"}, "plateau": {"patience": 2, "min_delta": 0.1}},
    "none": {"scheduler": {"name": "none"}},
}
"""By name, the sections that say which trials end early."""
NONE = {"name": "none"}
FALLING = [1.0 - number / 100 for number in range(30)]
"""Trial 0 is the best, each one after it worse."""

SPACE = {
    "model": {"hidden": {"choice": [8, 16, 32]}},
    "optimizer": {
        "choice": [
            {
                "name": "adamw",
                "lr": {"loguniform": [1e-4, 1e-1]},
                "weight_decay": {"loguniform": [1e-6, 1e-2]},
            },
            {"name": "sgd", "lr": {"loguniform": [1e-3, 1.0]}, "momentum": {"uniform": [0.0, 0.99]}},
        ]
    },
    "batch_size": 16,
}
"""A conditional space."""

FLAT_SPACE = {
    "model": {"hidden": {"choice": [8, 16, 32]}},
    "optimizer": {
        "name": "adamw",
        "lr": {"loguniform": [1e-4, 1e-1]},
        "weight_decay": {"loguniform": [1e-6, 1e-2]},
    },
    "batch_size": 16,
}


def config_of(space: Mapping[str, Any] = SPACE, **sections: Any) -> Config:
    """A loaded configuration over `space`."""
    return load_config(search_config(trial=space, **sections)).first


def learning_curve(record: TrialRecord, virtual_epoch: int) -> float:
    """Best at a learning rate of 0.01; wider models learn slower and end higher."""
    options: Resolved = record.resolved
    rate = math.log10(options.options["optimizer"]["lr"])
    width = options.options["model"]["hidden"]
    return (math.exp(-((rate + 2) ** 2)) + width / 100) * (1 - math.exp(-virtual_epoch * 4 / width))


def by_number(values: Sequence[float], gain: float = 0.0) -> Curve:
    """Trial n always shows values[n], and `gain` more with each virtual epoch."""
    return lambda record, virtual_epoch: values[record.number] + gain * virtual_epoch


def noisy(seed: int, length: int = 9) -> Curve:
    """Curves of trials that rise, cross and are noisy."""

    def curve(record: TrialRecord, virtual_epoch: int) -> float:
        level, gain = random.Random(1000 * seed + record.number).choices(range(10), k=2)
        noise = random.Random(f"{seed} {record.number} {virtual_epoch}").gauss(0, 0.5)
        return level + gain * virtual_epoch / length + noise

    return curve


class Simulation:
    """Runs a coordinator on a SimulatedExecutor; by default trial n takes 1 + n/1000 s for a virtual epoch.

    Args:
        folder: of the journal; one that is there is gone on with.
        limits: of the budget, and what a configuration says about failures, in the place of the given ones.
        faults, stale: see SimulatedExecutor.
        can_go_on: whether a trial that has ended has a checkpoint to go on from.
        history: trials of an older study.
        pace: seconds that a virtual epoch of trial n takes.
        starting: seconds that pass before a job of trial n trains.
        measured: of a trial's model before its first step.
    """

    def __init__(
        self,
        folder: Path,
        config: Config,
        curve: Curve = learning_curve,
        *,
        workers: int = 1,
        limits: Mapping[str, Any] | None = None,
        rule: Scheduler | None = None,
        lengths: Callable[[TrialRecord], VirtualEpochs] | None = None,
        faults: Callable[[int, int, int], FailureKind | None] = lambda number, virtual_epoch, attempt: None,
        stale: int = 0,
        can_go_on: Callable[[TrialRecord], bool] = lambda record: True,
        history: Sequence[TrialRecord] = (),
        pace: Callable[[int], float] = lambda number: 1 + number / 1000,
        starting: Callable[[int], float] = lambda number: 0.0,
        measured: Callable[[TrialRecord], Mapping[str, float]] = lambda record: {},
        has_room: Callable[[Sequence[int], int], bool] = lambda running, number: True,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.lengths = lengths or (
            lambda record: VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=1200)
        )
        self.config, self.rule = config, rule or build_scheduler(config)
        self.executor = SimulatedExecutor(
            curve,
            metric=config.objective.metric,
            lengths=self.lengths,
            workers=workers,
            pace=pace,
            starting=starting,
            faults=faults,
            measured=measured,
            stale=stale,
            has_room=has_room,
        )
        self.events: list[tuple[EventKind, int, int]] = []
        """Kind, trial, depth."""
        self.samples_at_pauses: list[tuple[int, int]] = []
        """Trial, samples."""
        self.study = open_study(folder, config, self.rule, history)
        self.coordinator = Coordinator(
            self.study,
            self.rule,
            with_limits(config, limits or {}),
            concurrency=workers,
            can_go_on=can_go_on,
            watch=self._watch,
            clock=self.executor.clock,
        )
        self.coordinator.recover()

    @property
    def records(self) -> list[TrialRecord]:
        return self.study.records

    def run(self, max_reports: int | None = None) -> Simulation:
        """Run to the end, or until so many virtual epochs have been computed; then drop this object."""
        reports = 0
        while max_reports is None or reports < max_reports:
            if not self.executor.step(self.coordinator):
                self.coordinator.close(resumable=False)
                return self
            reports += 1
        return self

    def step(self) -> None:
        """One virtual epoch of one worker."""
        self.run(max_reports=1)

    def _watch(self, event: Event) -> None:
        record = event.record
        self.events.append((event.kind, record.number, record.depth))
        if event.kind is EventKind.PAUSED:
            self.samples_at_pauses.append((record.number, record.samples))


def with_limits(config: Config, limits: Mapping[str, Any]) -> Config:
    """The configuration with other limits, as `budget.max_virtual_epochs` or `max_failures`."""
    limits = {"time" if name == "seconds" else name: value for name, value in limits.items()}
    budget = {name: value for name, value in limits.items() if name in Budget.model_fields}
    others = {name: value for name, value in limits.items() if name not in budget}
    return config.model_copy(update={"budget": config.budget.model_copy(update=budget), **others})


def open_study(
    folder: Path,
    config: Config,
    rule: Scheduler | None = None,
    history: Sequence[TrialRecord] = (),
    *,
    claim: bool = False,
) -> SearchStudy:
    scheduler = rule or build_scheduler(config)
    return SearchStudy(
        folder / JOURNAL,
        name=config.name,
        mode=config.objective.mode,
        space=config.space,
        sampler=lambda study: sampler_of(study, scheduler, config),
        history=history,
        window=window_of(config),
        claim=claim,
    )


def outcomes(records: Sequence[TrialRecord]) -> list[tuple[Any, ...]]:
    """All that a search came to, to compare with another."""
    return [(r.number, r.resolved.params, r.values, r.outcome, r.reason, r.steps, r.samples) for r in records]


_CREATE, _STATE, _VALUE = 4, 6, 7


def history(folder: Path) -> list[tuple[Any, ...]]:
    """Parameters, values and ends in the order in which the journal has them."""
    told: list[tuple[Any, ...]] = []
    for line in (folder / JOURNAL).read_text().splitlines():
        entry = json.loads(line)
        trial, operation = entry.get("trial_id"), entry["op_code"]
        if operation == _CREATE:
            told.append((entry["user_attrs"]["trial"], sorted(entry["params"].items())))
        elif operation == _VALUE:
            told.append((trial, entry["step"], entry["intermediate_value"]))
        elif operation == _STATE and entry["state"] != 0:
            told.append((trial, "ended", entry["state"], entry["values"]))
    return told


def assert_whole(folder: Path, records: Sequence[TrialRecord]) -> None:
    """Every trial ended once, with its virtual epochs 1 to n, each once."""
    told = history(folder)
    for record in records:
        mine = [entry[1:] for entry in told if entry[0] == record.trial_id]
        steps = [entry[0] for entry in mine if isinstance(entry[0], int)]
        assert steps == list(range(1, record.depth + 1))
        assert [entry[0] for entry in mine].count("ended") == 1
        assert record.outcome is not None


def cut_journal(whole: Path, folder: Path, num_lines: int, extra_bytes: int = 0) -> Path:
    """What a process leaves that is killed after so many writes, or in the middle of the next one."""
    lines = (whole / JOURNAL).read_bytes().splitlines(keepends=True)
    folder.mkdir(exist_ok=True)
    next_line = lines[num_lines][:extra_bytes] if extra_bytes else b""
    (folder / JOURNAL).write_bytes(b"".join(lines[:num_lines]) + next_line)
    return folder


def num_lines(folder: Path) -> int:
    return len((folder / JOURNAL).read_bytes().splitlines())
