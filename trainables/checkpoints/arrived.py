"""Whether a job finds its folder and what the jobs before it have saved: a machine may see other folders."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from trainables.checkpoints.checkpoint import checkpoint_folder, list_checkpoints
from trainables.files import partial_path

_PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.2
"""A network file system may show a folder as it was some seconds ago."""


class MissingCheckpointError(OSError):
    """What the trial is to go on from is not there: it is not trained again from its start without a word."""


def has_arrived(trial_folder: Path) -> bool:
    """Whether a folder that another machine has made is here; waits a moment for it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not trial_folder.is_dir():
        if time.monotonic() > deadline:
            return False
        with suppress(OSError):
            _change(trial_folder.parent)
        time.sleep(_LOOK_SECONDS)
    return True


def require_checkpoint(trial_folder: Path, virtual_epoch: int, reported: int, storage: str = "") -> None:
    """Wait a moment for the checkpoint of this virtual epoch, or a later one.

    Args:
        trial_folder: of the trial.
        virtual_epoch: of the newest checkpoint that the search knows; 0 if it knows none.
        reported: virtual epochs of the trial that have been reported.
        storage: address from which it should have been fetched; empty where machines share the folder.

    Raises:
        MissingCheckpointError: none of them is there.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (newest := max(list_checkpoints(trial_folder), default=0)) < virtual_epoch:
        if time.monotonic() > deadline:
            there = f"the newest is {checkpoint_folder(trial_folder, newest).name}" if newest else "none is"
            rule = "every machine needs the search's results folder at the same path"
            rule = f"it should have come from {storage}, which does not list it" if storage else rule
            name = checkpoint_folder(trial_folder, virtual_epoch).name
            raise MissingCheckpointError(
                f"{reported} virtual epochs of this trial were reported, and on {socket.gethostname()} "
                f"there is no {name} in {trial_folder} ({there} there); {rule}"
            )
        _change(trial_folder)
        time.sleep(_LOOK_SECONDS)


def _change(folder: Path) -> None:
    """A change of its own makes the machine look at the folder itself."""
    touched = partial_path(folder / f"look-{socket.gethostname()}-{os.getpid()}")
    touched.touch()
    touched.unlink(missing_ok=True)
