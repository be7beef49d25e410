"""A run that is kept in a storage: mirrored, continued elsewhere, owned by one driver; and what goes wrong.

The storage is a folder here, by the same code as S3: test_storage_s3.py has a real server.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from in_process import resume_locally, search_locally
from programs import write_config
from tiny_tasks import search_config

from search.cli.main import cli
from search.errors import ConfigError, RefusedError, SearchError
from search.fetching.fetch import fetch
from search.mirror import claim
from search.mirror.head import read_head
from search.run.events import Event, EventKind
from search.run.reporter import ProgressReporter
from search.study.journal import OvertakenError
from search.study.reading import read_records
from search.study.trial import TrialRecord
from trainables.checkpoints.checkpoint import list_checkpoints, read_checkpoint
from trainables.storage.address import checked_address
from trainables.storage.store import Store

SMALL: dict[str, Any] = {"budget": {"trials": 5, "max_virtual_epochs": 4}}
DIE = """
import os, sys
from in_process import search_locally
from search.run.events import EventKind
from search.run.reporter import ProgressReporter
from tiny_tasks import search_config

class Dies(ProgressReporter):
    left = int(sys.argv[3])

    def event(self, event):
        self.left -= event.kind is EventKind.REPORTED
        if self.left == 0:
            os._exit(9)

search_locally(search_config(storage=sys.argv[2], **eval(sys.argv[4])), results=sys.argv[1], reporter=Dies())
"""


def die(results: Path, storage: str, after: int, **sections: Any) -> None:
    """A search in a process that dies in the middle of its n-th report, before anything is mirrored of it."""
    arguments = [str(results), storage, str(after), repr(sections)]
    done = subprocess.run([sys.executable, "-c", DIE, *arguments], timeout=120, check=False)
    assert done.returncode == 9


def told(folder: Path) -> list[tuple[Any, ...]]:
    """What a study says of its trials, without times."""
    return [
        (record.number, record.params, record.values, record.outcome, record.reason, record.promoted_at)
        for record in read_records(folder / "study.journal")
    ]


def best_weights(record: TrialRecord, folder: Path) -> Mapping[str, Any]:
    number = record.best_virtual_epoch("max")
    return read_checkpoint(folder / "trials" / f"{record.number:04d}", number).weights()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("uninterrupted")
    search_locally(search_config(**SMALL), results=results)
    return results / "digits"


def test_another_machine_goes_on_exactly(tmp_path: Path, uninterrupted: Path) -> None:
    storage = f"file://{tmp_path}/storage"
    die(tmp_path / "lost", storage, 6, **SMALL)
    shutil.rmtree(tmp_path / "lost")
    summary = resume_locally(f"{storage}/digits", results=tmp_path / "here")
    assert summary.status == "complete"
    assert told(tmp_path / "here/digits") == told(uninterrupted)
    best = read_records(uninterrupted / "study.journal")[summary.best.trial]  # type: ignore[union-attr]
    expected = best_weights(best, uninterrupted)
    found = best_weights(best, tmp_path / "here/digits")
    assert all((found[name] == expected[name]).all() for name in expected)


def test_the_same_command_on_another_machine_goes_on_too(tmp_path: Path, uninterrupted: Path) -> None:
    storage = f"file://{tmp_path}/storage"

    class Stops(ProgressReporter):
        def event(self, event: Event) -> None:
            if event.kind is EventKind.PAUSED and event.record.number == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_locally(search_config(storage=storage, **SMALL), results=tmp_path / "lost", reporter=Stops())
    shutil.rmtree(tmp_path / "lost")
    search_locally(search_config(storage=storage, **SMALL), results=tmp_path / "here")
    assert told(tmp_path / "here/digits") == told(uninterrupted)


def test_the_mirror_of_a_complete_search_is_its_folder(tmp_path: Path) -> None:
    storage = f"file://{tmp_path}/storage"
    search_locally(search_config(storage=storage, **SMALL), results=tmp_path / "here")
    folder, store = tmp_path / "here/digits", Store(f"{storage}/digits")
    head = read_head(store)
    assert head is not None
    assert head.journal(store, "study.journal") == (folder / "study.journal").read_bytes()
    small = {"config.yaml", "data.fingerprint", "provenance.json", "summary.json"}
    assert {name: head.file(store, name) for name in head.files} == {
        name: (folder / name).read_bytes() for name in small
    }
    here = {(trial.name, number) for trial in folder.glob("trials/*") for number in list_checkpoints(trial)}
    there = {tuple(name.split("/")[1:3]) for name in store.names("trials") if "checkpoint_" in name}
    assert {(trial, f"checkpoint_{number:06d}") for trial, number in here} == there


def test_a_search_without_a_storage_gets_one_later(tmp_path: Path, uninterrupted: Path) -> None:
    shutil.copytree(uninterrupted, tmp_path / "here/digits")
    storage = f"file://{tmp_path}/storage"
    resume_locally(tmp_path / "here/digits", overrides=[f"storage={storage}", "budget.trials=6"])
    (tmp_path / "here").rename(tmp_path / "away")
    resume_locally(f"{storage}/digits", results=tmp_path / "here", overrides=["budget.trials=7"])
    assert len(told(tmp_path / "here/digits")) == 7


def test_a_run_is_looked_at_verified_and_exported_from_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"file://{tmp_path}/storage"
    search_locally(search_config(storage=storage, **SMALL), results=tmp_path / "lost")
    shutil.rmtree(tmp_path / "lost")
    monkeypatch.chdir(tmp_path)

    def said(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli, list(arguments))
        assert done.exit_code == code, done.output
        return done.output

    (listed,) = json.loads(said("list", storage, "--json"))
    assert (listed["name"], listed["state"], listed["trials_ended"]) == ("digits", "complete", 5)
    assert listed["folder"] == f"{storage}/digits"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["storage"], "list leaves nothing"
    assert "trial  accuracy" in said("show", f"{storage}/digits")
    folder = tmp_path / "results/digits"
    assert not list(folder.glob("trials/*/checkpoint_*")), "show needs none"
    assert "no problems found" in said("verify", f"{storage}/digits")
    said("report", f"{storage}/digits")
    assert (folder / "report.html").is_file()
    assert list(folder.glob("trials/*/events.*")), "its pictures"
    said("export", f"{storage}/digits")
    assert (folder / "export/model.safetensors").is_file()
    assert len(list(folder.glob("trials/*/checkpoint_*"))) == 1
    assert "checkpoint" in said("fetch", f"{storage}/digits")
    here = {(path.parent.name, path.name) for path in folder.glob("trials/*/checkpoint_*")}
    there = {(path.parts[-4], path.parts[-3]) for path in tmp_path.glob("storage/**/manifest.json")}
    assert here == there


def test_verify_names_what_is_damaged_in_the_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = f"file://{tmp_path}/storage"
    search_locally(search_config(storage=storage, **SMALL), results=tmp_path / "lost")
    best = json.loads((tmp_path / "lost/digits/summary.json").read_text())["best"]
    shutil.rmtree(tmp_path / "lost")
    trial = tmp_path / f"storage/digits/trials/{best['trial']:04d}"
    (file,) = trial.glob(f"checkpoint_{best['virtual_epoch']:06d}/*/model.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["verify", f"{storage}/digits"])
    assert done.exit_code == 1
    assert "damaged in the storage: model.safetensors: SHA-256 is" in done.output
    assert CliRunner().invoke(cli, ["fetch", f"{storage}/digits"]).exit_code == 1


def test_fetching_again_follows_a_search_that_goes_on(tmp_path: Path) -> None:
    storage = f"file://{tmp_path}/storage"
    search_locally(search_config(storage=storage, **SMALL), results=tmp_path / "a")
    first = fetch(f"{storage}/digits", tmp_path / "b")
    resume_locally(tmp_path / "a/digits", overrides=["budget.trials=7"])
    again = fetch(f"{storage}/digits", tmp_path / "b")
    assert (first.folder, first.damaged) == (again.folder, again.damaged) == (tmp_path / "b/digits", ())
    journals = [(tmp_path / each / "digits/study.journal").read_bytes() for each in "ab"]
    assert journals[0] == journals[1]
    events = [sorted(p.name for p in (tmp_path / each).rglob("events.*")) for each in "ab"]
    assert events[0] == events[1]


def test_a_driver_that_was_overtaken_stops_with_a_line_and_damages_nothing(tmp_path: Path) -> None:
    storage = f"file://{tmp_path}/storage"
    store = Store(f"{storage}/digits")

    class Overtaken(ProgressReporter):
        reports = 0

        def event(self, event: Event) -> None:
            self.reports += event.kind is EventKind.REPORTED
            if self.reports == 3:
                self.reports += 1
                assert store.create("owner/000002.json", json.dumps({"pid": 1, "host": "other"}).encode())

    with pytest.raises(OvertakenError, match="session 2 of this search has begun elsewhere"):
        search_locally(search_config(storage=storage, **SMALL), results=tmp_path / "a", reporter=Overtaken())
    head = read_head(store)
    assert head is not None
    assert not store.names("driver/000002")
    assert b"trial" in head.journal(store, "study.journal")


def test_a_second_driver_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    storage = f"file://{tmp_path}/storage"

    class Second(ProgressReporter):
        refusal = ""

        def begin(self, *_: Any) -> None:
            with pytest.raises(SearchError, match="belongs to a running search: process") as caught:
                search_locally(search_config(storage=storage, **SMALL), results=tmp_path / "b")
            self.refusal = str(caught.value)

    reporter = Second()
    search_locally(search_config(storage=storage, **SMALL), results=tmp_path / "a", reporter=reporter)
    assert "end that one first" in reporter.refusal


@pytest.mark.parametrize("lives", [True, False])
def test_an_owner_elsewhere_is_watched_before_it_is_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    store, said = Store(f"file://{tmp_path}/run"), list[str]()
    monkeypatch.setattr(claim, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(claim, "_LOOK_SECONDS", 0.05)
    first = claim.take(store, {"pid": 1, "host": "a"}, lives=lambda owner: None, say=said.append)

    if lives:
        watched = store.read("owner/000001.json")
        monkeypatch.setattr(claim.time, "sleep", lambda seconds: first.beat())
        with pytest.raises(SearchError, match="process 1 on a"):
            claim.take(store, {"pid": 2, "host": "b"}, lives=lambda owner: None, say=said.append)
        assert store.read("owner/000001.json") != watched
    else:
        second = claim.take(store, {"pid": 2, "host": "b"}, lives=lambda owner: None, say=said.append)
        assert second.session == 2
        assert said == [
            "the last search here was process 1 on a since ?: waiting up to 0 s for a sign of life"
        ]
        with pytest.raises(OvertakenError):
            first.beat()


def test_who_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}/run")
    for session in (1, 2, 3):
        taken = claim.take(store, {"pid": 1}, lives=lambda owner: None, say=pytest.fail)
        assert taken.session == session
        taken.release()


def test_a_folder_and_a_mirror_that_went_on_apart_are_refused(tmp_path: Path) -> None:
    storage = f"file://{tmp_path}/storage"
    two = {"budget": {"trials": 2, "max_virtual_epochs": 2}}
    search_locally(search_config(storage=storage, **two), results=tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    resume_locally(tmp_path / "a/digits", overrides=["budget.trials=3"])
    with (tmp_path / "b/digits/study.journal").open("a") as journal:
        journal.write('{"op_code":2,"worker_id":"x","study_id":0,"user_attr":{"y":1}}\n')
    with pytest.raises(RefusedError, match=r"have gone on apart.*move the folder here away"):
        resume_locally(tmp_path / "b/digits", overrides=["budget.trials=4"])


@pytest.mark.parametrize("piece", ["head.json", "study.journal", "config.yaml"])
def test_a_damaged_mirror_is_never_believed(tmp_path: Path, piece: str) -> None:
    storage = f"file://{tmp_path}/storage"
    two = {"budget": {"trials": 2, "max_virtual_epochs": 2}}
    search_locally(search_config(storage=storage, **two), results=tmp_path / "a")
    file = sorted((tmp_path / "storage/digits/driver/000001").glob(piece))[0]
    file = sorted(file.iterdir())[0] if file.is_dir() else file
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(SearchError, match="is damaged"):
        resume_locally(f"{storage}/digits", results=tmp_path / "b")


def test_an_address_that_has_no_run_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "storage/seg/owner").mkdir(parents=True)
    with pytest.raises(RefusedError, match="no search has been mirrored there"):
        resume_locally(f"file://{tmp_path}/storage/seg", results=tmp_path / "here")
    assert not (tmp_path / "here/seg").exists()


@pytest.mark.parametrize(
    ("address", "rule"),
    [
        ("results", "must be an address"),
        ("ftp://host/x", "must begin with file://, s3://, gs://"),
        ("s3://", "must name a bucket"),
        ("file://host/x", "three slashes"),
        ("file:///", "must name a folder"),
        ("s3://bucket/a/../b", "without empty parts"),
        ("s3://bucket//a", "without empty parts"),
    ],
)
def test_what_is_no_address_is_refused(address: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        search_locally(search_config(storage=address))


@pytest.mark.parametrize("address", ["s3://KEY:SECRET@bucket/runs", "s3://bucket/runs?secret=SECRET"])
def test_a_password_in_an_address_is_refused_and_not_shown(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValueError, match="AWS_ACCESS_KEY_ID") as caught:
        checked_address(address)
    assert "SECRET" not in str(caught.value)
    with pytest.raises(ConfigError) as refused:
        search_locally(search_config(storage=address))
    assert "SECRET" not in str(refused.value)
    done = CliRunner().invoke(cli, [str(write_config(tmp_path)), "--storage", address])
    assert done.exit_code == 2
    assert "AWS_ACCESS_KEY_ID" in done.output
    assert "SECRET" not in done.output
