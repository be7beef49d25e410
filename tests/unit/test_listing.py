"""`list`: which runs are found, their states, and what is said of each."""

from __future__ import annotations

import json
import os
import termios
import time
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from click.testing import CliRunner
from filelock import FileLock
from listed_runs import asked, begun, own_owner, reading, written_keys
from run_files import snapshot

import search
from search.cli.main import cli
from search.config.stages import open_run
from search.errors import SearchError
from search.listing.find import find_runs, size_of
from search.listing.runs import ListedRun
from search.listing.show import ShownRun
from search.listing.state import State
from search.run.disk import heartbeat, owner
from search.run.disk.folder import RunFolder
from search.run.disk.heartbeat import FORGOTTEN_SECONDS, Listener
from search.run.disk.owner import SILENCE_SECONDS, Owner
from search.run.outcome.summary import Summary
from search.screen.columns import terminal_width
from search.screen.texts.list import runs_text
from search.study.reading import read_records
from search.study.study import SearchStudy

pytestmark = pytest.mark.usefixtures("no_fsync")


def only(folder: Path) -> ListedRun:
    (run,) = search.list_runs(folder)
    return run


def test_a_finished_run_is_listed_with_what_its_summary_says(finished_run: Summary) -> None:
    run = only(Path(finished_run.folder).parent)
    assert run.name == "digits"
    assert run.state.state is State.COMPLETE
    assert run.state.reason == finished_run.reason
    assert run.best is not None
    assert finished_run.best is not None
    assert (run.best[1].number, run.best_value) == (finished_run.best.trial, finished_run.best.value)
    assert run.progress is not None
    assert run.progress[:4] == (finished_run.trials, finished_run.trials, 9, 1.0)
    assert run.as_dict()["last_report"].endswith("Z")
    assert set(run.as_dict()) == written_keys("a run")


def test_looking_changes_no_file_and_waits_for_no_lock(run: Path) -> None:
    before = snapshot(run)
    lock = FileLock(run / ".owner.lock")
    with lock:
        before = snapshot(run)
        search.list_runs(run.parent)
        search.show(run)
        search.show(run, trial=0)
        assert snapshot(run) == before


def test_runs_are_found_in_subfolders_and_not_inside_of_runs(tmp_path: Path) -> None:
    for name in ("b", "a/deep er/c", ".hidden/d", "b/export/e", "empty/f"):
        begun(tmp_path / "results" / name).step()
    (tmp_path / "results/empty/f/config.yaml").unlink()
    (tmp_path / "results/linked").symlink_to(tmp_path / "results/a")
    (tmp_path / "results/run linked").symlink_to(tmp_path / "results/b")
    found = [run.path.relative_to(tmp_path / "results") for run in find_runs(tmp_path / "results")]
    assert list(map(str, found)) == ["a/deep er/c", "b", "run linked"]
    assert only(tmp_path / "results/b").name == "b"


def test_a_folder_that_cannot_be_read_is_told_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        begun(tmp_path / name).step()
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    unread: list[OSError] = []
    assert len(search.list_runs(tmp_path, unread=unread.append)) == 2
    assert [Path(error.filename).name for error in unread] == ["closed"]
    found = CliRunner().invoke(cli, ["list", str(tmp_path)])
    assert f"note: cannot read {tmp_path}/closed: Permission denied" in found.stderr


def test_links_that_lead_nowhere_hide_no_run(tmp_path: Path) -> None:
    begun(tmp_path / "results/run").step()
    (tmp_path / "results/loop").symlink_to("loop")
    unread: list[OSError] = []
    assert [run.name for run in search.list_runs(tmp_path / "results", unread=unread.append)] == ["run"]
    assert [Path(error.filename).name for error in unread] == ["loop"]


def test_a_copy_of_a_run_reported_when_the_run_did(tmp_path: Path) -> None:
    begun(tmp_path / "results/run").run(max_reports=7)
    copytree(tmp_path / "results/run", tmp_path / "results/copy")
    for name, seconds in (("run", 5000.0), ("copy", 0.0)):
        at = time.time() - seconds
        os.utime(tmp_path / f"results/{name}/study.journal", (at, at))
    records = read_records(tmp_path / "results/run/study.journal")
    heard_of = max(record.jobs[-1].heard_of for record in records if record.jobs)
    assert [run.last_report for run in search.list_runs(tmp_path / "results")] == [heard_of, heard_of]


def test_the_newest_activity_comes_first(tmp_path: Path) -> None:
    for name, seconds in (("old", 5000.0), ("new", 10.0), ("middle", 900.0)):
        begun(tmp_path / name)  # no trial has begun: only the journal's own time is known
        at = time.time() - seconds
        os.utime(tmp_path / name / "study.journal", (at, at))
    assert [run.name for run in search.list_runs(tmp_path)] == ["new", "middle", "old"]


def test_a_search_that_ended_without_a_summary_is_interrupted(tmp_path: Path) -> None:
    begun(tmp_path / "run").run(max_reports=7)
    run = only(tmp_path)
    assert run.state.state is State.INTERRUPTED
    assert "no summary" in run.state.reason
    assert run.progress is not None
    assert run.progress.of == 12
    assert 0 < run.progress.share < 1


def test_an_interrupted_and_a_failed_search_are_what_their_summary_says(broken_off: Path, run: Path) -> None:
    assert only(broken_off).state.state is State.INTERRUPTED
    file = run / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "failed", "reason": "no memory"}))
    listed = only(run)
    assert (listed.state.state, listed.state.reason) == (State.FAILED, "no memory")
    assert "run: no memory" in runs_text([listed], run)


def test_a_search_that_failed_and_was_killed_when_it_went_on_is_interrupted(run: Path) -> None:
    file = run / "summary.json"
    summary = json.loads(file.read_text())
    assert summary["sessions"] == reading(run).stages[0].study.session == 1
    file.write_text(json.dumps(summary | {"status": "failed", "reason": "no memory"}))
    assert only(run).state.state is State.FAILED
    space = open_run(run / "config.yaml").first.space
    SearchStudy(run / "study.journal", name="digits", mode="max", space=space, claim=True)
    listed = only(run)
    assert (listed.state.state, listed.state.reason) == (
        State.INTERRUPTED,
        "it went on after it had failed, and was killed",
    )


def test_a_command_that_works_in_a_folder_does_not_make_its_search_run(run: Path) -> None:
    with RunFolder(run).owned(doing="clean"):
        assert only(run).state.state is State.COMPLETE
        with pytest.raises(SearchError, match=r"process \d+ \(clean\) on "):
            search.resume(run, local=True)


def test_a_search_that_was_killed_when_it_went_on_after_its_end_is_interrupted(run: Path) -> None:
    config = (run / "config.yaml").read_text()
    assert "trials: 9" in config
    (run / "config.yaml").write_text(config.replace("trials: 9", "trials: 12"))
    assert only(run).state.state is State.INTERRUPTED
    (run / "config.yaml").write_text(config)
    assert only(run).state.state is State.COMPLETE


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("study.journal", b"{}\n[]\n"),
        ("config.yaml", b"name: [\n"),
        ("summary.json", b"{"),
        ("summary.json", {"trials": "x"}),
        ("summary.json", {"status": "over"}),
    ],
)
def test_a_file_that_cannot_be_read_is_named(run: Path, file: str, content: bytes | dict[str, Any]) -> None:
    if isinstance(content, dict):
        content = json.dumps(json.loads((run / file).read_bytes()) | content).encode()
    (run / file).write_bytes(content)
    listed = only(run)
    assert listed.state.state is State.DAMAGED
    assert listed.state.damaged == file
    assert f"damaged: {file}" in runs_text([listed], run)
    json.dumps(listed.as_dict(), allow_nan=False)


# --- who runs it


def test_a_process_that_lives_here_is_running_and_one_that_has_ended_is_not(tmp_path: Path) -> None:
    begun(tmp_path / "run").step()
    own_owner(tmp_path / "run")
    state = only(tmp_path).state
    assert state.state is State.RUNNING
    assert state.heard is not None
    assert state.heard.owner.pid == os.getpid()
    own_owner(tmp_path / "run", begun=Owner.here().begun + 1)  # the same pid, given to another process
    assert only(tmp_path).state.state is State.INTERRUPTED


def test_an_owner_elsewhere_is_running_once_it_is_heard_of_and_perhaps_before(tmp_path: Path) -> None:
    begun(tmp_path / "run").step()
    file = own_owner(tmp_path / "run", host="w2", boot="boot-2")
    listener = Listener([file])
    assert [owner.host for owner in listener.waits_for] == ["w2"]
    heard = listener.heard(file)
    assert heard is not None
    assert not heard.is_certain
    assert listener.heard(file, silence=0.0) is None
    os.utime(file, (1, 1))
    heard = listener.heard(file)
    assert heard is not None
    assert heard.is_certain
    assert not listener.waits_for


def test_who_is_silent_is_perhaps_running_with_the_time_since_and_dead_after_an_hour(tmp_path: Path) -> None:
    begun(tmp_path / "run").step()
    file = own_owner(tmp_path / "run", host="w2", boot="boot-2")
    for seconds, state in ((130.0, State.PERHAPS), (FORGOTTEN_SECONDS + 5, State.INTERRUPTED)):
        at = time.time() - seconds
        os.utime(file, (at, at))
        run = only(tmp_path)
        assert run.state.state is state
        assert ("perhaps running on w2, last heard of 2 min ago" in runs_text([run], tmp_path)) == (
            state is State.PERHAPS
        )


def test_a_silent_owner_of_one_folder_is_dead_when_a_search_would_take_it_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "ASKED_SECONDS", 0.0)
    begun(tmp_path / "run").step()
    file = own_owner(tmp_path / "run", host="w2", boot="boot-2")
    for seconds, state in ((30.0, State.PERHAPS), (SILENCE_SECONDS + 5, State.INTERRUPTED)):
        at = time.time() - seconds
        os.utime(file, (at, at))
        shown = search.show(tmp_path / "run")
        assert isinstance(shown, ShownRun)
        assert shown.run.state.state is state
        assert search.dashboard(tmp_path / "run").is_running == (state is State.PERHAPS)


def test_an_owner_of_an_older_version_is_dead_if_nobody_has_its_pid(tmp_path: Path) -> None:
    begun(tmp_path / "run").step()
    own_owner(tmp_path / "run", pid=2**30, boot="", pids="", begun=0)
    assert only(tmp_path).state.state is State.INTERRUPTED
    own_owner(tmp_path / "run", boot="", pids="", begun=0)  # its pid may be another process's by now
    assert only(tmp_path).state.state is State.PERHAPS


def test_a_process_that_the_kernel_hides_is_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(pid: int, signal: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    begun(tmp_path / "run").step()
    own_owner(tmp_path / "run")
    # As hidepid=2 and a process of another user look.
    monkeypatch.setattr(owner, "_begun", lambda pid: 0)
    monkeypatch.setattr(os, "kill", refused)
    assert only(tmp_path).state.state is State.PERHAPS


def test_many_owners_elsewhere_are_listened_to_at_once(tmp_path: Path) -> None:
    for number in range(8):
        begun(tmp_path / f"run-{number}").step()
        own_owner(tmp_path / f"run-{number}", host="w2", boot="boot-2")
    start = time.monotonic()
    runs = search.list_runs(tmp_path)
    assert time.monotonic() - start < 8
    assert {run.state.state for run in runs} == {State.PERHAPS}


# --- how far


def test_the_progress_is_that_of_the_limit_that_is_used_up_first(tmp_path: Path) -> None:
    budget = {"trials": 100, "full_trainings": 4, "max_virtual_epochs": 9, "steps": 10**6}
    begun(tmp_path / "run", asked(budget=budget)).run(max_reports=18)
    progress = only(tmp_path).progress
    assert progress is not None
    assert progress.by == "full_trainings"
    assert progress.share == pytest.approx(18 / 36)


def test_files_are_counted_once_and_up_to_a_number(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b").write_bytes(b"x" * 10)
    os.link(tmp_path / "a", tmp_path / "sub/c")
    assert size_of(tmp_path) == (110, True)
    assert not size_of(tmp_path, most_files=2).is_whole


# --- as text


def test_a_narrow_terminal_shows_fewer_columns_and_wraps_nothing(tmp_path: Path) -> None:
    for name in ("seg", "a/run with a long name in a folder with a long name"):
        begun(tmp_path / name).run(max_reports=9)
    own_owner(tmp_path / "seg")
    runs = search.list_runs(tmp_path)
    titles = []
    for width in (160, 120, 100, 80, 60, 30):
        lines = runs_text(runs, tmp_path, width=width).splitlines()
        assert len(lines) == 3
        assert max(map(len, lines)) <= width
        titles.append(len(lines[0].split("  ")))
        assert lines[0].startswith("run")
    assert titles == sorted(titles, reverse=True)
    assert "size" in runs_text(runs, tmp_path)


def test_names_and_notes_have_no_control_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[31mb\nc"
    begun(folder).run(max_reports=9)
    (folder / "summary.json").write_text("{")
    (tmp_path / "d\x1b").symlink_to("d\x1b")
    for arguments in (["list", str(tmp_path)], ["show", str(folder)], ["show", str(folder), "--trial", "0"]):
        found = CliRunner().invoke(cli, arguments)
        assert "\\x1b[31mb\\nc" in found.stdout
        assert "\x1b" not in found.stdout + found.stderr


def test_a_terminal_without_a_width_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    near, far = os.openpty()  # with no columns until somebody says otherwise
    with os.fdopen(near), os.fdopen(far, "w") as out:
        assert terminal_width(out) is None
        termios.tcsetwinsize(out.fileno(), (24, 70))
        assert terminal_width(out) == 70


def test_the_command_prints_plain_json_and_says_where_there_is_nothing(tmp_path: Path) -> None:
    begun(tmp_path / "results/run").step()
    found = CliRunner().invoke(cli, ["list", str(tmp_path / "results"), "--json"])
    (run,) = json.loads(found.stdout)
    assert run["state"] == "interrupted"
    (tmp_path / "nothing").mkdir()
    assert "no runs in" in CliRunner().invoke(cli, ["list", str(tmp_path / "nothing")]).stdout
    missing = CliRunner().invoke(cli, ["list", str(tmp_path / "result")])
    assert missing.exit_code == 2
    assert "did you mean" in missing.output
