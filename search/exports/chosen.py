"""Which trial is exported, and why one cannot be: all that is known before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from search.config.config import Config
from search.errors import RefusedError
from search.run.disk.folder import RunFolder
from search.run.outcome.objectives import refuse_to_choose
from search.run.retention import trials_to_keep
from search.study.front import front_of
from search.study.reading import read_records
from search.study.trial import NO_VERDICT, TrialRecord, best_record, ranked
from trainables.checkpoints.checkpoint import checkpoint_folder
from trainables.findings import some


def last_with_a_value(folder: RunFolder) -> tuple[RunFolder, list[TrialRecord]]:
    """The last stage that has a trial with a value, or the folder itself without named stages; its trials.

    Raises:
        SearchError: no stage has one.
    """
    for stage in reversed(folder.stages()):
        records = read_records(stage.journal)
        # Whether there is a best trial does not depend on the mode.
        if not folder.is_staged or best_record(records, "max") is not None:
            return stage, records
    raise RefusedError(f"{folder.path} has no trial with a value yet; nothing to export")


def chosen(
    folder: RunFolder, config: Config, records: Sequence[TrialRecord], trial: int | None
) -> TrialRecord:
    """The trial to export.

    Args:
        folder: of the search, or of one stage.
        config: of the search.
        records: its trials.
        trial: number of the trial (default: of the best).

    Raises:
        SearchError: there is no such trial, it has no value or no checkpoint any more, or no number is given
            and there are several objectives.
    """
    if trial is None:
        refuse_to_choose(folder, records)
        record = best_record(records, config.objective.mode)
        missing = f"{folder.path} has no trial with a value yet; nothing to export"
    else:
        record = next((r for r in records if r.number == trial), None)
        missing = f"there is no trial {trial}; {folder.path} has trials 0 to {len(records) - 1}"
    if record is None:
        raise RefusedError(missing)
    if not record.values or record.outcome in NO_VERDICT:
        raise RefusedError(
            f"trial {record.number} has no value to export ({record.reason or 'no virtual epoch yet'})"
        )
    _require_kept(folder, config, records, record)
    return record


def _require_kept(
    folder: RunFolder, config: Config, records: Sequence[TrialRecord], record: TrialRecord
) -> None:
    """Refuse a trial whose checkpoints the search, or `clean`, has removed, as it is not among the best."""
    mode, keep_trials = config.objective.mode, config.checkpoint.keep_trials
    going_on = {r.number for r in records if r.outcome is None}
    if config.objectives:
        going_on |= {r.number for r in front_of(records, config.objectives)}
    kept = trials_to_keep(records, mode=mode, keep_trials=keep_trials, going_on=going_on)
    if record.number in kept or _has_checkpoint(folder, config, record):
        return
    front = "the front and of " if config.objectives else ""
    which = f"{front}the best {keep_trials} by {config.objective.metric} (checkpoint.keep_trials)"
    there = [str(r.number) for r in ranked(records, mode) if _has_checkpoint(folder, config, r)]
    others = f"those of trials {some(there, 20)} are there, the best one first" if there else "none is there"
    raise RefusedError(
        f"trial {record.number} has no checkpoint any more: checkpoints are kept of {which} alone; {others}"
    )


def _has_checkpoint(folder: RunFolder, config: Config, record: TrialRecord) -> bool:
    virtual_epoch = record.best_virtual_epoch(config.objective.mode)
    return checkpoint_folder(folder.trial(record.number), virtual_epoch).is_dir()
