"""Which hosts run jobs, as some are about to be taken away; and what a host that is gone costs a trial."""

from __future__ import annotations

import pytest
from simulated_search import config_of

from search.ray.hosts import Host
from search.run.executors import placement
from search.run.executors.placement import Placement
from search.run.executors.ray_tune import failure_in
from search.run.limits import may_retry
from trainables.process.failure import Failure, FailureKind

LOST = Failure(FailureKind.HOST_LOST, "its host was taken away: received SIGTERM")
DIED = Failure(FailureKind.DIED, "the trial's process died")


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
    assert placed.request(0)["not_on"] == ["id1"]

    hosts, leaving = [host(2)], set()
    assert not placed.look(), "it was not counted any more"
    assert placed.request(0)["not_on"] == ["id1"], "another request would get another process"
    assert len(notes) == 1


def test_a_host_that_is_leaving_already_is_not_counted_at_the_start() -> None:
    placed = Placement(config_of(), lambda: [host(1), host(2)], leaving=lambda: {"id2"})
    assert [each.name for each in placed.hosts] == ["w1"]


@pytest.mark.parametrize("how", ["expectedly: received SIGTERM", "unexpectedly: health check failed"])
def test_what_ray_says_of_an_actor_whose_node_is_gone_is_no_fault_of_the_trial(how: str) -> None:
    text = f"The actor died because its node has died. Node Id: 5e\n\tthe actor's node was terminated {how}\n"
    cause = how.partition(": ")[2]
    assert failure_in(text) == Failure(FailureKind.HOST_LOST, f"its host was taken away: {cause}")


def test_hosts_that_were_taken_away_cost_no_attempt_but_not_for_ever() -> None:
    assert may_retry([LOST], 0)
    assert may_retry([LOST] * 10, 0)
    assert not may_retry([LOST] * 11, 2)
    assert may_retry([LOST, DIED, LOST, DIED], 2)
    assert not may_retry([DIED, LOST, DIED, LOST, DIED], 2)


def test_a_trial_that_only_two_hosts_can_hold_goes_back_to_the_one_that_it_was_lost_on() -> None:
    hosts = [host(1), host(2)]
    placed = Placement(config_of(resources={"workers_per_trial": 4}), lambda: hosts)
    placed.lost(0, hosts[0])
    assert placed.request(0)["not_on"] == []
    assert placed.has_none_but(["id1"]), "the other host has room for two of its four processes"
