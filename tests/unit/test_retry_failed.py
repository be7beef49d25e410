"""A search whose trials failed: how it ends, and how failed trials are tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally, search_locally
from invariants import assert_nothing_lost
from tiny_tasks import AccuracyMetrics, DigitsTask, search_config

from search.run.disk.folder import RunFolder
from search.run.outcome.summary import Summary
from search.run.reporter import ProgressReporter
from search.screen.texts.summary import summary_text
from search.study.reading import read_records
from search.study.trial import Outcome


class BrokenTask(DigitsTask):
    """Fails until a file `repaired` is there: at once, or in the virtual epoch in the file `fails_in`."""

    validations = 0

    def metrics(self) -> AccuracyMetrics:
        self.validations += 1
        fails_in = Path("fails_in")
        wanted = int(fails_in.read_text()) if fails_in.exists() else 1
        if not Path("repaired").exists() and self.validations == wanted and self.is_chosen():
            raise RuntimeError("no weights on this machine")
        return super().metrics()

    def is_chosen(self) -> bool:
        return True


class Noting(ProgressReporter):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class SometimesBrokenTask(BrokenTask):
    def is_chosen(self) -> bool:
        return self.options.model["hidden"] == 8


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(task: str = "BrokenTask", trials: int = 2, sections: Any = None, **options: Any) -> Summary:
    config = search_config(budget={"trials": trials, "max_virtual_epochs": 3}, **(sections or {}))
    return search_locally({**config, "task": f"{__name__}:{task}", "max_failures": 0}, **options)


@pytest.mark.parametrize("trials", [1, 2, 4])
def test_a_search_without_a_value_has_failed_whatever_its_number_of_trials(trials: int) -> None:
    summary = run(trials=trials)
    assert summary.status == "failed"
    assert summary.reason == f"no trial has a value; all {trials} trials are done"
    text = summary_text(summary)
    assert f"  {', '.join(map(str, range(trials)))}  RuntimeError: no weights on this machine" in text
    assert (
        "once the cause is fixed, try the failed trials again with\n  tune-search resume results/digits"
        in text
    )
    assert "--retry-failed" in text


def test_the_same_command_tries_them_again_once_the_cause_is_gone() -> None:
    run()
    Path("repaired").touch()
    noting = Noting()
    summary = run(reporter=noting)
    assert (summary.status, summary.trials, summary.failures) == ("complete", 2, {})
    assert any("no trial had a value, and failed ones are tried again" in note for note in noting.notes)
    assert_nothing_lost(Path(summary.folder))


def test_of_some_failed_trials_each_gets_its_values_again() -> None:
    before = run("SometimesBrokenTask", trials=6)
    assert before.status == "complete"
    assert 0 < len(before.failures) < 6
    assert "try the failed trials again with\n  tune-search resume results/digits --retry-failed" in (
        summary_text(before)
    )
    journal = RunFolder(Path(before.folder)).journal
    params = [record.params for record in read_records(journal)]

    Path("repaired").touch()
    same = resume_locally(before.folder)
    assert same.failures == before.failures  # only if it is asked for
    after = resume_locally(before.folder, retry_failed=True)

    assert (after.status, after.trials, after.failures) == ("complete", 6, {})
    records = read_records(journal)
    assert [record.params for record in records] == params
    assert all(record.outcome in (Outcome.COMPLETED, Outcome.STOPPED) for record in records)
    assert_nothing_lost(Path(after.folder))


def test_a_trial_that_failed_late_goes_on_from_its_checkpoint() -> None:
    Path("fails_in").write_text("3")
    before = run(trials=4, sections={"scheduler": {"name": "none"}})
    assert before.failures
    number = int(next(iter(before.failures)))
    journal = RunFolder(Path(before.folder)).journal
    values = read_records(journal)[number].values
    assert len(values) == 2
    Path("repaired").touch()
    after = resume_locally(before.folder, retry_failed=True)
    assert after.failures == {}
    assert read_records(journal)[number].values[:2] == values
    assert_nothing_lost(Path(after.folder))


def test_one_that_fails_again_has_failed_after_all_its_attempts() -> None:
    run()
    summary = run()
    assert (summary.status, len(summary.failures)) == ("failed", 2)
    Path("repaired").touch()
    assert run().status == "complete"
