"""The fidelity audit of a run, which may still be going on: read from its study, nothing is written."""

from __future__ import annotations

from pathlib import Path

from search.config.sections.pbt import Pbt
from search.config.stages import open_run
from search.fidelity.audit import FidelityAudit
from search.fidelity.audit import audit as audit_of
from search.run.disk.folder import RunFolder
from search.run.outcome.objectives import refuse_several
from search.schedulers.build import build_scheduler
from search.study.reading import read_records


def audit(run: str | Path) -> dict[str, FidelityAudit | None]:
    """How far values at each rung agree with those at full length, by the name of the stage (empty without).

    None where there is no rung below full length, or no trial has reached one yet.

    Raises:
        SearchError: there is no run, or its study is damaged.
    """
    folder = RunFolder.at(run)
    folder.require()
    refuse_several(folder, "the audit compares ranks by one")
    found = {}
    for stage in folder.stages():
        config = open_run(stage.config).first
        found[stage.path.name if folder.is_staged else ""] = audit_of(
            read_records(stage.journal), build_scheduler(config).rungs, config
        )
    return found


def why_nothing(run: str | Path, stage: str = "") -> str:
    """Why there is nothing to compare in a search, or in one of its stages."""
    folder = RunFolder.at(run)
    of = next(each for each in folder.stages() if not stage or each.path.name == stage)
    if isinstance(open_run(of.config).first.scheduler, Pbt):
        return (
            "a population (pbt) has no rungs: all its trials are trained to full length, with values that "
            "change, so no early value stands for a late one"
        )
    return "no trial has reached a rung below full length"
