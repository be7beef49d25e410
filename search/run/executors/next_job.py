"""Which job Ray is given next, where not all take the same: large ones get room, and small ones go on."""

from __future__ import annotations

from dataclasses import replace

from search.run.coordinator import Coordinator
from search.run.events import Turn
from search.run.executor import Jobs
from search.run.executors.placement import Placement
from search.run.executors.running import RunningJob, RunningJobs
from search.text import counted
from trainables.session import TrialPlan

_MOST_WAITING = 16
"""Jobs that wait for a host: a sampler that prefers large trials would ask for no end of them."""


class NextJob:
    """Asks the coordinator for jobs, and keeps those that have no room yet.

    Args:
        coordinator: decides which trial is next.
        jobs: makes the plan of a job.
        placement: the hosts of now.
        running: what Ray has; those that wait are kept there.
    """

    def __init__(
        self, coordinator: Coordinator, jobs: Jobs, placement: Placement, running: RunningJobs
    ) -> None:
        self._coordinator, self._jobs, self._placement, self._running = coordinator, jobs, placement, running
        self._is_idle = False
        """No trial runs, and a line has said so."""

    def job(self) -> RunningJob | Turn:
        """One that Ray has room for, or what to do without."""
        running, coordinator = self._running, self._coordinator
        if self._placement.sizes_differ:  # the coordinator is not asked where no room is left
            coordinator.check_limits()
        if coordinator.ending is not None:
            self._cut_off_waiting()
        # A job that has ended for the coordinator may still be saving what the next one goes on from.
        if len(running) + len(running.waiting) > len(coordinator.running):
            return Turn.WAIT
        found = Turn.DONE if coordinator.ending is not None else self._waiting_job() or self._new_job()
        if found is Turn.DONE:
            self._cut_off_waiting()
        coordinator.num_waiting = len(running.waiting)
        self._tell_if_idle(found)
        return found

    def _waiting_job(self) -> RunningJob | Turn | None:
        """The first of those that wait that has room now; WAIT while one is owed room, else None."""
        running, placement = self._running, self._placement
        if any(job.lacks_room for job in running.values()) and running.owed_room(placement) is not None:
            return Turn.WAIT
        for job in list(running.waiting):
            job.asks(placement)
            if len(running) < placement.concurrency and running.have_room_for(job, placement):
                running.waiting.remove(job)
                self._coordinator.times.begin(job.plan.number)  # that it has waited is no part of its start
                job.plan = replace(job.plan, timeout=self._coordinator.timeout)
                return job
            if running.can_have_room(job, placement):
                return Turn.WAIT
        return None

    def _new_job(self) -> RunningJob | Turn:
        """The next one that has room; those before it that have none wait, see `RunningJobs.owed_room`."""
        running, placement = self._running, self._placement
        # Ray gives room to whoever asks for less: a large trial would wait there as long as small ones come.
        while self._may_decide():
            plan = self._jobs.next_plan(self._coordinator)
            if not isinstance(plan, TrialPlan):
                return plan
            job = RunningJob(plan, self._jobs.config.resources.of(plan.options))
            job.asks(placement)
            if running.have_room_for(job, placement):
                return job
            running.waiting.append(job)
            self._coordinator.num_waiting = len(running.waiting)
            self._jobs.note(self._note_of(job))
            if placement.can_hold(job.size) and running.can_have_room(job, placement):
                break
        return Turn.WAIT

    def _may_decide(self) -> bool:
        """Whether another trial is decided, in the hope that there is room for it.

        No more of them are than could run at once if all were small: each is decided without the values of
        those before it, and a sampler would know less than in a search whose trials all take the same.
        """
        running, placement = self._running, self._placement
        if len(running.waiting) >= _MOST_WAITING:
            return False
        if not running or not placement.sizes_differ:
            return True
        for_room = sum(placement.can_hold(job.size) for job in running.waiting)
        return len(running) + for_room < placement.concurrency and running.leave_room(placement)

    def _note_of(self, job: RunningJob) -> str:
        """That a trial waits for room, or for a host, and what the living ones lack."""
        which = self._jobs.config.resources.sized(job.plan.options).which
        trial = f"trial {job.plan.number}" + (f" ({which})" if which else "")
        if self._placement.can_hold(job.size):
            return f"{trial} waits for room"
        lacking = self._placement.lacking_text(job.size)
        return f"{trial} waits for a host that can hold it, and keeps no other one from running: {lacking}"

    def _tell_if_idle(self, found: RunningJob | Turn) -> None:
        """Say once that no trial runs until another host joins."""
        waiting = len(self._running.waiting)
        is_idle = found is Turn.WAIT and waiting > 0 and not self._running
        if is_idle and not self._is_idle:
            self._jobs.note(f"no trial runs, as {counted(waiting, 'trial')} can have no room: Ctrl-C leaves")
        self._is_idle = is_idle

    def _cut_off_waiting(self) -> None:
        for job in self._running.waiting:
            self._coordinator.cut_off(self._coordinator.study.records[job.plan.number])
        self._running.waiting.clear()
        self._coordinator.num_waiting = 0
