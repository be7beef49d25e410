"""Which job begins next where trials take unequal amounts: who waits for room, who gives way, who goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial
from simulated_search import Simulation
from tiny_tasks import search_config

from search.commands.plan import _note_of_sizes
from search.config.config import Config
from search.config.stages import load_config
from search.ray.hosts import Host
from search.run.coordinator import Coordinator
from search.run.disk.folder import RunFolder
from search.run.events import Turn
from search.run.executor import Jobs
from search.run.executors import placement
from search.run.executors.next_job import NextJob
from search.run.executors.placement import Placement, wait_for_hosts
from search.run.executors.ray_tune import StudyScheduler
from search.run.executors.room import Claim, has_room
from search.run.executors.running import RunningJob, RunningJobs
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.workers.trainable import RESULT, Result
from trainables.workers.worker import Started

SMALL, MIDDLE, LARGE = 8, 16, 32
LENGTHS = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=1200)


def host(number: int, cpus: float, gpus: float = 0) -> Host:
    resources = {"CPU": cpus, "GPU": gpus}
    return Host(resources, name=f"w{number}", address=f"10.0.0.{number}", node_id=f"id{number}")


def config_of(
    widths: list[int],
    large: dict[str, Any],
    middle: dict[str, Any] | None = None,
    time: str | None = None,
    **resources: Any,
) -> Config:
    """Trials of these widths in turn, of which the large ones take this."""
    points = [
        {"model.hidden": width, "optimizer.lr": 0.01 + 0.001 * number} for number, width in enumerate(widths)
    ]
    trial = {
        "model": {"hidden": {"choice": sorted({*widths, SMALL, LARGE})}},
        "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-3, 0.1]}},
        "batch_size": 16,
    }
    where = {LARGE: large} | ({MIDDLE: middle} if middle else {})
    return load_config(
        search_config(
            trial=trial,
            sampler={"name": "random", "points_to_evaluate": points},
            scheduler={"name": "none"},
            budget={"trials": len(widths), "max_virtual_epochs": 3} | ({"time": time} if time else {}),
            resources={"where": {"model.hidden": where}, **resources},
        )
    ).first


@dataclass
class Search:
    """What Ray is given of a search, and what it would tell of it."""

    config: Config
    hosts: list[Host]
    placed: Placement
    coordinator: Coordinator
    running: RunningJobs
    next_job: NextJob
    simulation: Simulation
    notes: list[str] = field(default_factory=list)

    def given(self) -> list[int]:
        """Numbers of the trials that Ray is given until there is none."""
        numbers = []
        while isinstance(job := self.next_job.job(), RunningJob):
            self.running[f"t{job.plan.number}"] = job
            numbers.append(job.plan.number)
        return numbers

    def job(self, number: int) -> RunningJob:
        return self.running[f"t{number}"]

    def begin(self, *hosts: int) -> None:
        """The jobs that have none have these hosts."""
        without = [job for job in self.running.values() if not job.node]
        for job, at in zip(without, hosts, strict=True):
            job.start(Result(started=Started(step=0, lengths=LENGTHS), actor=None, node=f"id{at}"))

    def end(self, number: int) -> None:
        """The trial's job ends, and its process gives back what it had."""
        self.coordinator.cut_off(self.coordinator.study.records[number])
        del self.running[f"t{number}"]

    def gives_way(self, number: int) -> bool:
        """Whether the job ends that has reported now."""
        job = self.job(number)
        job.ends = job.ends or self.running.makes_room(job, self.placed)
        return job.ends

    @property
    def waiting(self) -> list[int]:
        return [job.plan.number for job in self.running.waiting]


Begin = Callable[..., Search]


@pytest.fixture
def begin(tmp_path: Path, no_fsync: None, monkeypatch: pytest.MonkeyPatch) -> Begin:
    monkeypatch.setattr(placement, "_LOOK_SECONDS", 0.0)

    def made(hosts: list[Host], widths: list[int], large: dict[str, Any], **resources: Any) -> Search:
        config, notes = config_of(widths, large, **resources), list[str]()
        placed = Placement(config, lambda: list(hosts), note=notes.append)
        simulation = Simulation(tmp_path, config, workers=placed.concurrency)
        coordinator = simulation.coordinator
        jobs = Jobs(config=config, folder=RunFolder(tmp_path / "run"), shared={}, note=notes.append)
        running = RunningJobs()
        next_job = NextJob(coordinator, jobs, placed, running)
        return Search(config, hosts, placed, coordinator, running, next_job, simulation, notes)

    return made


def lose(search: Search, number: int) -> None:
    """A host is gone."""
    search.hosts[:] = [each for each in search.hosts if each.node_id != f"id{number}"]
    search.placed.look()
    search.coordinator.concurrency = search.placed.concurrency


def test_trials_whose_only_host_is_lost_keep_nobody_from_the_others_and_a_line_names_them(
    begin: Begin,
) -> None:
    search = begin([host(1, 2), host(2, 4)], [LARGE, LARGE, LARGE] + [SMALL] * 3, {"cpus_per_trial": 4})
    lose(search, 2)
    assert search.given() == [3, 4], "as many as there are CPUs"
    assert search.waiting == [0, 1, 2]
    assert search.notes[1:4] == [
        f"trial {number} (model.hidden 32) waits for a host that can hold it, and keeps no other one "
        "from running: cpus_per_trial is 4, there are 2"
        for number in range(3)
    ]
    search.begin(1, 1)
    assert not any(search.gives_way(number) for number in (3, 4)), "nothing is won by that"
    search.end(3)
    assert search.given() == [3]
    search.hosts.append(host(3, 4))
    search.placed.look()
    search.coordinator.concurrency = search.placed.concurrency
    assert search.given()[0] == 0
    assert len(search.notes) == 5, "each is told once, and so are hosts"


def test_no_end_of_trials_is_asked_for_while_their_host_is_away(begin: Begin) -> None:
    search = begin([host(1, 2), host(2, 4)], [LARGE] * 40, {"cpus_per_trial": 4})
    lose(search, 2)
    assert search.given() == []
    assert search.given() == []
    assert search.waiting == list(range(16))
    assert search.notes[-1] == "no trial runs, as 16 trials can have no room: Ctrl-C leaves"
    assert len(search.notes) == 1 + 16 + 1
    search.coordinator.end("Ctrl-C")
    assert search.next_job.job() is Turn.DONE
    assert search.waiting == []
    assert search.coordinator.running == []


def test_a_limit_ends_a_search_all_of_whose_hosts_are_lost(begin: Begin) -> None:
    search = begin([host(1, 4)], [LARGE, SMALL, LARGE], {"cpus_per_trial": 3}, time="10s")
    assert search.given() == [0, 1]
    lose(search, 1)
    assert search.next_job.job() is Turn.WAIT
    search.simulation.executor.now = 11.0
    assert search.next_job.job() is Turn.DONE


def test_a_job_that_waits_in_ray_for_a_host_that_is_lost_is_taken_back(begin: Begin) -> None:
    search = begin([host(1, 2), host(2, 4)], [LARGE, SMALL], {"cpus_per_trial": 4})
    assert search.given() == [0, 1]
    for name, job in search.running.items():
        job.trial = Trial(name, stub=True)
    lose(search, 2)
    stopped: list[Trial] = []

    class Controller:
        """Ray's own, of which only this is called."""

        def stop_trial(self, trial: Trial) -> None:
            stopped.append(trial)
            del search.running[trial.trainable_name]

    StudyScheduler(search.coordinator, search.placed, search.running).choose_trial_to_run(Controller())
    assert [trial.trainable_name for trial in stopped] == ["t0"]
    assert search.given() == []
    assert search.waiting == [0]
    assert search.coordinator.study.records[0].failures == []


def test_small_trials_begin_beside_a_large_one_that_another_large_one_keeps_waiting(begin: Begin) -> None:
    widths = [LARGE, SMALL, SMALL, LARGE, SMALL, SMALL]
    search = begin([host(1, 8)], widths, {"cpus_per_trial": 5})
    assert search.given() == [0, 1, 2, 4], "the large one that is second has no room, and nobody can make it"
    search.begin(1, 1, 1, 1)
    assert search.waiting == [3]
    assert not any(search.gives_way(number) for number in (1, 2, 4)), "they would give way for nothing"
    search.end(1)
    assert search.given() == [1]
    search.begin(1)
    search.end(0)
    assert search.given()[0] == 3


def test_no_more_trials_are_decided_than_could_run_at_once_if_all_were_small(begin: Begin) -> None:
    search = begin([host(1, 4)], [LARGE] * 8 + [SMALL], {"cpus_per_trial": 3})
    assert search.given() == [0]
    assert search.waiting == [1, 2, 3], "the sampler knows no values of four trials, as without where"
    assert search.notes == [f"trial {number} (model.hidden 32) waits for room" for number in (1, 2, 3)]
    search.end(0)
    assert search.given() == [1]
    assert search.waiting == [2, 3, 0]


def test_small_trials_give_way_once_room_can_be_made(begin: Begin) -> None:
    of_gpu = {"cpus_per_trial": 3, "gpus_per_trial": 1}
    widths = [MIDDLE, SMALL, LARGE, SMALL, SMALL, SMALL, SMALL]
    search = begin([host(1, 8, 1)], widths, {"cpus_per_trial": 6}, middle=of_gpu)
    assert search.given() == [0, 1, 3, 4, 5, 6]
    search.begin(1, 1, 1, 1, 1, 1)
    assert search.waiting == [2]
    assert not search.gives_way(1), "beside the one with the GPU there is no room however many end"
    search.end(0)
    assert search.given() == [], "what ends leaves room for the large one alone"
    assert [search.gives_way(number) for number in (1, 3, 4, 5, 6)] == [True] * 3 + [False] * 2
    for number in (1, 3, 4):
        search.end(number)
    assert search.given()[0] == 2


def test_other_hosts_go_on_while_a_large_trial_waits_for_the_only_one_that_can_hold_it(begin: Begin) -> None:
    search = begin([host(1, 4), host(2, 2)], [LARGE, SMALL, LARGE, SMALL, SMALL], {"cpus_per_trial": 4})
    assert search.given() == [0, 1, 3]
    search.begin(1, 2, 2)
    search.end(1)
    assert search.given() == [1]


def test_a_host_where_the_trial_was_lost_is_no_room_for_it(begin: Begin) -> None:
    search = begin([host(1, 2), host(2, 2)], [SMALL, SMALL, LARGE], {"cpus_per_trial": 2})
    search.placed.lost(2, search.hosts[0])
    first = [search.next_job.job() for _ in range(2)]
    for number, job in enumerate(first):
        assert isinstance(job, RunningJob)
        search.running[f"t{number}"] = job
    search.begin(2, 2)
    assert search.given() == []
    assert search.waiting == [2], "the other host has two free CPUs"
    assert search.gives_way(0)


def test_jobs_on_a_host_that_is_leaving_take_nothing_of_others() -> None:
    there = [Claim({"CPU": 1}, node="id9")] * 4
    assert has_room([host(2, 2)], there, Claim({"CPU": 2}))


def test_several_processes_of_a_job_that_does_not_fit_take_nothing() -> None:
    assert has_room([host(1, 2)], [Claim({"CPU": 1}, workers=3)], Claim({"CPU": 2}))


def test_a_job_that_ray_finds_no_room_for_gets_it_from_smaller_ones(begin: Begin) -> None:
    search = begin([host(1, 8, 2)], [SMALL, SMALL, LARGE], {"gpus_per_trial": 1}, gpus_per_trial=0.5)
    assert search.given() == [0, 1, 2], "as if the small ones were on one GPU"
    small = [search.job(number) for number in (0, 1)]
    for job in small:
        job.start(Result(started=Started(step=0, lengths=LENGTHS), actor=None, node="id1"))
    assert not search.gives_way(0)
    for _ in range(60):
        search.job(2).tick(1.0)
    assert search.gives_way(0)
    assert not search.gives_way(1), "one after another"
    search.end(0)
    assert search.given() == [], "it would take the half again"
    search.begin(1)
    assert search.given() == [0]


def test_that_a_trial_has_waited_is_no_part_of_its_start(begin: Begin) -> None:
    search = begin([host(1, 2)], [SMALL, LARGE], {"cpus_per_trial": 2})
    assert search.given() == [0]
    search.begin(1)
    assert search.waiting == [1]
    search.simulation.executor.now = 1000.0
    search.coordinator.slowest = 500.0
    assert search.gives_way(0)
    search.end(0)
    assert search.given() == [1]
    search.simulation.executor.now = 1003.0
    report = {"virtual_epoch": 1, "seconds": 2.0, search.config.objective.metric: 0.5}
    search.coordinator.on_report(1, report, LENGTHS)
    assert search.coordinator.study.records[1].times.start_ms == 1000
    assert search.job(1).plan.timeout == search.coordinator.timeout, "by the virtual epochs of now"


def test_a_trial_gives_way_after_a_virtual_epoch_and_not_when_its_model_is_measured(begin: Begin) -> None:
    search = begin([host(1, 2)], [SMALL, LARGE], {"cpus_per_trial": 2})
    search.given()
    search.begin(1)
    trial = Trial("t0", stub=True, trial_id="t0")
    scheduler = StudyScheduler(search.coordinator, search.placed, search.running)
    measured = {"measured": {"parameters": 10.0}, "step": 0, "saved": True}
    assert scheduler.on_trial_result(None, trial, {RESULT: Result(report=measured)}) == "CONTINUE"
    metric = search.config.objective.metric
    trained = {"virtual_epoch": 1, "seconds": 1.0, metric: 0.5, "step": 5, "saved": True}
    assert scheduler.on_trial_result(None, trial, {RESULT: Result(report=trained)}) == "STOP"


def test_hosts_for_one_size_and_then_those_for_another_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_WAIT_SECONDS", 0.0)
    first, second = {"accelerator": "A100"}, {"accelerator": "H100"}
    resources: dict[str, Any] = {"gpus_per_trial": 1, "concurrent_trials": 2}
    config = config_of([SMALL, MIDDLE, LARGE], second, middle=first, **resources)
    asked: list[str] = []
    kinds = ["accelerator_type:A100", "accelerator_type:H100"]

    @contextmanager
    def ask(resources: Mapping[str, float], number: int) -> Iterator[None]:
        asked.append(" ".join([*resources, str(number)]))
        yield

    def look() -> list[Host]:
        """For each question that was asked there is one more host."""
        return [Host({"CPU": 4, "GPU": 1, kind: 1}, node_id=kind) for kind in kinds[: len(asked)]]

    wait_for_hosts(config, lambda line: None, look, lambda: "", ask)
    assert asked == ["CPU GPU 2", "CPU GPU accelerator_type:H100 2"]


@pytest.mark.usefixtures("no_fsync")
def test_a_simulated_trial_that_waits_for_room_does_not_begin_when_the_search_ends(tmp_path: Path) -> None:
    config = config_of([SMALL, LARGE], {"cpus_per_trial": 2})
    simulation = Simulation(tmp_path, config, workers=2, has_room=lambda running, number: not running)
    simulation.step()
    assert [record.number for record in simulation.coordinator.running] == [0, 1]
    simulation.coordinator.end("Ctrl-C")
    simulation.run()
    assert [record.depth for record in simulation.records] == [2, 0]
    assert simulation.coordinator.running == []


def test_a_plan_says_of_the_sizes_what_was_simulated() -> None:
    (measured,), (first_only,) = (
        _note_of_sizes("2 with other values, 1 with model.hidden 32", simulated=simulated)
        for simulated in (True, False)
    )
    assert "a large one was simulated to wait until others end" in measured
    assert "all were simulated to be as small as the first, which alone was measured" in first_only
    assert list(_note_of_sizes("", simulated=False)) == []
