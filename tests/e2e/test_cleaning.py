"""What a search does not need any more goes, and nothing else."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally
from run_files import best_of, flip, lines_of, records_of, snapshot, write_lines
from small_disk import small_disk

import search
from search.cli.main import main
from search.commands.clean import Cleaning, clean
from search.commands.verify import verify
from search.errors import SearchError
from search.study.trial import ranked

_OWNER = """
import signal, sys
from pathlib import Path
from search.run.disk.folder import RunFolder
with RunFolder(Path(sys.argv[1])).owned():
    print("owned", flush=True)
    signal.pause()
"""


def paths(cleaning: Cleaning) -> list[str]:
    return [item.path for item in cleaning.items]


def checkpoints(run: Path, *numbers: int) -> list[str]:
    """Of these trials, or of all."""
    found = sorted(run.glob("trials/*/checkpoint_*"))
    return [str(p.relative_to(run)) for p in found if not numbers or int(p.parent.name) in numbers]


def best_numbers(run: Path) -> list[int]:
    """All trials that have a value, best first."""
    return [record.number for record in ranked(records_of(run), "max")]


def test_after_a_search_there_is_nothing_to_remove(run: Path) -> None:
    before = snapshot(run)
    assert clean(run, dry_run=True).items == []
    assert clean(run).items == []
    assert {path: content for path, (_, content) in snapshot(run).items()} == {
        path: content for path, (_, content) in before.items()
    }


def test_a_dry_run_lists_files_with_their_bytes_and_writes_nothing(run: Path) -> None:
    best, *others = best_numbers(run)
    before = snapshot(run)
    cleaning = clean(run, dry_run=True, keep_trials=1)
    assert snapshot(run) == before
    assert (cleaning.dry_run, cleaning.keep_trials) == (True, 1)
    assert paths(cleaning) == checkpoints(run, *others) != []
    for item in cleaning.items:
        assert item.num_bytes == sum(file.stat().st_size for file in (run / item.path).iterdir())
    assert cleaning.num_bytes == sum(item.num_bytes for item in cleaning.items)
    assert checkpoints(run, best)


def test_clean_removes_what_the_dry_run_lists_and_the_run_is_intact(run: Path) -> None:
    named = clean(run, dry_run=True, keep_trials=2)
    before = {path for path in run.rglob("*") if path.is_file()}
    gone = {file for item in named.items for file in (run / item.path).iterdir()}
    cleaning = clean(run, keep_trials=2)
    assert cleaning.items == named.items
    assert {path for path in run.rglob("*") if path.is_file()} == before - gone | {run / "cleaned.json"}
    assert sorted({int(Path(path).parent.name) for path in checkpoints(run)}) == sorted(best_numbers(run)[:2])
    assert verify(run).damages == []
    assert search.export(run).value == best_of(run)[0].value("max")
    assert clean(run, keep_trials=2).items == []


def test_a_best_trial_that_cannot_be_exported_is_kept_and_not_counted(run: Path) -> None:
    first, second, third, *_ = best_numbers(run)
    flip(best_of(run)[1] / "state.pt")
    shutil.rmtree(best_of(run, 1)[1])
    rest_of_second = checkpoints(run, second)
    clean(run, keep_trials=1)
    assert sorted(checkpoints(run)) == sorted(checkpoints(run, first, third) + rest_of_second)
    assert checkpoints(run, first)
    assert search.export(run, trial=third).trial == third


def test_trials_that_have_not_ended_keep_their_checkpoints(run: Path) -> None:
    _, *others = best_numbers(run)
    unfinished = next(number for number in others if checkpoints(run, number))
    lines = lines_of(run)
    ends = [n for n, x in enumerate(lines) if x["op_code"] == 6 and x["trial_id"] == unfinished]
    write_lines(run, [line for number, line in enumerate(lines) if number not in ends])
    assert [record.number for record in records_of(run) if record.outcome is None] == [unfinished]
    before = checkpoints(run, unfinished)
    clean(run, keep_trials=1)
    assert checkpoints(run, unfinished) == before


def test_partial_files_and_damaged_checkpoints_are_removed(run: Path) -> None:
    trial = best_of(run)[1].parent
    for folder in (
        trial / "damaged_000002",
        trial / ".checkpoint_000007.partial",
        trial / ".checkpoint_000006.removed.partial",
        run / ".ray" / "jobs",
        run / ".export.partial",
    ):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(1234))
    for file in (run / ".summary.json.partial", run / ".config.yaml.partial", trial / ".trial.yaml.partial"):
        file.write_bytes(bytes(321))
    kept = {path for path in run.rglob("*") if not any(part.startswith(".") for part in path.parts)}
    cleaning = clean(run)
    assert {item.path: (item.num_bytes, item.why) for item in cleaning.items} == {
        f"trials/{trial.name}/damaged_000002": (1234, "damaged, set aside"),
        f"trials/{trial.name}/.checkpoint_000006.removed.partial": (1234, "left by an interrupted write"),
        f"trials/{trial.name}/.checkpoint_000007.partial": (1234, "left by an interrupted write"),
        f"trials/{trial.name}/.trial.yaml.partial": (321, "left by an interrupted write"),
        ".ray": (1234, "Ray's own files"),
        ".export.partial": (1234, "left by an interrupted write"),
        ".summary.json.partial": (321, "left by an interrupted write"),
        ".config.yaml.partial": (321, "left by an interrupted write"),
    }
    assert cleaning.num_bytes == 5 * 1234 + 3 * 321
    damaged = {trial / "damaged_000002", trial / "damaged_000002" / "file"}
    assert set(run.rglob("*")) == kept - damaged


def test_folders_of_trials_that_the_study_does_not_know_stay(run: Path) -> None:
    shutil.copytree(best_of(run)[1].parent, run / "trials" / "0042")
    before = checkpoints(run, 42)
    clean(run, keep_trials=1)
    assert checkpoints(run, 42) == before != []


@pytest.mark.parametrize("dry_run", [False, True])
def test_while_a_search_runs_it_is_refused(run: Path, dry_run: bool) -> None:
    owner = subprocess.Popen([sys.executable, "-c", _OWNER, str(run)], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "owned\n"
        before = snapshot(run)
        with pytest.raises(SearchError, match=f"belongs to a running search: process {owner.pid} on "):
            clean(run, dry_run=dry_run, keep_trials=1)
        assert snapshot(run) == before
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait(10)
    assert clean(run, dry_run=dry_run, keep_trials=1).items


def test_fewer_than_one_trial_and_other_folders_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="keep_trials is 0; must be at least 1"):
        clean(run, keep_trials=0)
    with pytest.raises(SearchError, match="is not the folder of a search"):
        clean(tmp_path)
    assert list(tmp_path.iterdir()) == [run]


def test_with_a_damaged_study_nothing_is_removed(run: Path) -> None:
    with (run / "study.journal").open("ab") as journal:
        journal.write(b"x\n{}\n")
    before = snapshot(run)
    with pytest.raises(SearchError, match="is damaged and cannot be read"):
        clean(run, keep_trials=1)
    assert {path: content for path, (_, content) in snapshot(run).items()} == {
        path: content for path, (_, content) in before.items()
    }


def test_what_cannot_be_removed_is_named(run: Path) -> None:
    with (
        small_disk(run / ".ray"),
        pytest.raises(SearchError, match=r"cannot remove .*\.ray: Device or resource"),
    ):
        clean(run)


def shown(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    main(["clean", *map(str, arguments)])
    return capsys.readouterr().out


def test_the_command_shows_each_path_with_its_size_and_the_sum_of_all(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = clean(run, dry_run=True, keep_trials=1)
    text = shown(capsys, run, "--dry-run", "--keep-trials", "1")
    lines = text.splitlines()
    assert lines[0] == f"would be removed from {run}:"
    for item, line in zip(expected.items, lines[1:], strict=False):
        assert line.split()[0] == item.path
        assert line.endswith(f"{item.num_bytes / 1000:.1f} kB  not the best trial")
    size = f"{expected.num_bytes / 1000:.1f} kB ({expected.num_bytes:,} bytes)"
    assert f"\n{len(expected.items)} items, {size}\n" in text
    assert text.endswith(f"\nnext\n  tune-search clean {run} --keep-trials 1\n")
    assert checkpoints(run) != checkpoints(run, best_numbers(run)[0])

    text = shown(capsys, run, "--keep-trials", "1")
    assert text.splitlines()[0] == f"removed from {run}:"
    assert size in text
    assert checkpoints(run) == checkpoints(run, best_numbers(run)[0])
    assert shown(capsys, run) == f"nothing to remove from {run}\n"


def test_a_cleaned_run_can_be_resumed(run: Path) -> None:
    before = {record.number: record.values for record in records_of(run)}
    clean(run, keep_trials=1)
    grown = resume_locally(run, overrides=["budget.trials=10"])
    assert (grown.status, grown.trials) == ("complete", 10)
    after = {record.number: record.values for record in records_of(run)}
    assert all(after[number][: len(values)] == values for number, values in before.items())
    assert json.loads((run / "summary.json").read_text())["trials"] == 10
    assert verify(run).damages == []


def test_the_command_explains_itself_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--help")
    assert "tune-search clean results/seg --dry-run\n" in text
    assert "tune-search clean results/seg --keep-trials 1\n" in text
