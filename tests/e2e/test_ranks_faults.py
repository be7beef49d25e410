"""A rank of a trial that fails, dies or stands still: its cause is told; what cannot be shared is refused.

In a file of its own: a process is in one team at a time, and another one's tests share theirs.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from rank_processes import Peer, state_of, team_of, wait_until
from small_trials import digits_plan

from trainables.plan import TrialPlan
from trainables.process.failure import Failure, FailureKind, TrialError, take_failure
from trainables.ranks.team import Team
from trainables.workers.worker import TrialWorker

pytestmark = pytest.mark.usefixtures("small_machine")


def worker_of(team: Team, plan: TrialPlan) -> TrialWorker:
    worker = TrialWorker(team=team)
    worker.begin(plan)
    return worker


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"task": "tiny_tasks:DigitsTask"}, "cannot put the parts together: give it a method merge(total)"),
        ({"options": {"batch_size": 1}}, "batch_size is 1, and the 2 processes of a trial share each batch"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(tmp_path: Path, changes: dict[str, Any], cause: str) -> None:
    with team_of(2) as (team, _), pytest.raises(TrialError, match=re.escape(cause)):
        worker_of(team, digits_plan(tmp_path, **{"task": "rank_tasks:SharedDigits", **changes}))


def killed(peer: Peer, number: signal.Signals) -> None:
    assert peer.process.pid is not None
    os.kill(peer.process.pid, number)


def test_an_error_of_one_rank_is_the_cause_of_the_failure(tmp_path: Path) -> None:
    """In the product the process of rank 0 then ends, as gloo waits for one that has left its groups."""
    with team_of(2) as (team, (peer,)):
        team.give_up = lambda failure, trace: killed(peer, signal.SIGKILL)
        worker = worker_of(team, digits_plan(tmp_path, task="rank_tasks:FailsOnRank1"))
        worker.next_report()
        with pytest.raises(TrialError, match="rank 1 of 2: ValueError: the samples of rank 1 are cursed"):
            worker.next_report()
    failure = take_failure(tmp_path)
    assert failure is not None
    assert failure.cause == "rank 1 of 2: ValueError: the samples of rank 1 are cursed"
    assert "in loss" in (tmp_path / "error.txt").read_text(encoding="utf-8")


def test_a_rank_that_is_killed_is_the_cause_of_the_failure(tmp_path: Path) -> None:
    with team_of(2) as (team, (peer,)):
        worker = worker_of(team, digits_plan(tmp_path, task="rank_tasks:SharedDigits"))
        worker.next_report()
        killed(peer, signal.SIGKILL)
        with pytest.raises(TrialError, match="process died: the process of rank 1 of 2 died"):
            worker.next_report()
    assert take_failure(tmp_path) == Failure(FailureKind.DIED, "the process of rank 1 of 2 died")


def test_a_rank_that_is_stopped_is_noticed(tmp_path: Path) -> None:
    """In the product the process of rank 0 then ends; here the rank is killed, so that the test goes on."""
    with team_of(2, patience=3.0) as (team, (peer,)):
        worker = worker_of(team, digits_plan(tmp_path, task="rank_tasks:SharedDigits"))
        worker.next_report()
        given_up: list[Failure] = []

        def give_up(failure: Failure, trace: str) -> None:
            given_up.append(failure)
            killed(peer, signal.SIGKILL)

        team.give_up = give_up
        killed(peer, signal.SIGSTOP)
        wait_until(lambda: state_of(peer.process.pid) in ("T", "t"))
        with pytest.raises(TrialError):
            worker.next_report()
    cause = "rank 1 of 2 has shown no sign of life for 3 s: it is stopped, or its host is cut off"
    assert given_up == [Failure(FailureKind.HUNG, cause)]
