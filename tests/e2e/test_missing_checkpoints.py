"""A job that is told what was reported and finds no checkpoint says so; it does not begin again unsaid."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import pytest
from in_process import resume_locally, search_locally
from run_files import records_of
from small_trials import digits_plan, run
from tiny_tasks import search_config

from search.run.events import Event, EventKind
from search.run.reporter import ProgressReporter
from search.study.trial import Outcome
from trainables.checkpoints import arrived
from trainables.checkpoints.arrived import MissingCheckpointError, require_checkpoint
from trainables.checkpoints.checkpoint import remove_checkpoints
from trainables.process.failure import FailureKind, failure_of
from trainables.session import TrialSession


class Losing(ProgressReporter):
    """Removes the checkpoints of the first trial that pauses, as if its machine had a folder of its own."""

    def __init__(self, results: Path) -> None:
        self._trials = results / "digits" / "trials"
        self.lost: int | None = None
        self.told: list[tuple[EventKind, int, str]] = []

    def event(self, event: Event) -> None:
        number = event.record.number
        if event.kind is EventKind.PAUSED and self.lost is None:
            self.lost = number
            remove_checkpoints(self._trials / f"{number:04d}")
        self.told.append((event.kind, number, event.text))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a network file system."""
    monkeypatch.setattr(arrived, "_PATIENCE_SECONDS", 0.0)


def test_a_job_without_the_checkpoint_that_the_search_has_fails_with_its_host_and_folder(
    tmp_path: Path, impatient: None
) -> None:
    with pytest.raises(MissingCheckpointError) as missing:
        TrialSession(digits_plan(tmp_path / "t", reported=3, checkpoint=3, job=(1, 4)), None)
    assert str(missing.value) == (
        f"3 virtual epochs of this trial were reported, and on {socket.gethostname()} there is no "
        f"checkpoint_000003 in {tmp_path / 't'} (none is there); every machine needs the search's results "
        "folder at the same path"
    )
    assert failure_of(missing.value, "").kind is FailureKind.PASSING  # another machine may have it
    assert not list((tmp_path / "t").glob("checkpoint_*"))


def test_an_older_checkpoint_does_not_do(tmp_path: Path, impatient: None) -> None:
    run(digits_plan(tmp_path, checkpoint_every=9), until=2)
    with pytest.raises(MissingCheckpointError, match=r"the newest is checkpoint_00000[12] there"):
        require_checkpoint(tmp_path, 5, 5)


def test_a_checkpoint_that_a_network_file_system_shows_later_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrived, "_PATIENCE_SECONDS", 600.0)
    waiting = threading.Thread(target=require_checkpoint, args=(tmp_path, 3, 3))
    waiting.start()
    (tmp_path / "checkpoint_000003").mkdir()
    waiting.join(600.0)
    assert not waiting.is_alive()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_000003"]


def test_a_trial_whose_checkpoints_vanish_while_its_search_runs_fails_and_the_others_are_complete(
    tmp_path: Path, impatient: None
) -> None:
    losing = Losing(tmp_path)
    config = search_config(budget={"trials": 3, "max_virtual_epochs": 3}, scheduler=_ASHA, max_failures=1)
    summary = search_locally(config, results=tmp_path, reporter=losing)
    records = records_of(Path(summary.folder))
    lost = [record for record in records if record.outcome is Outcome.FAILED]
    promoted = [number for kind, number, _ in losing.told if kind is EventKind.PROMOTED]
    assert [record.number for record in lost] == [losing.lost] == promoted[:1]
    assert "there is no checkpoint_000001 in" in lost[0].reason
    assert summary.status == "complete"


def test_a_trial_whose_checkpoints_are_gone_when_its_search_goes_on_begins_again_with_a_word(
    tmp_path: Path,
) -> None:
    class Interrupting(ProgressReporter):
        def event(self, event: Event) -> None:
            if event.kind is EventKind.REPORTED and event.record.depth == 2:
                signal.raise_signal(signal.SIGINT)

    config = search_config(budget={"trials": 1, "max_virtual_epochs": 4}, scheduler={"name": "none"})
    folder = Path(search_locally(config, results=tmp_path, reporter=Interrupting()).folder)
    before = records_of(folder)[0].values
    remove_checkpoints(folder / "trials" / "0000")
    losing = Losing(tmp_path)
    assert resume_locally(folder, reporter=losing).status == "complete"
    (text,) = (text for kind, _, text in losing.told if kind is EventKind.MESSAGE)
    assert text.startswith("virtual epochs were reported up to 2, and ")
    assert text.endswith("has no checkpoint: the trial begins again")
    assert records_of(folder)[0].values[:2] == before


_ASHA = {"name": "asha", "grace_period": 1, "reduction_factor": 3}
