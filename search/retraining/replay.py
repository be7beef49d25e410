"""Repeats the training of weights whose values changed on the way: those of a population."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.errors import RefusedError, SearchError
from trainables.checkpoints.origin import keep_origin
from trainables.plan import TrialPlan
from trainables.session import Record, TrialSession
from trainables.task import Arrays

log = logging.getLogger(__name__)


def with_schedule(
    plan: TrialPlan, report: Mapping[str, Any], length: int, *, from_scratch: bool
) -> TrialPlan:
    """The plan of a retraining with what its weights went through before, which `train_parts` repeats.

    Args:
        plan: with the values of the last part.
        report: metrics.json of the export.
        length: virtual epochs of the search's trials.
        from_scratch: repeat all of it; else the exported weights are trained on with the last values.

    Raises:
        SearchError: it is to be repeated in another number of virtual epochs.
    """
    before = report.get("schedule", [])[:-1]
    if not before:
        return plan
    if not from_scratch:
        log.warning(
            "the values of this model changed while it was trained (pbt); it is trained on with the last of "
            "them, and --from-scratch repeats them all"
        )
        return plan
    if plan.num_virtual_epochs != length:
        raise RefusedError(
            f"the values of this model changed at virtual epochs "
            f"{', '.join(str(part['until']) for part in before)} of {length} (pbt), and "
            f"{plan.num_virtual_epochs} were asked for: leave out --virtual-epochs and --steps, or "
            "--from-scratch, to train its weights on"
        )
    return replace(plan, schedule=before)


def train_parts(
    plan: TrialPlan, arrays: Arrays, received: Sequence[int], progress: Callable[[Record, int], None]
) -> TrialPlan:
    """Train all parts but the last one, or go on with that, and return the plan of the last.

    Each part is trained in a folder of its own, and begins from a copy of the last checkpoint of the one
    before. After a signal it is the plan of the part that is not complete.

    Args:
        plan: of the last part; its schedule is what comes before it.
        arrays: the decoded data.
        received: signals that arrived, see `heard_signals`.
        progress: called with the record of each virtual epoch and the total number of virtual epochs.

    Raises:
        SearchError: the training diverged.
    """
    home, schedule = Path(plan.folder), list(plan.schedule)
    for number, part in enumerate((*schedule, None)):
        before = schedule[:number]
        folder = home / f"part-{number + 1}" if schedule else home
        own = replace(
            plan, folder=str(folder), schedule=before, options=(part or {}).get("options", plan.options)
        )
        if before and not folder.is_dir():
            folder.mkdir(parents=True)
        if before:
            keep_origin(folder, home / f"part-{number}", before[-1]["until"], history=home / f"part-{number}")
        if part is None or not _train_until(own, arrays, part["until"], received, progress):
            return own
    raise AssertionError("the last part is returned")


def _train_until(
    plan: TrialPlan,
    arrays: Arrays,
    until: int,
    received: Sequence[int],
    progress: Callable[[Record, int], None],
) -> bool:
    """Train up to this virtual epoch and save it; returns False if a signal came before."""
    session = TrialSession(plan, arrays)
    try:
        while len(session.history) < until and not received:
            progress(checked(session.next_report()), plan.num_virtual_epochs)
        return len(session.history) >= until
    finally:
        session.close()


def checked(record: Record) -> Record:
    """The record, unless the training diverged.

    Raises:
        SearchError: it did.
    """
    if "diverged" in record:
        raise SearchError(f"the training diverged at {record['diverged']}; try a lower learning rate")
    return record
