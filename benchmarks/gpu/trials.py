"""Trials that share a GPU, through the real Ray; without one it is declared only."""

from __future__ import annotations

import gc
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import ray
import torch

import search
from benchmarks.gpu.check import Check, Context, Figure
from search.run.disk.folder import RunFolder
from search.run.outcome.summary import Summary
from search.study.reading import read_records
from search.study.trial import Outcome, TrialRecord
from trainables.process.failure import FailureKind
from trainables.process.process_state import clean_process
from trainables.session import TrialPlan
from trainables.workers.worker import TrialWorker

_TASK = "benchmarks.gpu.trial_tasks:HoldingTask"
_MANY, _WARM = 50, 10


def four_at_once(context: Context) -> Figure:
    """Processes that met inside one virtual epoch, each with its trial, each with most of its share taken."""
    with _meeting(4) as (folder, data), _ray(gpus=1):
        config = _config(data, {"hold": 0.15}, trials=4, share=0.25)
        summary = search.search(config, results=folder).summary
        notes = _notes(data)
    _require(summary.counts == {"completed": 4}, f"trials ended as {summary.counts}: {summary.failures}")
    return Figure(len(notes), "at once", least=4)


def too_much(context: Context) -> Figure:
    """A trial that asks for more than its share: attempts that it had."""
    with tempfile.TemporaryDirectory() as folder, _ray(gpus=1):
        holds = [0.01, 0.6, 0.02, 0.03]
        config = _config({"share": 0.25}, {"hold": {"choice": holds}}, trials=4, share=0.25)
        config |= {"sampler": {"name": "grid"}, "max_failures": 3}
        summary = search.search(config, results=folder).summary
        records = {r.params["model.hold"]: r for r in read_records(RunFolder(Path(summary.folder)).journal)}
        told = _told(summary)
    large, others = records.pop(0.6), list(records.values())
    _require(large.outcome is Outcome.OUT_OF_MEMORY, f"it ended as {large.outcome}: {large.reason}")
    _require("out of memory on the GPU at step" in large.reason, f"its reason is {large.reason!r}")
    kinds = [failure.kind for failure in large.failures]
    _require(kinds == [FailureKind.GPU_MEMORY], f"it was lost to {kinds}; one attempt was due")
    _require_undisturbed(others)
    state = told[large.number]
    _require(state == "PRUNED", f"the sampler was told {state}; PRUNED without a value is the worst there is")
    return Figure(len(kinds), "attempt", limit=1, least=1, note=large.reason)


def packed(context: Context) -> Figure:
    """Four trials with half a GPU each on two declared ones: the most that saw the same one."""
    with _meeting(4) as (folder, data), _ray(gpus=2):
        summary = search.search(_config(data, {}, trials=4, share=0.5), results=folder).summary
        notes = _notes(data)
    _require(summary.counts == {"completed": 4}, f"trials ended as {summary.counts}: {summary.failures}")
    seen = Counter(note["visible"] for note in notes)
    _require(
        set(seen) == {"0", "1"}, f"CUDA_VISIBLE_DEVICES were {dict(seen)}; 0 and 1, twice each, were due"
    )
    return Figure(max(seen.values()), "on a GPU", limit=2, note=str(dict(sorted(seen.items()))))


def growth(context: Context) -> Figure:
    """Memory that is in use after 50 trials in one process and was not after ten."""
    worker, held = TrialWorker(), {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(_MANY):
            worker.begin(_plan(Path(folder) / f"{number:04d}", context, number))
            for _ in range(2):
                worker.next_report()
            worker.end()
            clean_process()
            if number in (_WARM, _MANY - 1):
                held[number] = _held(context)
    first, last = held.values()
    unit = "bytes reserved" if context.on_gpu else "tensors"
    return Figure(last - first, unit, limit=0, note=f"{first:,} after {_WARM} trials, {last:,} after {_MANY}")


def _held(context: Context) -> int:
    """Bytes of the device that torch holds for this process; on a CPU the number of tensors."""
    if context.on_gpu:
        return torch.cuda.memory_reserved()
    gc.collect()
    # Only the type is looked at: some lazy modules import something when asked for an attribute.
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())


def _plan(folder: Path, context: Context, number: int) -> TrialPlan:
    return TrialPlan(
        number=number,
        folder=str(folder),
        task=_TASK,
        options={"batch_size": 32, "seed": number, "model": {"hold": 0.01}},
        unit="steps",
        count=3,
        num_virtual_epochs=2,
        metric="accuracy",
        mode="max",
        gpu_fraction=0.25 if context.on_gpu else 0.0,
        working_folder=str(Path.cwd()),
    )


def _config(
    data: Mapping[str, Any], model: Mapping[str, Any], *, trials: int, share: float
) -> dict[str, Any]:
    return {
        "name": "shared",
        "task": _TASK,
        "objective": {"metric": "accuracy", "mode": "max"},
        "trial": {"data": dict(data), "model": dict(model), "batch_size": 32},
        "virtual_epoch": {"steps": 5},
        "budget": {"trials": trials, "max_virtual_epochs": 1},
        "sampler": {"name": "random"},
        "scheduler": {"name": "none"},
        "resources": {"cpus_per_trial": 1, "gpus_per_trial": share},
    }


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _require_undisturbed(others: list[TrialRecord]) -> None:
    """They are alike but for the memory that they take, so their values are."""
    ends = [(record.outcome, record.failures, record.values) for record in others]
    _require(
        all(outcome is Outcome.COMPLETED and not lost for outcome, lost, _ in ends),
        f"its neighbours ended as {ends}; they must be completed at the first attempt",
    )
    _require(len({tuple(values) for _, _, values in ends}) == 1, f"values of equal trials differ: {ends}")


def _told(summary: Summary) -> dict[int, str]:
    """The state of each trial as the sampler reads it."""
    backend = optuna.storages.journal.JournalFileBackend(str(RunFolder(Path(summary.folder)).journal))
    (study,) = optuna.storages.JournalStorage(backend).get_all_studies()
    trials = optuna.storages.JournalStorage(backend).get_all_trials(study._study_id)
    return {trial.number: trial.state.name for trial in trials}


@contextmanager
def _meeting(processes: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A folder for a run, and data options with which so many trials meet."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "met"
        place.mkdir()
        yield folder, {"folder": str(place), "processes": processes, "share": 0.25}


def _notes(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in Path(data["folder"]).glob("*.json")]


@contextmanager
def _ray(gpus: int) -> Iterator[None]:
    """A local Ray with so many GPUs, there or not, and enough CPUs for four trials."""
    ray.init(
        "local",
        num_cpus=4,
        num_gpus=gpus,
        include_dashboard=False,
        configure_logging=False,
        log_to_driver=False,
    )
    try:
        yield
    finally:
        ray.shutdown()


CHECKS: list[Check] = [
    Check(
        name="trials/four",
        shows="four trials at 0.25 train at once through Ray, each within its share",
        run=four_at_once,
        seconds=100,
    ),
    Check(
        name="trials/too_much",
        shows="one that asks for more ends as out of memory, once, and no other is disturbed",
        run=too_much,
        seconds=100,
    ),
    Check(
        name="trials/packing",
        shows="two GPUs declared: two trials at 0.5 on each, by CUDA_VISIBLE_DEVICES",
        run=packed,
        seconds=100,
    ),
    Check(
        name="trials/growth",
        shows="memory is free again after each of 50 trials in one process",
        run=growth,
        seconds=90,
        fresh=True,
    ),
]
