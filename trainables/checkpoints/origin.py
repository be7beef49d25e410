"""The checkpoint of another trial that a trial goes on from: a copy in its own folder.

The other trial goes on too and replaces its checkpoint. The copy, `origin_000006` after virtual epoch 6, has
that checkpoint's files, as hard links where the file system has them, and `history.json`, the trial's own
records up to there. It stays until the trial goes on from another one, or has its full length.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

from trainables.checkpoints.checkpoint import (
    DamagedCheckpointError,
    Loaded,
    list_origins,
    origin_folder,
    read_checkpoint,
    verified,
)
from trainables.files import atomic_folder, discard_all

_HISTORY = "history.json"
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


def keep_origin(
    trial_folder: Path, donor_folder: Path, virtual_epoch: int, *, history: Path | None = None
) -> None:
    """Copy another trial's checkpoint of this virtual epoch, unless that was done before.

    Nothing is copied where that checkpoint, or the trial's own of the same virtual epoch, is missing or
    damaged: `load_origin` says so where the trial is trained.

    Args:
        trial_folder: of the trial that goes on.
        donor_folder: of the other one.
        virtual_epoch: of the checkpoint.
        history: folder of the trial whose records come before (default: of the one that goes on).

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    target = origin_folder(trial_folder, virtual_epoch)
    if target.is_dir():
        return
    try:
        records = read_checkpoint(history or trial_folder, virtual_epoch).info["history"]
        source = read_checkpoint(donor_folder, virtual_epoch).folder
    except DamagedCheckpointError:
        return
    older = list_origins(trial_folder)
    with atomic_folder(target) as folder:
        for file in sorted(source.iterdir()):
            _copy(file, folder / file.name)
        (folder / _HISTORY).write_text(json.dumps(records), encoding="utf-8")
    discard_all(older)


def load_origin(trial_folder: Path, virtual_epoch: int, donor: int) -> tuple[Loaded, list[dict[str, Any]]]:
    """The other trial's checkpoint, all in memory, and the trial's own records up to there.

    Raises:
        ValueError: it was not copied, or is damaged.
    """
    folder = origin_folder(trial_folder, virtual_epoch)
    try:
        checkpoint = verified(folder, virtual_epoch)
        loaded = Loaded(virtual_epoch, checkpoint.weights(), checkpoint.state(), checkpoint.info)
        history = json.loads((folder / _HISTORY).read_text(encoding="utf-8"))
    except (DamagedCheckpointError, ValueError, FileNotFoundError) as error:
        why = str(error) if folder.is_dir() else "the checkpoint of one of them was missing or damaged then"
        at = f"trial {donor} at virtual epoch {virtual_epoch}"
        raise ValueError(f"this trial goes on from {at}, and {why}; it cannot be computed again") from error
    return loaded, history


def discard_origins(trial_folder: Path) -> None:
    """Remove the copies of a trial that has its full length."""
    discard_all(list_origins(trial_folder))


def _copy(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        shutil.copyfile(file, target)
