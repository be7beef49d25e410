"""What the driver of a search costs as the search grows: time and memory per trial, with the study on disk.

    python -m benchmarks.overhead.growth              100, 1,000 and 10,000 trials; five minutes
    python -m benchmarks.overhead.growth --sizes 100 1000 --samplers random tpe

prints two tables and writes growth.json beside it.

Coordinator, study, rule, sampler and the removal of checkpoints are those of a search; only the training is
made up: four workers, and learning curves a - b t^-c with noise, whose three numbers depend on the
parameters. There is no Ray here, so what Ray Tune costs comes on top (see run.py). One process grows a
study to the largest size with the first sampler. Other processes, one for each size and sampler, open a copy
of it at that size and ask for 40 further trials. Times are those of the processor, as far as nothing else is
said: other work on the machine and the wait for the disk are not in them.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import multiprocessing
import shutil
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measuring import command
from search.config.config import Config
from search.config.stages import load_config
from search.run.disk.folder import RunFolder
from search.run.events import Turn
from search.run.executors.simulated import SimulatedExecutor
from search.run.reporter import ProgressReporter
from search.run.stage import build_coordinator, watch
from search.study.trial import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs

CONFIG = Path(__file__).parents[2] / "configs" / "seg.yaml"
RESULTS = Path(__file__).with_suffix(".json")
WINDOW = 40
"""New trials whose asks are measured at a size."""
LENGTHS = VirtualEpochs(unit="steps", count=20, step_samples=16, epoch_samples=2000)


def configuration(num_trials: int, sampler: str, scheduler: str) -> Config:
    """The space of configs/seg.yaml, with its 27 virtual epochs, for so many trials without another limit."""
    limits = [f"budget.trials={num_trials}", "budget.full_trainings=null"]
    overrides = [*limits, f"sampler.name={sampler}"]
    return load_config(CONFIG, [*overrides, f"scheduler.name={scheduler}"]).first


def objective(record: TrialRecord, virtual_epoch: int) -> float:
    """A learning curve as real ones are: steep, then flat, with noise; it crosses those of other trials."""
    options = record.resolved.options
    best = -2.0 if options["optimizer"]["name"] == "adamw" else -0.7
    distance = math.log10(options["optimizer"]["lr"]) - best
    ceiling = 0.93 * math.exp(-(distance**2) / 2) + options["model"]["width"] / 800
    noise = zlib.crc32(f"{record.number} {virtual_epoch}".encode()) / 2**32 - 0.5
    return ceiling - 0.5 * virtual_epoch ** -(0.3 + 0.3 / (1 + distance**2)) + 0.02 * noise


@dataclass
class Timed:
    """Calls of one kind: seconds of the processor and of the wall."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def call(self, function: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        result = function()
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)
        return result

    def summary(self, last: int) -> dict[str, float]:
        """Milliseconds of the last so many calls."""
        cpu, wall = self.cpu[-last:], self.wall[-last:]
        return {
            "cpu_ms": 1000 * statistics.median(cpu),
            "cpu_ms_mean": 1000 * statistics.mean(cpu),
            "wall_ms": 1000 * statistics.median(wall),
            "wall_ms_90": 1000 * sorted(wall)[int(0.9 * (len(wall) - 1))],
        }


class Search:
    """A search in `folder` whose training is made up, on so many workers."""

    def __init__(self, folder: Path, config: Config, workers: int) -> None:
        run = RunFolder(folder)
        run.create()
        self._executor = SimulatedExecutor(
            objective,
            metric=config.objective.metric,
            lengths=lambda record: LENGTHS,
            workers=workers,
            pace=lambda number: self._pace(number),
        )
        self.coordinator = build_coordinator(config, run, workers)
        self.coordinator.recover()
        watch(self.coordinator, config, run, ProgressReporter())
        self.asks, self.promotions, self.reports = Timed(), Timed(), Timed()
        self._timed = TimedCoordinator(self)

    @property
    def num_trials(self) -> int:
        return len(self.coordinator.study.records)

    @property
    def num_virtual_epochs(self) -> int:
        return sum(record.depth for record in self.coordinator.study.records)

    def grow(self, num_trials: int) -> None:
        """Until so many trials have begun."""
        while self.num_trials < num_trials:
            self._executor.step(self._timed)  # type: ignore[arg-type]

    def _pace(self, number: int) -> float:
        record = self.coordinator.study.records[number]
        return 1 + float(record.resolved.options["model"]["width"]) / 16 + number % 7 / 10


class TimedCoordinator:
    """A coordinator whose answers are timed."""

    def __init__(self, search: Search) -> None:
        self._search, self.study, self.times = search, search.coordinator.study, search.coordinator.times

    def next_job(self) -> TrialRecord:
        search, turn, begun = self._search, Timed(), self._search.num_trials
        record = turn.call(search.coordinator.next_job)
        assert not isinstance(record, Turn), search.coordinator.ending
        kind = search.asks if search.num_trials > begun else search.promotions
        kind.cpu += turn.cpu
        kind.wall += turn.wall
        return record

    def on_report(self, number: int, report: Any, lengths: VirtualEpochs) -> bool:
        report = {**report, "seconds": 2.0 * report["virtual_epoch"]}
        on_report = self._search.coordinator.on_report
        return bool(self._search.reports.call(partial(on_report, number, report, lengths)))


def grow(folder: Path, sizes: list[int], sampler: str, scheduler: str, workers: int) -> list[dict[str, Any]]:
    """Grow one study to the largest size, and look at it at each; its journal at each stays in `folder`."""
    config = configuration(max(sizes) + 10 * WINDOW, sampler, scheduler)
    before = resident_bytes()
    search = Search(folder / "grown", config, workers)
    cpu, wall = time.process_time(), time.perf_counter()
    found = []
    for size in sizes:
        search.grow(size)
        journal = RunFolder(folder / "grown").journal
        spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        num_virtual_epochs = search.num_virtual_epochs
        found.append(
            {
                "trials": size,
                "virtual_epochs": num_virtual_epochs,
                "cpu_ms_per_trial": 1000 * spent["cpu"] / size,
                "wall_ms_per_trial": 1000 * spent["wall"] / size,
                "ask": search.asks.summary(WINDOW),
                "report": search.reports.summary(3 * WINDOW),
                "memory_per_virtual_epoch": (resident_bytes() - before) / num_virtual_epochs,
                "memory_per_trial": (resident_bytes() - before) / size,
                "journal_per_virtual_epoch": journal.stat().st_size / num_virtual_epochs,
            }
        )
        copy = folder / str(size)
        copy.mkdir()
        shutil.copyfile(journal, copy / journal.name)
    return found


def reopen(journal: Path, size: int, sampler: str, scheduler: str, workers: int) -> dict[str, Any]:
    """Open a grown study, as a resumed search does, and ask `sampler` for further trials."""
    config = configuration(size + 10 * WINDOW, sampler, scheduler)
    with tempfile.TemporaryDirectory(dir=journal.parent) as copy:
        shutil.copyfile(journal, Path(copy) / journal.name)
        before = resident_bytes()
        cpu, wall = time.process_time(), time.perf_counter()
        search = Search(Path(copy), config, workers)
        opened = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        memory = (resident_bytes() - before) / search.num_virtual_epochs
        search.grow(size + WINDOW)
    return {
        "trials": size,
        "sampler": sampler,
        "open": opened,
        "memory_per_virtual_epoch": memory,
        # The first asks of a process also import what they need.
        "ask": search.asks.summary(WINDOW - 5),
        "promotion": search.promotions.summary(WINDOW) if search.promotions.cpu else None,
        "report": search.reports.summary(2 * WINDOW),
    }


def resident_bytes() -> int:
    """Of this process, after what nobody holds any more is gone."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4096


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def growth_table(rows: list[dict[str, Any]]) -> str:
    head = f"{'trials':>7}{'virtual epochs':>16}{'ms a trial':>12}{'(wall)':>9}{'ask ms':>9}{'(wall)':>9}"
    head += f"{'report ms':>11}{'(wall)':>9}{'memory B/v.e.':>15}{'journal B/v.e.':>16}"
    lines = [head]
    for row in rows:
        line = f"{row['trials']:>7,}{row['virtual_epochs']:>16,}{row['cpu_ms_per_trial']:>12.2f}"
        line += f"{row['wall_ms_per_trial']:>9.2f}{row['ask']['cpu_ms']:>9.2f}{row['ask']['wall_ms']:>9.2f}"
        line += f"{row['report']['cpu_ms_mean']:>11.2f}{row['report']['wall_ms']:>9.2f}"
        line += f"{row['memory_per_virtual_epoch']:>15,.0f}{row['journal_per_virtual_epoch']:>16,.0f}"
        lines.append(line)
    return "\n".join(lines)


def reopening_table(rows: list[dict[str, Any]]) -> str:
    head = f"{'trials':>7}  {'sampler':<8}{'opened in s':>12}{'memory B/v.e.':>15}{'ask ms':>9}{'(wall)':>9}"
    lines = [f"{head}{'(wall, 9 of 10)':>17}{'report ms':>11}"]
    for row in rows:
        ask = row["ask"]
        line = f"{row['trials']:>7,}  {row['sampler']:<8}{row['open']['cpu_s']:>12.2f}"
        line += f"{row['memory_per_virtual_epoch']:>15,.0f}{ask['cpu_ms']:>9.2f}{ask['wall_ms']:>9.2f}"
        lines.append(f"{line}{ask['wall_ms_90']:>17.2f}{row['report']['cpu_ms_mean']:>11.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[100, 1_000, 10_000], help="numbers of trials"
    )
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"], help="the first grows the study")
    parser.add_argument("--scheduler", default="asha")
    parser.add_argument("--workers", type=int, default=4, help="trials at once")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    sizes = sorted(options.sizes)
    settings = options.scheduler, options.workers
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        folder = Path(name)
        grown = in_fresh_process(grow, folder, sizes, options.samplers[0], *settings)
        print(growth_table(grown), flush=True)
        reopened = []
        for size in sizes:
            for sampler in options.samplers:
                journal = folder / str(size) / "study.journal"
                reopened.append(in_fresh_process(reopen, journal, size, sampler, *settings))
        print()
        print(reopening_table(reopened))
    result = {
        "command": command(),
        "versions": {name: version(name) for name in ("optuna", "numpy", "torch")},
        "workers": options.workers,
        "window": WINDOW,
        "growth": grown,
        "reopened": reopened,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
