"""Searches as jobs of a real SLURM, whose nodes are hosts of namespaces."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_runs import held, sections_with
from in_process import search_locally
from invariants import assert_nothing_lost, assert_same_search
from patience import PATIENCE
from programs import PROGRAM, WINDING_DOWN, write_config
from slurm import Slurm, slurm_of_hosts
from tiny_tasks import search_config

from search.study.reading import read_records

pytestmark = pytest.mark.timeout(1800)  # a start of each job takes seconds, and a minute on busy cores


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Two nodes of two CPUs, and a controller."""
    with slurm_of_hosts(tmp_path_factory.mktemp("slurm"), workers=2, cpus=2) as slurm:
        yield slurm


@pytest.fixture
def folder(slurm: Slurm, tmp_path: Path) -> Path:
    """One that all nodes have, with signs in its path that sbatch has a meaning for."""
    folder = slurm.folder / f"my 100% {tmp_path.name}"
    folder.mkdir()
    return folder


def submit(slurm: Slurm, config: Path, options: str) -> str:
    """Submit a search; returns its job's id."""
    output = slurm.output(*words(config, options))
    found = re.match(r"submitted job (\d+): 5 min 00 s before its time limit", output)
    assert found, output
    return found[1]


def words(config: Path, options: str) -> list[str]:
    return [*PROGRAM, "submit", str(config), "--slurm", options, "--results", str(config.parent / "results")]


def wait_for_line(file: Path, text: str) -> str:
    """Wait until the job's output has a line with this text; returns all of it."""
    deadline = time.monotonic() + PATIENCE
    while text not in (output := file.read_text(encoding="utf-8") if file.exists() else ""):
        assert time.monotonic() < deadline, output
        time.sleep(0.1)
    return output


@pytest.mark.slow  # each start of a job begins a Ray: minutes on busy cores
def test_a_job_that_comes_to_its_limit_is_requeued_and_the_search_ends_as_if_nothing_had_been(
    slurm: Slurm, folder: Path
) -> None:
    hold = folder / "hold"
    sections = sections_with(hold)
    config, run = write_config(folder, **sections), folder / "results" / "digits"
    with held(hold):
        job = submit(slurm, config, "-N2 -t 30")
        output = run / "slurm" / f"{job}.out"
        wait_for_line(output, "trial 0 started")
        slurm.output("scancel", "--batch", "--signal=USR1", job)  # as SLURM sends it near the limit
        wait_for_line(output, WINDING_DOWN)
    slurm.wait_for(job, "COMPLETED")
    said = output.read_text(encoding="utf-8")
    assert "looking at 2 hosts" in said
    assert "the job is queued again, and its next start goes on with the search" in said
    assert "Restarts=1 " in slurm.told(job)
    assert_nothing_lost(run)
    calm = search_locally(search_config(**sections), results=folder / "calm")
    assert_same_search(Path(calm.folder), run, calm.best.checkpoint)


@pytest.mark.slow  # each start of a job begins a Ray: minutes on busy cores
def test_a_job_that_is_told_to_end_saves_the_search_and_the_next_one_goes_on(
    slurm: Slurm, folder: Path
) -> None:
    hold = folder / "hold"
    config, run = write_config(folder, **sections_with(hold)), folder / "results" / "digits"
    with held(hold):
        job = submit(slurm, config, "-N1 -c2 -t 30")
        wait_for_line(run / "slurm" / f"{job}.out", "trial 0 started")
        again = slurm.run(*words(config, "-N1 -t 30"))
        assert again.returncode == 1
        assert re.search(
            rf"job {job} of .* is RUNNING; scancel {job} ends it|belongs to a running search", again.stderr
        )
        slurm.output("scancel", "--batch", "--signal=TERM", job)
        wait_for_line(run / "slurm" / f"{job}.out", WINDING_DOWN)
    slurm.wait_for(job, "FAILED")
    assert "ExitCode=143:0" in slurm.told(job)
    assert [record.depth for record in read_records(run / "study.journal")] == [1]
    job = submit(slurm, config, "-N1 -c2 -t 30")
    slurm.wait_for(job, "COMPLETED")
    assert_nothing_lost(run)


def test_a_job_that_is_cancelled_ends_and_is_not_requeued(slurm: Slurm, folder: Path) -> None:
    hold = folder / "hold"
    config, run = write_config(folder, **sections_with(hold)), folder / "results" / "digits"
    with held(hold):
        job = submit(slurm, config, """-N1 -t 30 --comment='it is "it" # here'""")
        assert 'Comment=it is "it" # here' in slurm.told(job)
        wait_for_line(run / "slurm" / f"{job}.out", "trial 0 started")
        slurm.output("scancel", job)
        slurm.wait_for(job, "CANCELLED")
    assert "Restarts=0 " in slurm.told(job)


@pytest.mark.slow
def test_two_jobs_on_the_same_nodes_have_a_ray_each_and_trials_on_both_nodes(
    slurm: Slurm, folder: Path
) -> None:
    jobs = {}
    for name in ("one", "other"):
        home = folder / name
        home.mkdir()
        (home / "met").mkdir()
        trial = search_config()["trial"] | {"data": {"folder": str(home / "met"), "hosts": 2}}
        sections = {"task": "host_tasks:MeetingTask", "trial": trial, "scheduler": {"name": "none"}}
        config = write_config(home, budget={"trials": 2, "max_virtual_epochs": 2}, **sections)
        jobs[name] = submit(slurm, config, "-N2 -c1 -t 30")
    for name, job in jobs.items():
        slurm.wait_for(job, "COMPLETED")
        assert {file.name for file in (folder / name / "met").iterdir()} == {"w1", "w2"}
        assert_nothing_lost(folder / name / "results" / "digits")
    starts = [re.search("StartTime=(\\S+) EndTime=(\\S+)", slurm.told(job)) for job in jobs.values()]
    (begin, end), (begin_other, end_other) = [found.groups() for found in starts if found]
    assert max(begin, begin_other) < min(end, end_other)


def test_what_sbatch_says_of_options_that_it_refuses_is_told(slurm: Slurm, folder: Path) -> None:
    done = slurm.run(*words(write_config(folder), "-p nowhere -t 30"))
    assert done.returncode == 1
    assert "sbatch refuses the job: invalid partition specified: nowhere" in done.stderr
    assert "slurm/job.sbatch" in done.stderr
