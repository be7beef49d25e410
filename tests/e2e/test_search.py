"""Whole searches, most on Ray: processes of their own, pausing, promotion, a shared GPU, what is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from in_process import resume_locally, search_locally
from recorder import Recorder, optuna_study
from tiny_tasks import search_config

from search.errors import ConfigError, SearchError
from search.run.coordinator import Coordinator
from search.run.events import Event, EventKind
from search.run.outcome.summary import Summary
from search.run.reporter import ProgressReporter
from search.run.search import search as run_search
from trainables.checkpoints.checkpoint import list_checkpoints

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture(scope="module")
def ray_run(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """The summary of a search on Ray that went to its end; look at it, change nothing."""
    return run_search(search_config(), results=tmp_path_factory.mktemp("results"))


def test_the_summary_is_what_the_study_holds(ray_run: Summary) -> None:
    study = optuna_study(ray_run.folder)
    values = {t.number: t.intermediate_values for t in study.trials}
    assert ray_run.status == "complete"
    assert len(values) == ray_run.trials == sum(ray_run.counts.values()) == 9
    assert all(sorted(v) == list(range(1, len(v) + 1)) for v in values.values())
    best = ray_run.best
    assert best is not None
    of_two = {
        n: max((v[e] + v[e - 1]) / 2 for e in range(2, len(v) + 1)) for n, v in values.items() if len(v) > 1
    }
    assert best.window == 2
    assert best.mean == pytest.approx(max(of_two.values())) == of_two[best.trial]
    assert values[best.trial][best.virtual_epoch] == best.value
    assert best.step == best.virtual_epoch * 5
    assert ray_run.steps == 5 * sum(len(v) for v in values.values())
    assert ray_run.steps_saved == 9 * 9 * 5 - ray_run.steps
    assert json.loads((Path(ray_run.folder) / "summary.json").read_text()) == ray_run.as_dict()


def test_every_trial_is_told_to_optuna_and_one_is_trained_to_the_end(ray_run: Summary) -> None:
    trials = optuna_study(ray_run.folder).trials
    states = [trial.state.name for trial in trials]
    assert set(states) == {"COMPLETE", "PRUNED"}
    assert all(len(t.intermediate_values) == 9 for t in trials if t.state.name == "COMPLETE")
    assert all(len(t.intermediate_values) in (1, 3) for t in trials if t.state.name == "PRUNED")


def test_a_run_leaves_no_scratch_lock_or_partial_file(ray_run: Summary) -> None:
    folder = Path(ray_run.folder)
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.yaml",
        "data.fingerprint",
        "provenance.json",
        "study.journal",
        "summary.json",
        "trials",
    ]
    assert [p for p in folder.rglob("*") if p.name.startswith(".") or "partial" in p.name] == []


def test_the_best_checkpoint_is_kept_and_is_that_of_the_summary(ray_run: Summary) -> None:
    assert ray_run.best is not None
    manifest = json.loads((Path(ray_run.folder) / ray_run.best.checkpoint / "manifest.json").read_text())
    record = manifest["info"]["history"][-1]
    assert record["accuracy"] == ray_run.best.value
    assert record["virtual_epoch"] == ray_run.best.virtual_epoch


def test_paused_trials_are_promoted_and_go_on_in_few_processes(tmp_path: Path) -> None:
    (tmp_path / "processes").mkdir()
    recorder = Recorder()
    config = search_config(
        task="tiny_tasks:RendezvousTask",
        trial={
            "data": {"folder": str(tmp_path / "processes"), "processes": 2},
            "optimizer": {"lr": {"loguniform": [1e-4, 1e-1]}},
        },
        virtual_epoch={"steps": 20},
        budget={"trials": 27, "max_virtual_epochs": 9},
    )
    summary = run_search(config, results=tmp_path, reporter=recorder)
    assert summary.status == "complete"
    assert recorder.kinds().count(EventKind.PAUSED) >= 27
    assert recorder.kinds().count(EventKind.PROMOTED) >= 9
    for number, reports in recorder.reports.items():
        assert [depth for depth, _ in reports] == list(range(1, len(reports) + 1)), number
    processes = {number: {process for _, process in reports} for number, reports in recorder.reports.items()}
    # Some 40 jobs, and processes are not started for each.
    assert len(set.union(*processes.values())) <= 4


class PromotionRecorder(ProgressReporter):
    """Whether each promoted trial had a checkpoint of all its virtual epochs, and the checkpoints of Ray."""

    def __init__(self) -> None:
        self.complete: list[bool] = []
        self.asked_for: set[Path] = set()

    def begin(self, coordinator: Coordinator, config: Any, folder: Any) -> None:
        self._folder = folder

    def event(self, event: Event) -> None:
        self.asked_for |= set(self._folder.scratch.rglob("checkpoint_0*"))
        if event.kind is EventKind.PROMOTED:
            newest = list_checkpoints(self._folder.trial(event.record.number))[-1]
            self.complete.append(newest == event.record.depth)


@pytest.mark.parametrize("every", [1, 100])
def test_only_a_trial_that_is_not_saved_yet_is_asked_to_save_when_it_pauses(
    tmp_path: Path, every: int
) -> None:
    """With the share of epochs to be made small the first virtual epoch is the best, and the others are not
    saved by themselves.
    """
    recorder = PromotionRecorder()
    config = search_config(
        objective={"metric": "epoch", "mode": "min"},
        virtual_epoch={"steps": 2},
        checkpoint={"every": every},
        scheduler={"name": "asha", "grace_period": 2},
    )
    assert run_search(config, results=tmp_path, reporter=recorder).status == "complete"
    assert recorder.complete
    assert all(recorder.complete)
    assert bool(recorder.asked_for) == (every > 1)


def test_four_trials_share_one_gpu(tmp_path: Path) -> None:
    """No virtual epoch ends before four processes are there, each with a trial of its own."""
    (tmp_path / "processes").mkdir()
    recorder = Recorder()
    config = search_config(
        task="tiny_tasks:RendezvousTask",
        trial={
            "data": {"folder": str(tmp_path / "processes"), "processes": 4},
            "optimizer": {"lr": {"loguniform": [1e-4, 1e-1]}},
        },
        resources={"cpus_per_trial": 0.5, "gpus_per_trial": 0.25},
        budget={"trials": 4, "max_virtual_epochs": 1},
    )
    summary = run_search(config, results=tmp_path, reporter=recorder)
    assert summary.counts == {"completed": 4}
    assert recorder.most_running == 4
    if not torch.cuda.is_available():
        said = [event.text for event in recorder.events if event.kind is EventKind.MESSAGE]
        assert len(said) == 4
        assert all("gpus_per_trial is 0.25, and the trial is trained on the CPU: " in text for text in said)
    assert len(list((tmp_path / "processes").iterdir())) == 4


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"cpus_per_trial": 64}, "cpus_per_trial is 64, there are 2"),
        ({"gpus_per_trial": 16}, "workers_per_trial is 16: each takes 1 CPUs and 1 GPUs, and there is room"),
    ],
)
def test_more_than_there_is_stops_before_anything_starts(
    tmp_path: Path, resources: dict[str, float], message: str
) -> None:
    with pytest.raises(SearchError, match=message):
        run_search(search_config(task="rank_tasks:SharedDigits", resources=resources), results=tmp_path)
    assert not list(tmp_path.glob("digits/trials/*"))


def test_the_same_seed_one_at_a_time_gives_the_same_trials(tmp_path: Path) -> None:
    config = search_config(
        resources={"cpus_per_trial": 1, "concurrent_trials": 1},
        budget={"trials": 12, "max_virtual_epochs": 3},
    )
    runs = []
    for name in ("a", "b"):
        summary = search_locally(config, results=tmp_path, name=name)
        runs.append([(t.params, t.intermediate_values, t.state) for t in optuna_study(summary.folder).trials])
    assert runs[0] == runs[1]


def test_a_finished_search_is_left_alone_and_grows_when_asked(tmp_path: Path) -> None:
    config = search_config(budget={"trials": 4, "max_virtual_epochs": 3})
    first = search_locally(config, results=tmp_path)
    again = search_locally(config, results=tmp_path)
    assert (again.trials, again.steps, again.best) == (first.trials, first.steps, first.best)
    before = optuna_study(first.folder).trials
    grown = resume_locally(first.folder, overrides=["budget.trials=7"])
    assert grown.trials == 7
    assert optuna_study(first.folder).trials[:4] == before


def test_a_run_is_not_continued_with_another_objective(tmp_path: Path) -> None:
    search_locally(search_config(budget={"trials": 1, "max_virtual_epochs": 1}), results=tmp_path)
    other = search_config(
        budget={"trials": 1, "max_virtual_epochs": 1}, objective={"metric": "valid_loss", "mode": "min"}
    )
    with pytest.raises(ConfigError) as caught:
        search_locally(other, results=tmp_path)
    assert "objective.metric: was 'accuracy' when this search began and is 'valid_loss' now" in str(
        caught.value
    )


@pytest.mark.parametrize("scheduler", ["hyperband", "none"])
def test_a_stopping_scheduler_completes_a_search(tmp_path: Path, scheduler: str) -> None:
    config = search_config(
        budget={"trials": 8, "max_virtual_epochs": 4},
        scheduler={"name": scheduler},
        sampler={"name": "random", "seed": 3},
    )
    summary = search_locally(config, results=tmp_path)
    assert summary.status == "complete"
    assert summary.trials == 8
    assert set(summary.counts) <= {"completed", "stopped"}
    assert summary.counts["completed"] >= 1


@pytest.mark.parametrize("sampler", ["qmc", "grid"])
def test_another_sampler_completes_a_search(tmp_path: Path, sampler: str) -> None:
    config = search_config(
        budget={"trials": 6, "max_virtual_epochs": 1}, sampler={"name": sampler, "seed": 0}
    )
    if sampler == "grid":
        config["trial"]["optimizer"] = {"name": "adamw", "lr": {"choice": [1e-3, 1e-2]}}
    summary = search_locally(config, results=tmp_path)
    params = [json.dumps(t.params) for t in optuna_study(summary.folder).trials]
    assert summary.trials == len(set(params)) == 6


def test_known_good_points_come_first(tmp_path: Path) -> None:
    config = search_config(
        budget={"trials": 3, "max_virtual_epochs": 1},
        sampler={
            "name": "tpe",
            "seed": 0,
            "points_to_evaluate": [{"model": {"hidden": 16}, "optimizer": {"lr": 0.02}}],
        },
    )
    summary = search_locally(config, results=tmp_path)
    assert optuna_study(summary.folder).trials[0].params == {"model.hidden": 16, "optimizer.lr": 0.02}


def test_a_step_limit_ends_the_search_and_says_so(tmp_path: Path) -> None:
    config = search_config(budget={"trials": 50, "max_virtual_epochs": 9, "steps": 100})
    summary = search_locally(config, results=tmp_path)
    assert summary.reason == "step limit; the best trial is fully trained"
    assert 60 <= summary.steps <= 100


def test_a_diverging_trial_ends_with_its_step_and_is_never_best(tmp_path: Path) -> None:
    config = search_config(
        trial={"optimizer": {"name": "sgd", "lr": {"choice": [0.1, 1e20]}}, "batch_size": 16},
        sampler={"name": "grid", "seed": 0},
        budget={"trials": 2, "max_virtual_epochs": 3},
    )
    summary = search_locally(config, results=tmp_path)
    diverged = next(t for t in optuna_study(summary.folder).trials if t.params["optimizer.lr"] == 1e20)
    assert summary.counts["diverged"] == 1
    assert summary.best is not None
    assert summary.best.trial != diverged.number
    assert "step" in diverged.user_attrs["reason"]
    assert "loss" in diverged.user_attrs["reason"]


def test_a_failing_trial_is_tried_again_then_named_and_the_others_go_on(tmp_path: Path) -> None:
    config = search_config(
        task="tiny_tasks:FailingTask",
        trial={"model": {"fail_at": {"choice": [0, 2]}}, "batch_size": 16},
        sampler={"name": "grid", "seed": 0},
        budget={"trials": 2, "max_virtual_epochs": 3},
        scheduler={"name": "none"},
        max_failures=1,
    )
    recorder = Recorder()
    summary = search_locally(config, results=tmp_path, reporter=recorder)
    assert summary.counts == {"completed": 1, "failed": 1}
    assert recorder.kinds().count(EventKind.RETRIED) == 1
    (number,) = summary.failures
    assert summary.failures[number] == "RuntimeError: virtual epoch 2 is cursed"
    trace = (Path(summary.folder) / "trials" / f"{int(number):04d}" / "error.txt").read_text()
    assert trace.count("RuntimeError: virtual epoch 2 is cursed") == 2


def test_a_folder_of_images_and_masks_is_searched(discs_run: Summary) -> None:
    assert discs_run.best is not None
    assert discs_run.best.value > 0.8
    assert discs_run.samples == 24 * discs_run.virtual_epochs


def test_trials_read_the_data_from_the_object_store_on_their_own_threads(tmp_path: Path) -> None:
    recorder = Recorder()
    config = search_config(task="tiny_tasks:SharedDataTask", budget={"trials": 2, "max_virtual_epochs": 1})
    run_search(config, results=tmp_path, reporter=recorder)
    reports = [event.metrics for event in recorder.events if event.kind is EventKind.REPORTED]
    assert [(report["shared"], report["threads"]) for report in reports] == [(1.0, 1.0)] * 2
