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
from run_files import best_of, flip, lines_of, records_of, snapshot, write_lines
from tiny_tasks import search_config

import search
from search.cli import main
from search.commands.verify import Damage, Verification, verify
from search.errors import SearchError
from search.run.events import Event, EventKind
from search.run.reporter import SilentReporter
from search.run.summary import Summary
from search.study.study import JOURNAL
from search.study.trial import ranked
from trainables.checkpoint import (
    checkpoint_folder,
    list_checkpoints,
    load_newest,
    read_checkpoint,
    write_checkpoint,
)

Verify = Callable[[Path], tuple[int, str]]


class InterruptedAt(SilentReporter):
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
def interrupted_run(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trial 0 has ended with 6 virtual epochs, trial 1 was interrupted at its virtual epoch 4."""
    config = search_config(
        resources={"concurrent_trials": 1},
        scheduler={"name": "none"},
        budget={"trials": 2, "max_virtual_epochs": 6},
    )
    results = tmp_path_factory.mktemp("results")
    return Path(search.search(config, results=results, reporter=InterruptedAt(10)).folder)


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


def only(found: Verification) -> Damage:
    (damage,) = found.damages
    return damage


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


def test_a_search_may_run_meanwhile_and_have_removed_what_paused_trials_need_no_more(
    ray_session: None, tmp_path: Path
) -> None:
    run = tmp_path / "digits"
    found: list[Verification] = []
    config = search_config(checkpoint={"keep_trials": 1}, resources={"concurrent_trials": 1})
    reporter = InterruptedAt(13, look=lambda: found.append(verify(run)))
    assert search.search(config, results=tmp_path, reporter=reporter).status == "interrupted"
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


def test_what_a_search_is_writing_is_no_damage_and_what_it_has_damaged_is(
    run: Path, verified: Verify
) -> None:
    from search.run.folder import RunFolder

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
def test_of_a_damaged_best_checkpoint_the_next_best_is_named(run: Path, verified: Verify, name: str) -> None:
    _, checkpoint = best_of(run)
    other, _ = best_of(run, 1)
    flip(checkpoint / name)
    damage = only(verify(run))
    assert damage.path == str(checkpoint.relative_to(run))
    assert damage.what.startswith(f"{name}: ")
    assert damage.cost == (
        f"the best trial cannot be exported; the next best intact is trial {other.number} "
        f"(accuracy {other.best('max'):.4g})"
    )
    code, text = verified(run)
    assert code == 1
    assert f"{damage.path}: {damage.what}\n  cost: {damage.cost}\n\n1 problem found\n" in text
    with pytest.raises(SearchError, match="tune-search verify"):
        search.export(run)
    assert search.export(run, trial=other.number).value == other.best("max")


def test_if_nothing_can_be_exported_that_is_said(run: Path) -> None:
    for place in range(len(ranked(records_of(run), "max"))):
        shutil.rmtree(best_of(run, place)[1], ignore_errors=True)
    assert only(verify(run)).cost == "the best trial cannot be exported, and no other has its best checkpoint"


def test_a_missing_best_checkpoint_is_named(run: Path, verified: Verify) -> None:
    _, checkpoint = best_of(run)
    shutil.rmtree(checkpoint)
    damage = only(verify(run))
    assert (damage.path, damage.what) == (str(checkpoint.relative_to(run)), "is missing")
    assert damage.cost.startswith("the best trial cannot be exported; the next best intact is trial ")
    assert verified(run)[0] == 1


def test_a_damaged_checkpoint_of_another_trial_keeps_that_one_from_being_exported(
    run: Path, verified: Verify
) -> None:
    record, checkpoint = best_of(run, 1)
    (checkpoint / "state.pt").unlink()
    damage = only(verify(run))
    assert damage.what == "state.pt: No such file or directory"
    assert damage.cost == f"trial {record.number} cannot be exported"
    assert verified(run)[0] == 1


def test_a_damaged_checkpoint_that_nobody_needs_costs_nothing(run: Path, verified: Verify) -> None:
    record, best = best_of(run)
    other = next(path for path in best.parent.glob("checkpoint_*") if path != best)
    flip(other / "model.safetensors")
    damage = only(verify(run))
    assert damage.cost == f"none: trial {record.number} does not need it"
    assert verified(run)[0] == 1


def test_checkpoints_of_ended_trials_that_are_not_the_best_may_be_missing(run: Path) -> None:
    for place in range(1, 9):
        shutil.rmtree(best_of(run, place)[1].parent)
    assert verify(run).damages == []


def test_a_trial_goes_on_from_the_checkpoint_before_a_damaged_one(unfinished: Path, verified: Verify) -> None:
    trial = unfinished / "trials" / "0001"
    assert list_checkpoints(trial)[-2:] == [3, 4]
    flip(trial / "checkpoint_000004" / "state.pt")
    assert (
        only(verify(unfinished)).cost
        == "trial 1 continues from virtual epoch 3: 1 virtual epoch to compute again"
    )
    assert verified(unfinished)[0] == 1
    assert load_newest(trial)[0].virtual_epoch == 3  # as was said


def test_a_trial_without_an_intact_checkpoint_begins_again(unfinished: Path, verified: Verify) -> None:
    trial = unfinished / "trials" / "0001"
    for number in list_checkpoints(trial):
        flip(trial / f"checkpoint_{number:06d}" / "model.safetensors")
    damages = verify(unfinished).damages
    assert damages[-1].path == "trials/0001/checkpoint_000004"
    assert {damage.cost for damage in damages} == {"trial 1 starts again: 4 virtual epochs to compute again"}
    assert verified(unfinished)[0] == 1
    assert load_newest(trial)[0] is None  # as was said


def test_a_missing_checkpoint_of_a_trial_that_goes_on_is_named(unfinished: Path, verified: Verify) -> None:
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
    assert verified(unfinished)[0] == 1


def test_a_checkpoint_that_was_set_aside_is_named_with_its_reason(unfinished: Path, verified: Verify) -> None:
    trial = unfinished / "trials" / "0001"
    flip(trial / "checkpoint_000004" / "state.pt")
    load_newest(trial)
    aside, missing = sorted(verify(unfinished).damages, key=lambda damage: damage.what, reverse=True)
    assert aside.path == "trials/0001/damaged_000004"
    assert aside.what.startswith("was set aside: state.pt: SHA-256 is ")
    assert "`tune-search clean` removes it" in aside.cost
    assert missing.cost == "trial 1 continues from virtual epoch 3: 1 virtual epoch to compute again"
    assert verified(unfinished)[0] == 1


def test_damaged_gone_on_with_and_cleaned_a_run_is_sound_again(unfinished: Path) -> None:
    before = records_of(unfinished)[1].values
    flip(unfinished / "trials" / "0001" / "checkpoint_000004" / "state.pt")
    assert search.resume(unfinished).status == "complete"
    assert records_of(unfinished)[1].values[:4] == before
    assert only(verify(unfinished)).path == "trials/0001/damaged_000004"
    search.clean(unfinished)
    assert verify(unfinished).damages == []


def test_a_checkpoint_of_another_trial_is_found(run: Path, verified: Verify) -> None:
    other, theirs = best_of(run, 1)
    record = best_of(run)[0]
    mine = checkpoint_folder(run / "trials" / f"{record.number:04d}", other.best_virtual_epoch("max"))
    shutil.rmtree(mine, ignore_errors=True)
    shutil.copytree(theirs, mine)
    assert only(verify(run)).what == f"it is of trial {other.number}; remove it"
    assert verified(run)[0] == 1


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"options": {"batch_size": 1}}, "other options than the study has"),
        ({"history": []}, "its history is not one of "),
        ({"history": None}, "its history is not one of "),
    ],
)
def test_a_checkpoint_that_does_not_fit_to_the_study_is_found(
    run: Path, verified: Verify, changes: dict[str, Any], what: str
) -> None:
    _, folder = best_of(run)
    found = read_checkpoint(folder.parent, int(folder.name[-6:]))
    info = found.info | changes
    write_checkpoint(
        folder.parent, found.virtual_epoch, weights=found.weights(), state=found.state(), info=info
    )
    damage = only(verify(run))
    assert what in damage.what
    assert damage.what.endswith("; remove it")
    assert damage.cost.startswith("the best trial cannot be exported; the next best")
    assert verified(run)[0] == 1


def test_a_checkpoint_of_another_version_of_the_format_is_named(run: Path, verified: Verify) -> None:
    forge(best_of(run)[1], version=2)
    assert only(verify(run)).what.startswith("has version 2 of the checkpoint format and this program reads")
    assert verified(run)[0] == 1


def test_checkpoints_of_a_trial_that_the_study_does_not_know_are_named(run: Path, verified: Verify) -> None:
    shutil.copytree(best_of(run)[1].parent, run / "trials" / "0042")
    damage = only(verify(run))
    assert (damage.path, damage.what) == ("trials/0042", "is of no trial in the study")
    assert "move it away" in damage.cost
    assert verified(run)[0] == 1


# The journal


def test_of_a_broken_line_it_is_said_how_much_of_the_study_is_before_it(run: Path, verified: Verify) -> None:
    lines = (run / JOURNAL).read_bytes().splitlines(keepends=True)
    begun = [number for number, line in enumerate(lines) if b'"op_code":4' in line]
    broken = begun[6]
    (run / JOURNAL).write_bytes(b"".join([*lines[:broken], b"\0" * 40 + b"\n", *lines[broken + 1 :]]))
    damage = next(damage for damage in verify(run).damages if damage.path == JOURNAL)
    assert damage.what == f"line {broken + 1} is not JSON"
    assert damage.cost == (
        f"the study cannot be read beyond line {broken}: 6 of 8 trials are before it; "
        f"`head -n {broken} study.journal` gives a study that can be continued"
    )
    assert verified(run)[0] == 1
    with pytest.raises(SearchError, match="is damaged and cannot be read"):
        search.resume(run)
    (run / JOURNAL).write_bytes(b"".join(lines[:broken]))  # as was said
    assert len(records_of(run)) == 6


def test_a_missing_line_that_others_build_on_is_found(run: Path, verified: Verify) -> None:
    lines = lines_of(run)
    begun = [number for number, line in enumerate(lines) if line["op_code"] == 4]
    write_lines(run, lines[: begun[2]] + lines[begun[2] + 1 :])
    damage = next(damage for damage in verify(run).damages if damage.path == JOURNAL)
    assert damage.what == f"line {begun[3]} does not fit the lines before it"
    assert f"beyond line {begun[3] - 1}: 2 of 8 trials are before it" in damage.cost
    assert verified(run)[0] == 1


def test_half_a_last_line_costs_one_record_at_most(run: Path, verified: Verify) -> None:
    with (run / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code":7,"wor')
    damage = only(verify(run))
    assert damage == Damage(
        JOURNAL,
        "ends in half a line of 17 bytes",
        "one record at most, which is written again when the search continues",
    )
    assert verified(run)[0] == 1


def test_a_missing_virtual_epoch_is_found(run: Path, verified: Verify) -> None:
    lines = lines_of(run)
    gap = next(n for n, x in enumerate(lines) if x["op_code"] == 7 and x["step"] == 2)
    write_lines(run, lines[:gap] + lines[gap + 1 :])
    damage = next(damage for damage in verify(run).damages if damage.path == JOURNAL)
    trial = lines[gap]["trial_id"]
    assert damage.what == f"trial {trial} has no value at virtual epoch 2"
    assert damage.cost == f"the later values of trial {trial} count for earlier virtual epochs than theirs"
    assert verified(run)[0] == 1


def test_a_changed_value_is_found_by_the_checkpoint(run: Path, verified: Verify) -> None:
    record, checkpoint = best_of(run)
    lines = lines_of(run)
    changed = next(x for x in lines if x["op_code"] == 7 and x["trial_id"] == record.number)
    before = changed["intermediate_value"]
    changed["intermediate_value"] = before / 2
    write_lines(run, lines)
    damage = next(d for d in verify(run).damages if d.path == str(checkpoint.relative_to(run)))
    assert damage.what == f"says accuracy {before} at virtual epoch 1, and the study {before / 2}"
    assert damage.cost == "the search uses the value in the study, an export the one in the checkpoint"
    assert verified(run)[0] == 1


def test_a_missing_journal_is_named(run: Path, verified: Verify) -> None:
    (run / JOURNAL).unlink()
    damage = next(damage for damage in verify(run).damages if damage.path == JOURNAL)
    assert damage.what == "cannot be read: No such file or directory"
    assert damage.cost == "every parameter and value in it"
    assert verified(run)[0] == 1


def test_the_study_of_an_older_run_is_checked_too(run: Path, verified: Verify) -> None:
    lines = (run / JOURNAL).read_bytes().splitlines(keepends=True)
    (run / "history.journal").write_bytes(b"".join([*lines[:-1], b"x\n"]))
    damage = only(verify(run))
    assert (damage.path, damage.what) == ("history.journal", f"line {len(lines)} is not JSON")
    assert verified(run)[0] == 1


# The other files


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [("mode: max", "mode: maxi", "objective.mode: received 'maxi'"), ("name: digits", "name: [", "")],
)
def test_a_broken_configuration_is_named(run: Path, verified: Verify, old: str, new: str, what: str) -> None:
    text = (run / "config.yaml").read_text()
    assert old in text
    (run / "config.yaml").write_text(text.replace(old, new))
    damage = only(verify(run))
    assert damage.path == "config.yaml"
    assert what in damage.what
    assert damage.cost.startswith(
        "the search cannot continue and nothing can be exported until it is repaired"
    )
    assert verified(run)[0] == 1


def test_a_missing_configuration_is_named(run: Path, verified: Verify) -> None:
    (run / "config.yaml").unlink()
    assert only(verify(run)).path == "config.yaml"
    assert verified(run)[0] == 1


def test_neither_the_task_nor_a_variable_of_a_path_is_needed(run: Path, verified: Verify) -> None:
    text = (run / "config.yaml").read_text()
    assert "trial:\n" in text
    text = text.replace("trial:\n", "trial:\n  data: {root: '${env:NOT_SET_HERE}/x'}\n")
    (run / "config.yaml").write_text(text.replace("tiny_tasks:DigitsTask", "tasks_of_elsewhere:DigitsTask"))
    assert verify(run).damages == []
    assert verified(run)[0] == 0


def change(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"x")


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "action", "what"),
    [
        ("model.safetensors", change, "SHA-256 is "),
        ("README.md", empty, "SHA-256 is "),
        ("metrics.json", Path.unlink, "is missing"),
        ("SHA256SUMS", Path.unlink, "is missing"),
    ],
)
def test_a_damaged_export_is_named(
    run: Path, verified: Verify, name: str, action: Callable[[Path], Any], what: str
) -> None:
    action(search.export(run).folder / name)
    damage = only(verify(run))
    assert damage.path == f"export/{name}"
    assert damage.what.startswith(what)
    assert damage.cost == f"this export cannot be used; `tune-search export {run}` writes it again"
    assert verified(run)[0] == 1


def test_sums_that_name_no_file_prove_nothing(run: Path) -> None:
    empty(search.export(run).folder / "SHA256SUMS")
    found = verify(run).damages
    assert len(found) == 4
    assert all("SHA256SUMS says nothing" in damage.what for damage in found)


@pytest.mark.parametrize(("name", "cost"), [("summary.json", "none: "), ("provenance.json", "changes ")])
def test_a_broken_json_file_is_named(run: Path, verified: Verify, name: str, cost: str) -> None:
    with (run / name).open("r+") as file:
        file.truncate(20)
    damage = only(verify(run))
    assert damage.path == name
    assert damage.what.startswith("cannot be read: ")
    assert damage.cost.startswith(cost)
    assert verified(run)[0] == 1


def test_another_folder_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="is not the folder of a search"):
        verify(tmp_path)
    run.chmod(0o777)
    with pytest.raises(SearchError, match="chmod go-w"):
        verify(run)


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
    assert "Exits with 1 if anything" in text
