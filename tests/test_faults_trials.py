"""Faults of single trials in real searches: what is tried again, how it ends, and that the others go on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from faulty_trials import FAULTS, STEPS
from invariants import DIFFERED, assert_nothing_lost
from test_search import Recorder, optuna_study
from tiny_tasks import search_config

import search
from search.coordinator import EventKind
from search.early_stopping import Rungs
from search.sampling import halving_scores
from search.study import Outcome, read_records
from search.summary import Summary
from trainables.checkpoint import checkpoint_folder, list_checkpoints

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(600)]


def config_of(rates: list[float], folder: Path, **sections: Any) -> dict[str, Any]:
    """A search over these learning rates, each of them once and at full length."""
    folder.mkdir(parents=True, exist_ok=True)
    trial = {
        "data": {"folder": str(folder)},
        "optimizer": {"name": "adamw", "lr": {"choice": rates}},
        "batch_size": 16,
    }
    return search_config(
        **{
            "task": "faulty_trials:FaultyTask",
            "trial": trial,
            "virtual_epoch": {"steps": STEPS},
            "budget": {"trials": len(rates), "virtual_epochs": 3},
            "sampler": {"name": "grid"},
            "scheduler": {"name": "none"},
            "checkpoint": {"keep_trials": len(rates)},
            "max_failures": 2,
            **sections,
        }
    )


class Done:
    """A search that has come to its end."""

    def __init__(self, config: dict[str, Any], results: Path) -> None:
        self.recorder = Recorder()
        self.summary: Summary = search.search(config, results=results, watcher=self.recorder)
        self.run = Path(self.summary.folder)
        self.records = {
            r.resolved.tree["optimizer"]["lr"]: r for r in read_records(self.run / "study.journal")
        }
        lines = (Path(config["trial"]["data"]["folder"]) / "trace").read_text().splitlines()
        self._begun = Counter((float(rate), int(n)) for rate, n in map(str.split, lines))

    def begun(self, rate: float) -> list[int]:
        """How often virtual epochs 1, 2, … of a trial were begun."""
        numbers = [n for other, n in self._begun if other == rate]
        return [self._begun[rate, n] for n in range(1, max(numbers) + 1)]

    def lost(self, rate: float) -> list[str]:
        """Kinds of the attempts that were lost."""
        return [str(failure.kind) for failure in self.records[rate].failures]

    def weights(self, rate: float) -> bytes:
        """Of the trial's last checkpoint."""
        trial = self.run / "trials" / f"{self.records[rate].number:04d}"
        newest = list_checkpoints(trial)[-1]
        return (checkpoint_folder(trial, newest) / "model.safetensors").read_bytes()

    def notes(self) -> list[str]:
        return [event.text for event in self.recorder.events if event.kind is EventKind.NOTED]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def calm(ray_session: None, folder: Path) -> Done:
    """A search without any fault."""
    config = config_of([0.001, 0.002, 0.003, 0.005, 0.008, 0.021], folder / "calm")
    config["trial"]["data"]["calm"] = True
    return Done(config, folder / "calm")


@pytest.fixture(scope="module")
def disturbed(ray_session: None, folder: Path) -> Done:
    """A search whose trials, but the last one, each have a fault of their own, and are tried again."""
    return Done(
        config_of([rate for rate in FAULTS if rate < 0.01], folder / "disturbed"), folder / "disturbed"
    )


@pytest.fixture(scope="module")
def broken(ray_session: None, folder: Path) -> Done:
    """The same for faults that another attempt would meet again."""
    rates = [rate for rate in FAULTS if 0.01 < rate < 0.02]
    return Done(config_of(rates, folder / "broken", max_failures=0), folder / "broken")


@pytest.mark.parametrize("name", ["disturbed", "broken"])
def test_a_search_full_of_faults_is_complete_and_nothing_is_lost(
    name: str, request: pytest.FixtureRequest
) -> None:
    done: Done = request.getfixturevalue(name)
    assert done.summary.status == "complete"
    assert_nothing_lost(done.run)
    assert [note for note in done.notes() if DIFFERED in note] == []


@pytest.mark.parametrize(
    ("rate", "lost", "begun"),
    [
        pytest.param(0.001, ["process died"], [1, 2, 1], id="1: killed in mid-step"),
        pytest.param(0.002, ["process died"], [1, 2, 1], id="2: killed between two files"),
        pytest.param(0.003, ["process died"], [1, 1, 1], id="2: killed between saving and reporting"),
        pytest.param(0.005, ["error", "error"], [1, 3, 1], id="6: an exception twice"),
        pytest.param(0.008, [], [1, 1, 1], id="no fault, among all the others"),
    ],
)
def test_a_trial_goes_on_from_its_checkpoint_and_ends_as_if_undisturbed(
    disturbed: Done, calm: Done, rate: float, lost: list[str], begun: list[int]
) -> None:
    assert disturbed.records[rate].outcome is Outcome.COMPLETED
    assert disturbed.lost(rate) == lost
    assert disturbed.begun(rate) == begun
    assert disturbed.records[rate].values == calm.records[rate].values
    assert disturbed.weights(rate) == calm.weights(rate)


ERROR, GPU, MEMORY = "error", "out of memory on the GPU", "out of memory"


@pytest.mark.parametrize(
    ("rate", "outcome", "lost", "reason"),
    [
        pytest.param(
            0.004, Outcome.FAILED, [ERROR] * 3, "RuntimeError: step 5 is cursed",
            id="5: an exception in every attempt",
        ),
        pytest.param(
            0.006, Outcome.OUT_OF_MEMORY, [MEMORY] * 2, "out of memory at step 4", id="11: out of memory"
        ),
        pytest.param(
            0.011, Outcome.DIVERGED, [], "virtual epoch 2, step 4: loss nan, gradient norm nan",
            id="8: NaN in the loss",
        ),
        pytest.param(
            0.012, Outcome.DIVERGED, [], "virtual epoch 2, step 4: loss 2.", id="8: NaN in the gradient only"
        ),
        pytest.param(0.013, Outcome.DIVERGED, [], "virtual epoch 2, accuracy is inf", id="9: infinity"),
        pytest.param(0.014, Outcome.FAILED, [ERROR], "TypeError: float() argument must be", id="9: None"),
        pytest.param(
            0.015, Outcome.FAILED, [ERROR], "KeyError: the task reports no metric 'accuracy'",
            id="9: a missing metric",
        ),
        pytest.param(
            0.007, Outcome.OUT_OF_MEMORY, [GPU], "out of memory on the GPU at step 4",
            id="10: out of memory on the GPU",
        ),
    ],
)  # fmt: skip
def test_a_trial_that_cannot_be_saved_ends_with_its_reason_after_a_bounded_number_of_attempts(
    request: pytest.FixtureRequest, rate: float, outcome: Outcome, lost: list[str], reason: str
) -> None:
    done: Done = request.getfixturevalue("disturbed" if rate < 0.01 else "broken")
    record = done.records[rate]
    assert record.outcome is outcome
    assert record.reason.startswith(reason)
    assert done.lost(rate) == lost
    assert record.depth == 1
    assert done.begun(rate) == [1, max(1, len(lost))]
    if outcome is Outcome.FAILED:
        assert done.summary.failures[str(record.number)] == record.reason


def test_a_trial_that_broke_off_is_never_the_best_whatever_it_had_shown(broken: Done) -> None:
    assert [broken.records[rate].values for rate in (0.011, 0.012)] == [[2.0], [2.0]]
    assert broken.summary.best is not None
    assert broken.summary.best.trial == broken.records[0.016].number


def test_optuna_is_told_and_the_sampler_learns_what_diverged_or_did_not_fit(broken: Done) -> None:
    states = {trial.number: trial.state.name for trial in optuna_study(broken.run).trials}
    assert {rate: states[record.number] for rate, record in broken.records.items()} == {
        0.011: "PRUNED",
        0.012: "PRUNED",
        0.013: "PRUNED",
        0.014: "FAIL",
        0.015: "FAIL",
        0.016: "COMPLETE",
    }
    scores = halving_scores(list(broken.records.values()), Rungs(), "max")
    assert {r.resolved.tree["optimizer"]["lr"]: score for r, score in scores.items()} == {
        0.011: 0.0,
        0.012: 0.0,
        0.013: 0.0,
        0.016: 1.0,
    }


@pytest.mark.parametrize("name", ["disturbed", "broken"])
def test_every_exception_has_its_trace(name: str, request: pytest.FixtureRequest) -> None:
    done: Done = request.getfixturevalue(name)
    for rate, record in done.records.items():
        trace = done.run / "trials" / f"{record.number:04d}" / "error.txt"
        raised = sum(kind != "process died" for kind in done.lost(rate))
        assert (trace.read_text().count("Traceback") if trace.exists() else 0) == raised


def test_where_checkpoints_are_rare_a_trial_is_saved_before_another_process_goes_on_with_it(
    folder: Path,
) -> None:
    config = config_of(
        [0.041, 0.042],
        folder / "rare",
        task="faulty_trials:SlowSavingTask",
        budget={"trials": 2, "virtual_epochs": 4},
        scheduler={"name": "asha", "grace": 2},
        checkpoint={"every": 20},
    )
    config["trial"]["data"]["journal"] = str(folder / "rare" / "digits" / "study.journal")
    done = Done(config, folder / "rare")
    assert done.recorder.kinds().count(EventKind.PROMOTED) == 1
    assert (done.begun(0.041), done.begun(0.042)) == ([1, 1, 1, 1], [1, 1])
    assert_nothing_lost(done.run)
