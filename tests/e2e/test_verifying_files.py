"""Damage to the study, the configuration, the export and other files of a run is named with its cost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_files import best_of, lines_of, only, records_of, write_lines

import search
from search.commands.damages import Damage
from search.commands.verify import verify
from search.errors import SearchError
from search.run.outcome.summary import Summary
from search.study.study import JOURNAL


@pytest.fixture
def run(finished_run: Summary, tmp_path: Path) -> Path:
    """A copy of a finished run, to damage."""
    return Path(shutil.copytree(finished_run.folder, tmp_path / "run"))


# The journal


def test_a_broken_line_is_reported_with_the_part_of_the_study_before_it(run: Path) -> None:
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
    with pytest.raises(SearchError, match="is damaged and cannot be read"):
        search.resume(run)
    (run / JOURNAL).write_bytes(b"".join(lines[:broken]))  # as was said
    assert len(records_of(run)) == 6


def test_a_missing_line_that_later_lines_need_is_found(run: Path) -> None:
    lines = lines_of(run)
    begun = [number for number, line in enumerate(lines) if line["op_code"] == 4]
    write_lines(run, lines[: begun[2]] + lines[begun[2] + 1 :])
    damage = next(damage for damage in verify(run).damages if damage.path == JOURNAL)
    assert damage.what == f"line {begun[3]} does not fit the lines before it"
    assert f"beyond line {begun[3] - 1}: 2 of 8 trials are before it" in damage.cost


def test_half_a_last_line_costs_one_record_at_most(run: Path) -> None:
    with (run / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code":7,"wor')
    damage = only(verify(run))
    assert damage == Damage(
        JOURNAL,
        "ends in half a line of 17 bytes",
        "one record at most, which is written again when the search continues",
    )


def test_a_missing_virtual_epoch_is_found(run: Path) -> None:
    lines = lines_of(run)
    gap = next(n for n, x in enumerate(lines) if x["op_code"] == 7 and x["step"] == 2)
    write_lines(run, lines[:gap] + lines[gap + 1 :])
    damage = next(damage for damage in verify(run).damages if damage.path == JOURNAL)
    trial = lines[gap]["trial_id"]
    assert damage.what == f"trial {trial} has no value at virtual epoch 2"
    assert damage.cost == f"the later values of trial {trial} count for earlier virtual epochs than theirs"


def test_a_changed_value_is_found_by_the_checkpoint(run: Path) -> None:
    record, checkpoint = best_of(run)
    lines = lines_of(run)
    changed = next(x for x in lines if x["op_code"] == 7 and x["trial_id"] == record.number)
    before = changed["intermediate_value"]
    changed["intermediate_value"] = before / 2
    write_lines(run, lines)
    damage = next(d for d in verify(run).damages if d.path == str(checkpoint.relative_to(run)))
    assert damage.what == f"says accuracy {before} at virtual epoch 1, and the study {before / 2}"
    assert damage.cost == "the search uses the value in the study, an export the one in the checkpoint"


def test_a_missing_journal_is_named(run: Path) -> None:
    (run / JOURNAL).unlink()
    damage = next(damage for damage in verify(run).damages if damage.path == JOURNAL)
    assert damage.what == "cannot be read: No such file or directory"
    assert damage.cost == "every parameter and value in it"


def test_the_study_of_an_older_run_is_checked_too(run: Path) -> None:
    lines = (run / JOURNAL).read_bytes().splitlines(keepends=True)
    (run / "history.journal").write_bytes(b"".join([*lines[:-1], b"x\n"]))
    damage = only(verify(run))
    assert (damage.path, damage.what) == ("history.journal", f"line {len(lines)} is not JSON")


# The other files


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [("mode: max", "mode: maxi", "objective.mode: received 'maxi'"), ("name: digits", "name: [", "")],
)
def test_a_broken_configuration_is_named(run: Path, old: str, new: str, what: str) -> None:
    text = (run / "config.yaml").read_text()
    assert old in text
    (run / "config.yaml").write_text(text.replace(old, new))
    damage = only(verify(run))
    assert damage.path == "config.yaml"
    assert what in damage.what
    assert damage.cost.startswith(
        "the search cannot continue and nothing can be exported until it is repaired"
    )


def test_a_missing_configuration_is_named(run: Path) -> None:
    (run / "config.yaml").unlink()
    assert only(verify(run)).path == "config.yaml"


def test_neither_the_task_nor_a_variable_of_a_path_is_needed(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    assert "trial:\n" in text
    text = text.replace("trial:\n", "trial:\n  data: {root: '${env:NOT_SET_HERE}/x'}\n")
    (run / "config.yaml").write_text(text.replace("tiny_tasks:DigitsTask", "tasks_of_elsewhere:DigitsTask"))
    assert verify(run).damages == []


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
def test_a_damaged_export_is_named(run: Path, name: str, action: Callable[[Path], Any], what: str) -> None:
    action(search.export(run).folder / name)
    damage = only(verify(run))
    assert damage.path == f"export/{name}"
    assert damage.what.startswith(what)
    assert damage.cost == f"this export cannot be used; `tune-search export {run}` writes it again"


def test_an_empty_checksum_file_is_a_damage_of_every_file(run: Path) -> None:
    empty(search.export(run).folder / "SHA256SUMS")
    found = verify(run).damages
    assert len(found) == 4
    assert all("SHA256SUMS says nothing" in damage.what for damage in found)


@pytest.mark.parametrize(("name", "cost"), [("summary.json", "none: "), ("provenance.json", "changes ")])
def test_a_broken_json_file_is_named(run: Path, name: str, cost: str) -> None:
    with (run / name).open("r+") as file:
        file.truncate(20)
    damage = only(verify(run))
    assert damage.path == name
    assert damage.what.startswith("cannot be read: ")
    assert damage.cost.startswith(cost)


def test_another_folder_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="is not the folder of a search"):
        verify(tmp_path)
    run.chmod(0o777)
    with pytest.raises(SearchError, match="chmod go-w"):
        verify(run)
