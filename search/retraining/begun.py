"""Whether a retraining is the one that its folder holds, of the export and the data that it began with."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.config.config import Config
from search.errors import RefusedError, SearchError
from search.exports.files import DATA
from search.predicting.exported import CONFIG, METRICS, WEIGHTS
from search.run.before.provenance import own_code
from search.run.data.record import DataChangedError, compared, read_data
from search.run.disk.folder import RunFolder
from search.text import command, short_path
from trainables.data.fingerprint import Fingerprint
from trainables.data.prepared import DamagedArraysError, read_arrays, write_arrays
from trainables.files import atomic_write
from trainables.findings import some
from trainables.plan import TrialPlan
from trainables.predicting.ensemble import MEMBERS, is_ensemble

log = logging.getLogger(__name__)

RETRAINED = "retrain"
"""The folder of a retraining, beside the export."""
RETRAINING = "retrain.json"
"""The arguments of a retraining, in its folder."""
_OWN = re.compile(r"data\.fingerprint|prepared|training|part-\d+|export|fold_\d+|folds\.json|\..*")
"""What a retraining that has just begun may have, and what a system or a lock hides."""
_SHOWN = 3


def require_export(source: Path) -> None:
    """Raise RefusedError for a folder that is no export, or one of several models."""
    if is_ensemble(source):
        member = source / MEMBERS / "1"
        raise RefusedError(
            f"{source} is an ensemble, whose models are not trained as one; retrain one of them, as by "
            f"`{command('retrain', member)}`"
        )
    for name in (WEIGHTS, CONFIG, METRICS):
        if not (source / name).is_file():
            raise RefusedError(f"{source} is not an export: it has no {name}; {_way_to_export(source)}")


def refuse_foreign(folder: Path) -> None:
    """Raise RefusedError for a folder that holds something, and no retraining."""
    there = [] if not folder.is_dir() else sorted(path.name for path in folder.iterdir())
    foreign = [name for name in there if not _OWN.fullmatch(name)]
    begun = any(file.is_file() for file in (folder / RETRAINING, *folder.glob(f"fold_*/{RETRAINING}")))
    if foreign and not begun:
        raise RefusedError(
            f"{folder} holds {some(foreign, _SHOWN)}, and no retraining, which would be written "
            "beside that; give another --out"
        )


def home_of(source: Path) -> Path:
    """The folder that holds an export, or the ensemble of which it is a member: mostly that of its run."""
    return source.parent.parent.parent if is_member(source) else source.parent


def is_member(source: Path) -> bool:
    """Whether an export is one of an ensemble."""
    return source.parent.name == MEMBERS and is_ensemble(source.parent.parent)


def _way_to_export(source: Path) -> str:
    run = RunFolder(source)
    if not run.has_begun:
        return "`tune-search export RUN` writes one"
    if run.exported.is_dir():
        return f"did you mean {short_path(run.exported)}?"
    return f"`{command('export', source)}` writes one"


def tell_changed_code(config: Config, before: Mapping[str, str]) -> None:
    """Of what comes from other code, or another version of a package, than when it was exported."""
    for name, now in own_code(config).items():
        if before.get(name, now) != now:
            log.warning("the code of %s has changed since the export: values may not compare", name)


def copy_prepared(exported: Path, plan: TrialPlan) -> None:
    """Use the prepared arrays of the search, so that values can be compared with its values."""
    file = plan.prepared_file
    if file is None or file.exists() or not exported.is_file():
        return
    try:
        write_arrays(file, read_arrays(exported))
    except DamagedArraysError as error:
        raise SearchError(f"{exported} is damaged ({error.reason}); export again") from error


def retrain_command(source: str | Path, options: Mapping[str, Any]) -> str:
    """The command with these options that have a value."""
    words: list[str | Path] = ["retrain", source]
    for key, value in options.items():
        if value is not None and value is not False:  # of folds 0 is one
            words += [key] if value is True else [key, str(value)]
    return command(*words)


def compare_data(source: Path, now: Fingerprint, again: str, *, accept: bool) -> bool:
    """Whether the data are others than those that the exported model was trained on.

    Args:
        again: the command with the same options.

    Raises:
        DataChangedError: they are, and not accepted.
    """
    before = read_data(source / DATA)
    found = None if before is None else compared(before, now)
    if found and not accept:
        lines = "\n".join(f"  {line}" for line in found.lines())
        raise DataChangedError(
            f"the data have changed since {short_path(source)} was trained:\n{lines}\n"
            f"put back the data as they were, or train on these by\n  {again} --accept-new-data"
        )
    return bool(found)


def check_arguments(folder: RunFolder, plan: TrialPlan, from_scratch: bool, data: Fingerprint) -> None:
    """Refuse to continue a retraining that was started with other arguments, or on other data."""
    file = folder.path / RETRAINING
    before = read_data(folder.data)
    if before is None:
        atomic_write(folder.data, data.to_bytes())
    elif found := compared(before, data):
        raise DataChangedError(
            f"{folder.path} holds a retraining on other data ({'; '.join(found.lines())}); "
            "give another --out, or remove it"
        )
    wanted = {
        "options": plan.options,
        "virtual_epochs": plan.num_virtual_epochs,
        "from_scratch": from_scratch,
        "data": plan.data,
        **({"schedule": plan.schedule} if plan.schedule else {}),
    }
    if not file.is_file():
        atomic_write(file, json.dumps(wanted, indent=2) + "\n")
        return
    found = json.loads(file.read_text(encoding="utf-8"))
    differing = [key for key in wanted if json.loads(json.dumps(wanted[key])) != found.get(key)]
    if differing:
        raise RefusedError(
            f"{folder.path} holds a retraining with other {', '.join(differing)}; "
            "give another --out, or remove it"
        )
