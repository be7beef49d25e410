"""Commands that are of one objective."""

from __future__ import annotations

from collections.abc import Sequence

from search.config.sections.limits import objectives_text
from search.config.stages import open_run
from search.errors import RefusedError
from search.run.disk.folder import RunFolder
from search.study.front import front_of, objectives_at
from search.study.trial import TrialRecord


def refuse_several(folder: RunFolder, why: str) -> None:
    """Refuse a run with several objectives.

    Args:
        folder: of the run.
        why: it cannot be done, and what can.

    Raises:
        SearchError: it has several.
    """
    several = open_run(folder.config).first.objectives
    if several is not None:
        names = ", ".join(objective.metric for objective in several)
        raise RefusedError(f"{folder.path} has several objectives ({names}), and {why}")


def refuse_to_choose(folder: RunFolder, records: Sequence[TrialRecord]) -> None:
    """Refuse to take one trial where there is a front, which is shown.

    Args:
        folder: of the run.
        records: its trials.

    Raises:
        SearchError: it has several objectives.
    """
    objectives = open_run(folder.config).first.objectives
    if objectives is not None:
        front = [
            (record.number, objectives_at(record, objectives)) for record in front_of(records, objectives)
        ]
        lines = [f"  trial {number}: {objectives_text(values)}" for number, values in front]
        why = "\n".join(("no trial of the front is better than another: choose one by --trial N", *lines))
        refuse_several(folder, why if front else "no trial has a value yet; nothing to export")
