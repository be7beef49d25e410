"""Every kind of damage to a run's folder is named with its cost, and a sound folder is called sound."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forged import forge
from in_process import resume_locally, search_locally
from run_files import best_of, flip, only, records_of, snapshot
from tiny_tasks import search_config

import search
from search.cli.main import main
from search.commands.damages import Verification
from search.commands.verify import verify
from search.errors import RefusedError, SearchError
from search.run.events import Event, EventKind
from search.run.outcome.summary import Summary
from search.run.reporter import ProgressReporter
from search.study.study import JOURNAL
from search.study.trial import ranked
from trainables.checkpoints.checkpoint import (
    checkpoint_folder,
    list_checkpoints,
    load_newest,
    read_checkpoint,
    write_checkpoint,
)
from trainables.fence import newest_job

Verify = Callable[[Path], tuple[int, str]]


class InterruptedAt(ProgressReporter):
    """Looks at the search at every report, and presses Ctrl-C at the report number `number`."""

    def __init__(self, number: int, look: Callable[[], None] = lambda: None) -> None:
        self._left, self._look = number, look

    def event(self, event: Event) -> None:
        if event.kind is EventKind.REPORTED:
            self._look()
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def run(finished_run: Summary, tmp_path: Path) -> Path:
    """A copy of a finished run, to damage."""
    return Path(shutil.copytree(finished_run.folder, tmp_path / "run"))


@pytest.fixture(scope="module")
def interrupted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trial 0 has ended with 6 virtual epochs, trial 1 was interrupted at its virtual epoch 4."""
    config = search_config(
        resources={"concurrent_trials": 1},
        scheduler={"name": "none"},
        budget={"trials": 2, "max_virtual_epochs": 6},
    )
    results = tmp_path_factory.mktemp("results")
    return Path(search_locally(config, results=results, reporter=InterruptedAt(10)).folder)


@pytest.fixture
def unfinished(interrupted_run: Path, tmp_path: Path) -> Path:
    """A copy of the interrupted run, to damage."""
    return Path(shutil.copytree(interrupted_run, tmp_path / "unfinished"))


@pytest.fixture
def verified(capsys: pytest.CaptureFixture[str]) -> Verify:
    """Exit code and output of `tune-search verify`."""

    def run(folder: Path) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["verify", str(folder)])
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


# What is sound


def test_a_finished_run_is_sound_and_says_what_was_checked(run: Path, verified: Verify) -> None:
    search.export(run)
    records = records_of(run)
    checkpoints = list(run.glob("trials/*/checkpoint_*"))
    num_bytes = sum(path.stat().st_size for folder in checkpoints for path in folder.iterdir())
    found = verify(run)
    assert found.damages == []
    assert found.owner is None
    assert (found.trials, found.virtual_epochs) == (9, sum(record.depth for record in records))
    assert (found.checkpoints, found.num_bytes) == (len(checkpoints), num_bytes)
    code, text = verified(run)
    assert code == 0
    assert text.splitlines()[0].endswith(f"{len(checkpoints)} checkpoints of {num_bytes / 1000:.1f} kB")
    assert text.splitlines()[-1] == "no problems found"


def test_an_interrupted_run_is_sound(interrupted_run: Path, verified: Verify) -> None:
    assert [record.outcome is None for record in records_of(interrupted_run)] == [False, True]
    assert verified(interrupted_run)[0] == 0


def test_checkpoints_that_a_running_search_has_removed_are_no_damage(
    tmp_path: Path,
) -> None:
    run = tmp_path / "digits"
    found: list[Verification] = []
    config = search_config(checkpoint={"keep_trials": 1}, resources={"concurrent_trials": 1})
    reporter = InterruptedAt(13, look=lambda: found.append(verify(run)))
    assert search_locally(config, results=tmp_path, reporter=reporter).status == "interrupted"
    assert len(found) == 13
    assert [damage for verification in found for damage in verification.damages] == []
    assert all(f"process {os.getpid()} on " in (verification.owner or "") for verification in found)
    assert [
        record.number
        for record in records_of(run)
        if record.outcome is None and not list_checkpoints(run / "trials" / f"{record.number:04d}")
    ]
    after = verify(run)
    assert (after.owner, after.damages) == (None, [])


def test_files_that_a_search_is_writing_are_no_damage(run: Path, verified: Verify) -> None:
    from search.run.disk.folder import RunFolder

    with (run / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code":7,"worker')
    _, checkpoint = best_of(run)
    (checkpoint.parent / ".checkpoint_000009.partial").mkdir()
    shutil.rmtree(checkpoint)
    with RunFolder(run).owned():
        assert verify(run).damages == []
        assert f"a search is running there (process {os.getpid()} on " in verified(run)[1]
        flip(best_of(run, 1)[1] / "state.pt")
        assert verified(run)[0] == 1
    assert len(verify(run).damages) == 3


def test_nothing_is_written(unfinished: Path, verified: Verify) -> None:
    flip(best_of(unfinished)[1] / "state.pt")
    (unfinished / "summary.json").write_text("{")
    with (unfinished / JOURNAL).open("ab") as journal:
        journal.write(b"half a line")
    before = snapshot(unfinished)
    assert verified(unfinished)[0] == 1
    assert snapshot(unfinished) == before


# Checkpoints


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "manifest.json"])
def test_a_damaged_best_checkpoint_is_reported_with_the_next_best(
    run: Path, verified: Verify, name: str
) -> None:
    _, checkpoint = best_of(run)
    other, _ = best_of(run, 1)
    flip(checkpoint / name)
    damage = only(verify(run))
    assert damage.path == str(checkpoint.relative_to(run))
    assert damage.what.startswith(f"{name}: ")
    assert damage.cost == (
        f"the best trial cannot be exported; the next best intact is trial {other.number} "
        f"(accuracy {other.value('max'):.4g})"
    )
    code, text = verified(run)
    assert code == 1
    assert f"{damage.path}: {damage.what}\n  cost: {damage.cost}\n\n1 problem found\n" in text
    with pytest.raises(SearchError, match="tune-search verify"):
        search.export(run)
    assert search.export(run, trial=other.number).value == other.value("max")


def test_a_run_without_any_intact_best_checkpoint_cannot_be_exported(run: Path) -> None:
    for place in range(len(ranked(records_of(run), "max"))):
        shutil.rmtree(best_of(run, place)[1], ignore_errors=True)
    costs = [damage.cost for damage in verify(run).damages]
    assert "the best trial cannot be exported, and no other has its best checkpoint" in costs


def test_a_missing_best_checkpoint_is_named(run: Path) -> None:
    _, checkpoint = best_of(run)
    shutil.rmtree(checkpoint)
    damage = only(verify(run))
    assert (damage.path, damage.what) == (str(checkpoint.relative_to(run)), "is missing")
    assert damage.cost.startswith("the best trial cannot be exported; the next best intact is trial ")


def test_a_trial_with_a_damaged_best_checkpoint_cannot_be_exported(run: Path) -> None:
    record, checkpoint = best_of(run, 1)
    (checkpoint / "state.pt").unlink()
    damage = only(verify(run))
    assert damage.what == "state.pt: No such file or directory"
    assert damage.cost == f"trial {record.number} cannot be exported"


def test_a_damaged_checkpoint_that_is_not_needed_costs_nothing(run: Path) -> None:
    record, best = best_of(run)
    other = next(path for path in best.parent.glob("checkpoint_*") if path != best)
    flip(other / "model.safetensors")
    damage = only(verify(run))
    assert damage.cost == f"none: trial {record.number} does not need it"


def test_a_trial_continues_from_the_checkpoint_before_a_damaged_one(unfinished: Path) -> None:
    trial = unfinished / "trials" / "0001"
    assert list_checkpoints(trial)[-2:] == [3, 4]
    flip(trial / "checkpoint_000004" / "state.pt")
    assert (
        only(verify(unfinished)).cost
        == "trial 1 continues from virtual epoch 3: 1 virtual epoch to compute again"
    )
    assert load_newest(trial)[0].virtual_epoch == 3  # as was said


def test_a_trial_without_an_intact_checkpoint_begins_again(unfinished: Path) -> None:
    trial = unfinished / "trials" / "0001"
    for number in list_checkpoints(trial):
        flip(trial / f"checkpoint_{number:06d}" / "model.safetensors")
    damages = verify(unfinished).damages
    assert damages[-1].path == "trials/0001/checkpoint_000004"
    assert {damage.cost for damage in damages} == {"trial 1 starts again: 4 virtual epochs to compute again"}
    assert load_newest(trial)[0] is None  # as was said


def test_a_missing_checkpoint_of_an_unfinished_trial_is_reported(unfinished: Path) -> None:
    trial = unfinished / "trials" / "0001"
    shutil.rmtree(trial / "checkpoint_000004")
    damages = {damage.path: damage for damage in verify(unfinished).damages}
    damage = damages["trials/0001/checkpoint_000004"]
    assert damage.what == "is missing"
    assert damage.cost == "trial 1 continues from virtual epoch 3: 1 virtual epoch to compute again"
    for number in list_checkpoints(trial):
        shutil.rmtree(checkpoint_folder(trial, number))
    damages = {damage.path: damage for damage in verify(unfinished).damages}
    damage = damages["trials/0001/checkpoint_000004"]
    assert damage.cost == "trial 1 starts again: 4 virtual epochs to compute again"


def test_a_checkpoint_that_was_set_aside_is_reported_with_its_reason(unfinished: Path) -> None:
    trial = unfinished / "trials" / "0001"
    flip(trial / "checkpoint_000004" / "state.pt")
    load_newest(trial)
    aside, missing = sorted(verify(unfinished).damages, key=lambda damage: damage.what, reverse=True)
    assert aside.path == "trials/0001/damaged_000004"
    assert aside.what.startswith("was set aside: state.pt: SHA-256 is ")
    assert "`tune-search clean` removes it" in aside.cost
    assert missing.cost == "trial 1 continues from virtual epoch 3: 1 virtual epoch to compute again"


def test_a_damaged_run_is_intact_after_resume_and_clean(unfinished: Path) -> None:
    before = records_of(unfinished)[1].values
    flip(unfinished / "trials" / "0001" / "checkpoint_000004" / "state.pt")
    assert resume_locally(unfinished).status == "complete"
    assert records_of(unfinished)[1].values[:4] == before
    assert only(verify(unfinished)).path == "trials/0001/damaged_000004"
    search.clean(unfinished)
    assert verify(unfinished).damages == []


def test_a_checkpoint_of_another_trial_is_found(run: Path) -> None:
    other, theirs = best_of(run, 1)
    record = best_of(run)[0]
    mine = checkpoint_folder(run / "trials" / f"{record.number:04d}", other.best_virtual_epoch("max"))
    shutil.rmtree(mine, ignore_errors=True)
    shutil.copytree(theirs, mine)
    assert only(verify(run)).what == f"it is of trial {other.number}; remove it"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"options": {"batch_size": 1}}, "other options than the study has"),
        ({"history": []}, "its history is not one of "),
        ({"history": None}, "its history is not one of "),
    ],
)
def test_a_checkpoint_that_does_not_match_the_study_is_found(
    run: Path, changes: dict[str, Any], what: str
) -> None:
    _, folder = best_of(run)
    found = read_checkpoint(folder.parent, int(folder.name[-6:]))
    info = found.info | changes
    job = newest_job(folder.parent)
    contents = {"weights": found.weights(), "state": found.state(), "info": info}
    write_checkpoint(folder.parent, found.virtual_epoch, **contents, job=job)
    damage = only(verify(run))
    assert what in damage.what
    assert damage.what.endswith("; remove it")
    assert damage.cost.startswith("the best trial cannot be exported; the next best")


def test_a_checkpoint_of_another_version_of_the_format_is_named(run: Path) -> None:
    forge(best_of(run)[1], version=2)
    assert only(verify(run)).what.startswith("has version 2 of the checkpoint format and this program reads")


def test_checkpoints_of_a_trial_that_the_study_does_not_know_are_named(run: Path) -> None:
    shutil.copytree(best_of(run)[1].parent, run / "trials" / "0042")
    damage = only(verify(run))
    assert (damage.path, damage.what) == ("trials/0042", "is of no trial in the study")
    assert "move it away" in damage.cost


# What is shown meanwhile


def test_progress_counts_the_bytes_of_the_checkpoints(run: Path) -> None:
    told: list[tuple[int, int]] = []
    found = verify(run, progress=lambda done, of: told.append((done, of)))
    assert [of for _, of in told] == [found.num_bytes] * found.checkpoints
    assert sorted(told) == told
    assert told[0][0] == 0 < told[-1][0] < found.num_bytes


def test_the_command_explains_itself_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    main(["verify", "--help"])
    text = capsys.readouterr().out
    assert "tune-search verify results/seg\n" in text
    assert "exit code is 1 if anything" in text


def test_an_export_is_sent_to_the_search_that_it_is_of(run: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RefusedError, match=r"run/export is an export.*: `tune-search verify \S*run` checks it"
    ):
        verify(search.export(run).folder)
    with pytest.raises(RefusedError, match=r"model is an export.*: `sha256sum -c SHA256SUMS`"):
        verify(search.export(run, out=tmp_path / "model").folder)
