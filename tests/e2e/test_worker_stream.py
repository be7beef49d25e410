"""Batches made by worker processes: bit for bit those of the trial's own, and no process left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from patience import PATIENCE
from PIL import Image
from recorder import Recorder, optuna_study
from small_trials import assert_identical, everything, run, segmentation_plan
from tiny_tasks import search_config
from worker_sources import Asked, Faulty, Signed

from search.run.events import EventKind
from search.run.search import search as run_search
from trainables.data.source import JoinedSource
from trainables.data.stream import SampleStream
from trainables.session import TrialPlan, TrialSession


@pytest.fixture
def workers() -> Iterator[Any]:
    """Makes streams, and ends their workers."""
    made = []

    def make(source: Any = None, num_workers: int = 2, **options: Any) -> SampleStream:
        arguments = {"batch_size": 4, "seed": 5, **options}
        made.append(SampleStream(source or Asked(), num_workers=num_workers, **arguments))
        return made[-1]

    yield make
    for stream in made:
        stream.close()


def drawn(stream: SampleStream, num_steps: int) -> list[Any]:
    """Indices and random numbers of steps of two micro-batches."""
    return [stream.next_step(2) for _ in range(num_steps)]


def processes(stream: SampleStream, num_batches: int = 4) -> set[tuple[int, ...]]:
    """Id, torch's threads and decoding threads of the processes that make these batches."""
    return {tuple(stream.next_step(1)[0][2].tolist()) for _ in range(num_batches)}


@pytest.mark.parametrize(("num_workers", "whole_epochs"), [(1, True), (2, False)])
def test_batches_are_those_of_the_trials_own_process_at_any_position(workers, num_workers, whole_epochs):
    plain = SampleStream(Asked(), batch_size=4, seed=5, whole_epochs=whole_epochs)
    stream = workers(num_workers=num_workers, whole_epochs=whole_epochs)
    assert_identical(drawn(stream, 5), drawn(plain, 5))
    assert stream.state_dict() == plain.state_dict()
    resumed = workers(num_workers=3 - num_workers, whole_epochs=whole_epochs)
    resumed.load_state_dict(stream.state_dict())
    assert_identical(drawn(resumed, 3), drawn(plain, 3))
    assert resumed.epochs == plain.epochs


def test_a_running_stream_goes_where_it_is_told_and_on_after_it_was_closed(workers):
    stream = workers()
    saved, first = stream.state_dict(), drawn(stream, 2)
    stream.load_state_dict(saved)
    assert_identical(drawn(stream, 1), first[:1])
    stream.close()
    assert_identical(drawn(stream, 1), first[1:])


def test_workers_stay_have_one_thread_each_and_are_gone_after_close(workers):
    stream = workers(Signed())
    found = processes(stream)
    assert processes(stream) == found
    assert len(found) == 2
    assert os.getpid() not in {pid for pid, _, _ in found}
    assert {threads for _, *threads in found for threads in threads} == {1}
    stream.close()
    assert not any(Path("/proc", str(pid)).exists() for pid, _, _ in found)


def test_workers_end_with_a_killed_trial():
    """And so does the process that forked them: the pipe that all of them hold comes to its end."""
    code = """
import os, signal
from worker_sources import Signed
from trainables.data.stream import SampleStream
stream = SampleStream(Signed(), batch_size=4, seed=5, num_workers=2)
print({int(stream.next_step(1)[0][2][0]) for _ in range(4)}, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=PATIENCE)
    assert done.returncode == -signal.SIGKILL
    assert len(done.stdout.strip("{}\n").split(", ")) == 2


def test_the_random_state_of_the_process_is_left_alone(workers):
    before = torch.get_rng_state()
    drawn(workers(num_workers=1), 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_killed_worker_is_named_and_the_others_end(workers):
    stream = workers(Faulty("killed"))
    with pytest.raises(RuntimeError, match=r"^DataLoader worker \(pid(\(s\))? \d+\)"):
        drawn(stream, 6)
    assert stream._workers is None


def test_errors_of_the_source_are_told_as_they_are_or_with_their_trace(workers):
    with pytest.raises(ValueError, match=r"^sample 7 is cursed$"):
        drawn(workers(Faulty("value"), 1), 6)
    with pytest.raises(TypeError, match=r"(?s)in DataLoader worker process 0.*in batch.*sample 7 is cursed"):
        drawn(workers(Faulty("type"), 1), 6)


def test_joined_sources_are_read_by_workers_too(workers):
    joined = JoinedSource(Asked(), Asked())
    plain = SampleStream(joined, batch_size=4, seed=5)
    assert_identical(drawn(workers(joined, 1), 4), drawn(plain, 4))


# A trial on files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve images of several sizes, two classes."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 9), ("val", 3)):
        for kind in ("images", "masks"):
            (tmp_path / "data" / part / kind).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((16 + number, 20), np.uint8)
            mask[:, number : number + 6] = 1
            image = (mask[..., None] * 120 + rng.integers(0, 100, (*mask.shape, 3))).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / f"data/{part}/images/{number}.png")
            Image.fromarray(mask).save(tmp_path / f"data/{part}/masks/{number}.png")
    return tmp_path / "data"


def trial_options(root: Path, **data: Any) -> dict[str, Any]:
    return {
        "data": {"source": "folder", "root": str(root), "max_memory": 0, **data},
        "model": {"name": "unet", "width": 4, "depth": 1, "dropout": 0.3},
        "augment": {"crop": 16, "horizontal_flip": 0.5, "gamma": 0.2, "scale_min": 0.7, "scale_max": 1.4},
        "batch_size": 2,
        "accumulate": 2,
    }


def trial_plan(folder: Path, root: Path, **data: Any) -> TrialPlan:
    return segmentation_plan(folder, options=trial_options(root, **data), count=3, num_virtual_epochs=3)


def test_a_trial_is_the_same_with_any_number_of_workers_also_after_it_was_killed(tmp_path, root):
    alone = run(trial_plan(tmp_path / "alone", root))
    together = run(trial_plan(tmp_path / "together", root, workers=2))
    assert together.trainer.stream._num_workers == 2
    assert_identical(everything(together), everything(alone))

    killed = run(trial_plan(tmp_path / "killed", root, workers=2), 1)
    killed.trainer.stream.next_step(2)
    resumed = run(killed.plan)
    killed.trainer.stream.close()
    assert_identical(everything(resumed), everything(alone))
    assert resumed.trainer.stream._workers is None


def test_what_workers_skip_is_counted_once_for_all_of_them(tmp_path, root):
    def trial(name: str, **data: Any) -> TrialSession:
        session = TrialSession(trial_plan(tmp_path / name, root, bad_samples="skip", **data), None)
        (root / "train/images/3.png").write_bytes(b"")
        return session

    whole = (root / "train/images/3.png").read_bytes()
    sessions = {}
    for workers in (0, 2):
        (root / "train/images/3.png").write_bytes(whole)
        sessions[workers] = trial(f"{workers}", workers=workers, max_skipped=1)
        run_to_the_end(sessions[workers])
        sessions[workers].close()
    assert_identical(everything(sessions[2]), everything(sessions[0]))
    assert dict(sessions[2].trainer.task.skipped_samples) == dict(sessions[0].trainer.task.skipped_samples)
    assert list(sessions[2].trainer.task.skipped_samples) == [f"{root}/train/images/3.png"]


@pytest.mark.parametrize("limit", [0, 2])
def test_a_file_that_breaks_under_workers_fails_the_trial_with_its_name(tmp_path, root, limit):
    skip = {"bad_samples": "skip", "max_skipped": limit} if limit else {}
    session = TrialSession(trial_plan(tmp_path / "trial", root, workers=2, **skip), None)
    for number in range(limit + 1):
        (root / f"train/images/{number}.png").unlink()
    message = r"train/images/\d\.png: there is no such file" + (
        r"; 3 samples are wrong and" if limit else "$"
    )
    with pytest.raises(ValueError, match=message):
        run_to_the_end(session)
    assert session.trainer.stream._workers is None


def run_to_the_end(session: TrialSession) -> None:
    while not session.finished:
        session.next_report()


def test_data_that_fits_into_memory_needs_no_workers(tmp_path, root):
    session = TrialSession(trial_plan(tmp_path / "trial", root, workers=2, max_memory=2**20), None)
    assert session.trainer.stream._num_workers == 0


@pytest.mark.usefixtures("ray_session")
def test_a_search_with_workers_finds_what_a_trial_without_finds_and_leaves_no_process(tmp_path, root):
    config = search_config(
        task="segmentation",
        objective={"metric": "miou", "mode": "max"},
        trial={**trial_options(root, workers=1), "seed": {"choice": [0, 1]}},
        virtual_epoch={"steps": 3},
        sampler={"name": "grid", "seed": 0},
        budget={"trials": 2, "max_virtual_epochs": 2},
        scheduler={"name": "none"},
    )
    recorder = Recorder()
    summary = run_search(config, results=tmp_path / "results", reporter=recorder)
    assert summary.counts == {"completed": 2}
    assert not [event for event in recorder.events if event.kind is EventKind.RETRIED]
    for trial in optuna_study(summary.folder).trials:
        options = {**trial_options(root), "seed": trial.params["seed"]}
        plan = segmentation_plan(
            tmp_path / f"alone-{trial.number}", options=options, count=3, num_virtual_epochs=2
        )
        values = [record["miou"] for record in run(plan).history]
        assert list(trial.intermediate_values.values()) == values
    assert loaders() == []


def loaders() -> list[str]:
    """Processes below this one that were forked to load data: children of a process that only forks."""
    commands, parents = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                commands[int(folder.name)] = (folder / "cmdline").read_text()
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])

    def is_below(process: int) -> bool:
        return process == os.getpid() or (process in parents and is_below(parents[process]))

    forkers = {process for process, command in commands.items() if "multiprocessing.forkserver" in command}
    return [commands[process] for process in forkers if parents[process] in forkers and is_below(process)]
