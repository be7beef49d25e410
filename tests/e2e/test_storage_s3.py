"""A run in S3: a real server, and what networks do to requests. Nothing is lost, nothing half believed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally, search_locally
from s3_server import BUCKET, Proxy, Request, s3_server
from small_trials import digits_plan, run
from tiny_tasks import search_config

from search.errors import SearchError
from search.run.events import Event, EventKind
from search.run.reporter import ProgressReporter
from search.study.reading import read_records
from trainables.checkpoints.checkpoint import list_checkpoints
from trainables.checkpoints.stored import TrialStore
from trainables.fence import SupersededError
from trainables.session import TrialSession
from trainables.storage import store as stores
from trainables.storage.errors import StorageError
from trainables.storage.store import Store

SMALL: dict[str, Any] = {"budget": {"trials": 3, "max_virtual_epochs": 3}}
RUNS = f"s3://{BUCKET}/runs"


@pytest.fixture(scope="module")
def server() -> Iterator[Proxy]:
    with pytest.MonkeyPatch.context() as patch, s3_server(patch) as proxy:
        yield proxy


@pytest.fixture
def s3(server: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The server, empty, whose answers are as they should be until a test says otherwise."""
    monkeypatch.setattr(stores, "_FIRST_WAIT", 0.05)
    monkeypatch.setattr("trainables.checkpoints.stored._LOOK_SECONDS", 0.05)
    server.reset()
    yield server
    server.reset()
    store = Store(f"s3://{BUCKET}")
    store.remove(store.names())


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What the study of the same search says that has no storage."""
    results = tmp_path_factory.mktemp("expected")
    search_locally(search_config(**SMALL), results=results)
    return told(results / "digits")


def told(folder: Path) -> list[tuple[Any, ...]]:
    records = read_records(folder / "study.journal")
    return [(record.number, record.params, record.values, record.outcome) for record in records]


def first(number: int, matches: Callable[[Request], bool]) -> Callable[[Request], bool]:
    """Of the first so many requests that match."""
    left = [number]

    def is_one(request: Request) -> bool:
        if not matches(request) or not left[0]:
            return False
        left[0] -= 1
        return True

    return is_one


def is_put(request: Request) -> bool:
    return request.method == "PUT"


def is_weights(request: Request) -> bool:
    return is_put(request) and "model.safetensors" in request.path


def search_there(results: Path, **options: Any) -> Any:
    return search_locally(search_config(storage=RUNS, **SMALL), results=results, **options)


def search_that_ends_for(reason: str, results: Path) -> None:
    """Where a trial met the reason first, the summary has it; where it is met at the end, an error has."""
    told = ""
    try:
        summary = search_there(results)
        assert summary.status == "failed"
        told = summary.reason
    except SearchError as error:
        told = str(error)
    assert re.search(reason, told)


def test_a_search_is_mirrored_to_s3_and_goes_on_from_there(
    tmp_path: Path, s3: Proxy, expected: list[tuple[Any, ...]]
) -> None:
    class Stops(ProgressReporter):
        def event(self, event: Event) -> None:
            if event.kind is EventKind.PAUSED and event.record.number == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_there(tmp_path / "a", reporter=Stops())
    shutil.rmtree(tmp_path / "a")
    summary = resume_locally(f"{RUNS}/digits", results=tmp_path / "b")
    assert summary.status == "complete"
    assert told(tmp_path / "b/digits") == expected
    assert summary.best is not None
    trial = tmp_path / f"b/digits/trials/{summary.best.trial:04d}"
    assert summary.best.virtual_epoch in list_checkpoints(trial), "export finds it"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(b"of-the-test" not in path.read_bytes() for path in files)


def test_503_for_a_while_and_a_slow_server_change_nothing(
    tmp_path: Path, s3: Proxy, expected: list[tuple[Any, ...]]
) -> None:
    unavailable = first(8, lambda request: len(s3.requests) > 20)
    s3.refuse = lambda request: (503, "SlowDown") if unavailable(request) else None
    s3.delay = lambda request: 0.02
    assert search_there(tmp_path).status == "complete"
    assert told(tmp_path / "digits") == expected
    assert not unavailable(Request("GET", "")), "all of the 503 were given"


def test_an_upload_that_is_cut_is_sent_again_and_half_of_it_is_never_there(
    tmp_path: Path, s3: Proxy, expected: list[tuple[Any, ...]]
) -> None:
    cut = first(6, is_weights)
    s3.cut = cut
    search_there(tmp_path)
    assert told(tmp_path / "digits") == expected
    assert not cut(Request("PUT", "model.safetensors")), "all were cut"
    for trial in sorted((tmp_path / "digits/trials").iterdir()):
        there = TrialStore(f"{RUNS}/digits/trials/{trial.name}", tmp_path / "fetched" / trial.name)
        listing = there.listing()
        assert listing.virtual_epochs == list_checkpoints(trial)
        for stored in listing.whole:
            there.get(stored)  # verified
        assert not listing.torn


def test_lost_credentials_end_the_search_with_a_line_and_it_goes_on_with_new_ones(
    tmp_path: Path, s3: Proxy, expected: list[tuple[Any, ...]]
) -> None:
    s3.refuse = lambda request: (403, "ExpiredToken") if sum(map(is_weights, s3.requests)) > 3 else None
    search_that_ends_for("see that the credentials are there, have not expired", tmp_path)
    assert len(read_records(tmp_path / "digits/study.journal")) < 4
    s3.reset()
    assert search_there(tmp_path).status == "complete"
    assert told(tmp_path / "digits") == expected


@pytest.mark.slow
def test_a_storage_that_does_not_answer_for_long_ends_the_search_which_goes_on_later(
    tmp_path: Path, s3: Proxy, monkeypatch: pytest.MonkeyPatch, expected: list[tuple[Any, ...]]
) -> None:
    monkeypatch.setattr(stores, "PATIENCE_SECONDS", 0.5)
    s3.refuse = lambda request: (503, "SlowDown") if sum(map(is_weights, s3.requests)) > 3 else None
    search_that_ends_for(r"was tried for \d+ s: see that the storage can be reached", tmp_path)
    s3.reset()
    assert search_there(tmp_path).status == "complete"
    assert told(tmp_path / "digits") == expected


@pytest.mark.parametrize("hidden", ["manifest.json", "state.pt", "jobs/1-1"])
def test_a_listing_that_lags_loses_nothing(
    tmp_path: Path, s3: Proxy, expected: list[tuple[Any, ...]], hidden: str
) -> None:
    """What was written last is not listed: a trial goes on from what is, or waits, and never from nothing."""
    s3.hide = lambda key: key.endswith(hidden)
    summary = search_there(tmp_path)
    assert told(tmp_path / "digits") == expected
    best = summary.best
    there = TrialStore(f"{RUNS}/digits/trials/{best.trial:04d}", tmp_path / "fetched")
    (stored,) = (each for each in there.listing().whole if each.virtual_epoch == best.virtual_epoch)
    there.get(stored)  # verified


def test_a_job_waits_for_a_checkpoint_that_is_not_listed_yet(tmp_path: Path, s3: Proxy) -> None:
    address = f"{RUNS}/seg/trials/0007"
    before = run(digits_plan(tmp_path / "a", storage=address, job=(1, 1)), until=2)
    s3.requests.clear()
    s3.hide = lambda key: "checkpoint_" in key and sum(each.is_list for each in s3.requests) < 5
    plan = digits_plan(tmp_path / "b", storage=address, job=(1, 2), reported=2, checkpoint=2)
    after = TrialSession(plan, None)
    assert after.history == before.history


def test_a_session_that_no_listing_shows_is_found_by_its_name(tmp_path: Path, s3: Proxy) -> None:
    search_there(tmp_path)
    s3.hide = lambda key: "/owner/" in key
    resume_locally(tmp_path / "digits", overrides=["budget.trials=4"])
    s3.reset()
    owners = sorted(Store(f"{RUNS}/digits").names("owner"))
    assert owners == ["owner/000001.json", "owner/000002.json"]


def test_of_two_drivers_at_the_same_moment_one_gets_the_run(s3: Proxy) -> None:
    store = Store(f"{RUNS}/digits")
    assert [store.create("owner/000001.json", content) for content in (b"a", b"b")] == [True, False]
    assert store.read("owner/000001.json") == b"a"


def test_an_older_job_of_a_trial_writes_and_removes_nothing_more(tmp_path: Path, s3: Proxy) -> None:
    """Two folders that share nothing, as on two hosts: one is cut off, and the trial goes on in the other."""
    address = f"{RUNS}/seg/trials/0007"
    cut_off = run(digits_plan(tmp_path / "a", storage=address, job=(1, 1)), until=2)
    ended = run(digits_plan(tmp_path / "b", storage=address, job=(1, 2)), until=4)
    before = Store(address).names()
    with pytest.raises(SupersededError, match="job 1-2 of this trial has begun elsewhere"):
        cut_off.next_report()
    assert Store(address).names() == before
    assert [record["virtual_epoch"] for record in ended.history] == [1, 2, 3, 4]
    assert ended.history[:2] == cut_off.history[:2], "it was fetched, not computed again"


def test_a_bucket_that_is_not_there_is_one_line(tmp_path: Path, s3: Proxy) -> None:
    with pytest.raises(SearchError, match="make the bucket first"):
        search_locally(search_config(storage="s3://nowhere/runs", **SMALL), results=tmp_path)


def test_a_checkpoint_without_its_manifest_is_not_there(tmp_path: Path, s3: Proxy) -> None:
    address = f"{RUNS}/seg/trials/0007"
    run(digits_plan(tmp_path / "a", storage=address, job=(1, 1)), until=3)
    store = Store(address)
    newest = max(name for name in store.names() if name.endswith("manifest.json"))
    store.remove([newest])
    there = TrialStore(address, tmp_path / "b", (1, 2))
    assert there.begin() == []
    assert max(list_checkpoints(tmp_path / "b")) < 3
    there.remove_beyond(2)
    assert not [name for name in store.names() if name.startswith("checkpoint_000003/")], "it is removed"


def test_a_damaged_checkpoint_there_is_said_and_the_one_before_is_used(tmp_path: Path, s3: Proxy) -> None:
    address = f"{RUNS}/seg/trials/0007"
    run(digits_plan(tmp_path / "a", storage=address, job=(1, 1)), until=3)
    store = Store(address)
    newest = max(name for name in store.names() if name.endswith("state.pt"))
    content = bytearray(store.read(newest))
    content[len(content) // 2] ^= 1
    store.write(newest, bytes(content))
    there = TrialStore(address, tmp_path / "b", (1, 2))
    (line,) = there.begin()
    assert "in the storage is damaged (state.pt: SHA-256 is" in line
    assert list_checkpoints(tmp_path / "b")[-1] < 3


def test_a_refusal_names_the_address_and_no_secret(s3: Proxy) -> None:
    s3.refuse = lambda request: (403, "AccessDenied")
    with pytest.raises(StorageError, match=f"{RUNS}: cannot read x: PermissionError") as refused:
        Store(RUNS).read("x")
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "name", "value", "said"),
    [
        ("s3://no bucket/x", "AWS_PROFILE", "", "Invalid bucket name"),
        (RUNS, "AWS_PROFILE", "mistyped", r"profile \(mistyped\) could not be found"),
        (RUNS, "AWS_ENDPOINT_URL", "localhost:9000", "Invalid endpoint: localhost:9000"),
        (RUNS, "AWS_DEFAULT_REGION", "us east", "us east"),
    ],
)
def test_what_no_waiting_mends_is_said_at_once(
    s3: Proxy, monkeypatch: pytest.MonkeyPatch, address: str, name: str, value: str, said: str
) -> None:
    library = pytest.importorskip("s3fs").S3FileSystem
    library.clear_instance_cache()
    with monkeypatch.context() as patched:
        if value:
            patched.setenv(name, value)
        patched.setattr("trainables.storage.store.time.sleep", lambda seconds: pytest.fail("tried again"))
        with pytest.raises(StorageError, match=rf"{said}.*correct the address"):
            Store(address).read("x")
    library.clear_instance_cache()
