"""Which hosts run jobs, as some are about to be taken away; and what a host that is gone costs a trial."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_search import NONE, Simulation, config_of

from search.config.schema import Resources
from search.errors import SearchError
from search.ray.hosts import Host
from search.run.disk.folder import RunFolder
from search.run.executor import Jobs
from search.run.executors import placement
from search.run.executors.placement import Placement, wait_for_hosts
from search.run.executors.ray_tune import StudyScheduler, failure_in, of_leaving_host
from search.run.executors.running import RunningJob, RunningJobs
from search.run.limits import may_retry
from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import Outcome
from trainables.process.failure import Failure, FailureKind
from trainables.session import TrialPlan

LOST = Failure(FailureKind.HOST_LOST, "its host was taken away: received SIGTERM")
DIED = Failure(FailureKind.DIED, "the trial's process died")
HOST_DIED = Failure(FailureKind.HOST_DIED, "its host has ended: no answer")
ONE_TRIAL = config_of(
    sampler={"name": "random"}, budget={"trials": 1, "max_virtual_epochs": 12}, scheduler=NONE
)
NO_RETRY = {"max_failures": 0}
ONE = Resources()


def host(number: int) -> Host:
    return Host({"CPU": 2.0}, name=f"w{number}", address=f"10.0.0.{number}", node_id=f"id{number}")


def test_no_job_begins_on_a_host_that_is_leaving_and_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_LEAVING_SECONDS", 0.0)
    hosts, leaving, notes = [host(1), host(2)], set[str](), list[str]()
    placed = Placement(config_of(), lambda: hosts, note=notes.append, leaving=lambda: leaving)
    assert placed.concurrency == 4
    assert not placed.look()
    leaving = {"id1"}
    assert placed.look()
    assert notes == ["w1 (10.0.0.1) is leaving: 2 trials at a time"]
    assert placed.is_leaving("id1")
    assert not placed.is_leaving("id2")
    assert placed.request(0, ONE)["not_on"] == ["id1"]

    hosts, leaving = [host(2)], set()
    assert not placed.look(), "it was not counted any more"
    assert placed.request(0, ONE)["not_on"] == ["id1"], "another request would get another process"
    assert len(notes) == 1


def test_a_host_that_is_leaving_already_is_not_counted_at_the_start() -> None:
    placed = Placement(config_of(), lambda: [host(1), host(2)], leaving=lambda: {"id2"})
    assert [each.name for each in placed.hosts] == ["w1"]


@pytest.mark.parametrize(
    ("how", "kind", "cause"),
    [
        (
            "terminated expectedly: received SIGTERM",
            FailureKind.HOST_LOST,
            "was taken away: received SIGTERM",
        ),
        ("preempted: spot", FailureKind.HOST_LOST, "was taken away: spot"),
        ("terminated: no reason", FailureKind.HOST_LOST, "was taken away: no reason"),
        ("terminated unexpectedly: no answer: 5", FailureKind.HOST_DIED, "has ended: no answer: 5"),
    ],
)
def test_what_ray_says_of_an_actor_whose_node_is_gone_costs_no_attempt(
    how: str, kind: FailureKind, cause: str
) -> None:
    text = f"The actor died because its node has died. Node Id: 5e\n\tthe actor's node was {how}\n"
    assert failure_in(text) == Failure(kind, f"its host {cause}")
    assert may_retry([failure_in(text)], 0)


def test_an_actor_that_was_preempted_is_no_fault_of_the_trial() -> None:
    failure = failure_in("ray.exceptions.ActorDiedError: Actor died by preemption.\n")
    assert failure == Failure(FailureKind.HOST_LOST, "its host was taken away: preempted")


def test_hosts_that_were_taken_away_cost_no_attempt_but_not_for_ever() -> None:
    assert may_retry([LOST], 0)
    assert may_retry([LOST] * 10, 0)
    assert not may_retry([LOST] * 11, 2)
    assert may_retry([LOST, DIED, LOST, DIED], 2)
    assert not may_retry([DIED, LOST, DIED, LOST, DIED], 2)
    assert may_retry([HOST_DIED, LOST, DIED], 1)


@pytest.mark.parametrize(
    ("kind", "attempts"), [(FailureKind.HOST_LOST, 11), (FailureKind.HOST_DIED, 4), (FailureKind.DIED, 1)]
)
@pytest.mark.usefixtures("no_fsync")
def test_a_trial_with_which_every_host_ends_has_failed_after_some(
    tmp_path: Path, kind: FailureKind, attempts: int
) -> None:
    simulation = Simulation(
        tmp_path, ONE_TRIAL, limits=NO_RETRY, faults=lambda number, virtual_epoch, attempt: kind
    )
    (record,) = simulation.run().records
    assert (record.outcome, len(record.failures)) == (Outcome.FAILED, attempts)


@pytest.mark.parametrize("kind", [FailureKind.HOST_LOST, FailureKind.HOST_DIED])
@pytest.mark.usefixtures("no_fsync")
def test_a_trial_that_loses_its_host_in_every_virtual_epoch_and_gets_on_has_its_full_length(
    tmp_path: Path, kind: FailureKind
) -> None:
    simulation = Simulation(
        tmp_path,
        ONE_TRIAL,
        limits=NO_RETRY,
        faults=lambda number, virtual_epoch, attempt: kind if attempt < 2 * virtual_epoch else None,
    )
    (record,) = simulation.run().records
    assert (record.outcome, len(record.failures)) == (Outcome.COMPLETED, 24)
    (read,) = read_records(tmp_path / JOURNAL)
    assert [failure.depth for failure in read.failures] == [index // 2 for index in range(24)]


@pytest.mark.parametrize(("leaving", "kind"), [({"id1"}, "host lost"), (set[str](), "process died")])
@pytest.mark.usefixtures("no_fsync")
def test_a_process_that_dies_on_a_host_that_is_leaving_costs_its_trial_no_attempt(
    tmp_path: Path, leaving: set[str], kind: str
) -> None:
    coordinator = Simulation(tmp_path, ONE_TRIAL).coordinator
    folder = RunFolder(tmp_path / "run")
    plan = Jobs(config=ONE_TRIAL, folder=folder, shared={}).next_plan(coordinator)
    assert isinstance(plan, TrialPlan)
    placed = Placement(ONE_TRIAL, lambda: [host(1), host(2)], leaving=lambda: leaving)
    job = RunningJob(plan, ONE)
    job.node = "id1"
    StudyScheduler(coordinator, placed, RunningJobs({"t0": job})).lose(job, "the connection was closed")
    (failure,) = coordinator.study.records[0].failures
    assert (failure.kind.value, failure.host) == (kind, "w1 (10.0.0.1)")


def test_what_is_not_of_the_host_stays_the_trials_own_where_its_host_is_leaving() -> None:
    failure = Failure(FailureKind.ERROR, "ValueError: 3")
    assert of_leaving_host(failure) is failure


def test_hosts_that_leave_one_after_the_other_are_all_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_LEAVING_SECONDS", 0.0)
    leaving: set[str] = {"id1"}
    placed = Placement(config_of(), lambda: [host(1), host(2), host(3)], leaving=lambda: leaving)
    leaving = {"id2"}  # the head holds a host that is gone for leaving no more
    placed.look()
    assert placed.request(0, ONE)["not_on"] == ["id1", "id2"]
    assert placed.is_leaving("id1")
    assert leaving == {"id2"}


def test_a_search_that_waits_for_hosts_asks_a_dead_cluster_for_nothing() -> None:
    config = config_of(resources={"cpus_per_trial": 1, "concurrent_trials": 2})
    asked = list[str]()

    def look() -> list[Host]:
        asked.append("look")
        return []

    with pytest.raises(SearchError, match=r"the head is dead while the search waited for hosts.*--address"):
        wait_for_hosts(config, asked.append, look, lambda: "the head is dead")
    assert not asked


def test_a_trial_that_only_two_hosts_can_hold_goes_back_to_the_one_that_it_was_lost_on() -> None:
    hosts = [host(1), host(2)]
    config = config_of(resources={"workers_per_trial": 4})
    placed = Placement(config, lambda: hosts)
    placed.lost(0, hosts[0])
    assert placed.request(0, config.resources)["not_on"] == []
    assert placed.has_none_but(["id1"], config.resources), (
        "the other host has room for two of its four processes"
    )
