"""Runs of a race whose checkpoints are gone: who races again after `clean` must be exportable."""

from __future__ import annotations

from dataclasses import replace

from search.race.plan import RacePlan
from search.run.disk.folder import RunFolder
from search.run.reporter import ProgressReporter
from search.study.reading import read_records
from search.study.trial import NO_VERDICT
from trainables.checkpoints.checkpoint import list_checkpoints


def without_lost_runs(plan: RacePlan, home: RunFolder, reporter: ProgressReporter) -> RacePlan:
    """The plan with the runs that are to be repeated, as `clean` has removed what an export would take."""
    if not home.journal.is_file():
        return plan
    records = read_records(home.journal)
    lost = tuple(
        record.number
        for record in records
        if plan.candidate_of(record) >= 0
        and record.outcome is not None
        and record.values
        and record.outcome not in NO_VERDICT
        and not list_checkpoints(home.trial(record.number))
    )
    again = [key for key, run in plan.runs(records).items() if run.number in lost]
    for candidate, seed in again:
        trial = plan.candidates[candidate].trial
        reporter.note(f"trial {trial} runs again with seed {seed}: the checkpoint of that run was removed")
    return replace(plan, lost=lost)
