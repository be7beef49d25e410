"""Whether a search went on after it had written its summary, and was killed: the summary is then outdated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from search.config.config import Config
from search.run.disk.folder import RunFolder
from search.run.outcome.summary import Summary, config_digest
from search.run.outcome.summary_file import read_summary
from search.study.trial import TrialRecord
from search.text import counted


class GoneOn(NamedTuple):
    """What has happened since a summary was written."""

    what: str
    """`went on`"""
    found: str = ""
    """By which that is seen, such as `3 trials not ended`."""


def gone_on(
    summary: Summary, records: Sequence[TrialRecord], stages: Sequence[tuple[RunFolder, Config]]
) -> GoneOn | None:
    """What has happened since the summary of a complete search was written; None if nothing has.

    Args:
        summary: of the whole run.
        records: the trials of all stages.
        stages: that have begun: their folders, and their configurations as they are now.
    """
    open_ones = sum(record.outcome is None for record in records)
    if open_ones:
        return GoneOn("went on", f"{counted(open_ones, 'trial')} not ended")
    if len(records) > summary.trials:
        return GoneOn("went on", counted(len(records), "trial"))
    for stage, config in stages:
        ended_with = summary.of_config if str(stage.path) == summary.folder else _of_stage(stage)
        if ended_with and ended_with != config_digest(config):
            return GoneOn("was to go on with another configuration")
    return None


def _of_stage(stage: RunFolder) -> str:
    try:
        return read_summary(stage).of_config
    except (OSError, ValueError, KeyError, TypeError):
        return ""
