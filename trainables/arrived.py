"""Whether a job finds what the jobs before it have saved: its machine may see another folder than theirs."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from trainables.checkpoint import checkpoint_folder, list_checkpoints
from trainables.files import partial_path

_PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.2
"""A network file system may show a folder as it was some seconds ago."""


class MissingCheckpointError(OSError):
    """What the trial is to go on from is not there: it is not trained again from its start without a word."""


def require_checkpoint(trial_folder: Path, virtual_epoch: int, reported: int) -> None:
    """Wait a moment for the checkpoint of this virtual epoch, or a later one.

    Args:
        trial_folder: of the trial.
        virtual_epoch: of the newest checkpoint that the search knows; 0 if it knows none.
        reported: virtual epochs of the trial that have been reported.

    Raises:
        MissingCheckpointError: none of them is there.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (newest := max(list_checkpoints(trial_folder), default=0)) < virtual_epoch:
        if time.monotonic() > deadline:
            there = f"the newest is {checkpoint_folder(trial_folder, newest).name}" if newest else "none is"
            name = checkpoint_folder(trial_folder, virtual_epoch).name
            raise MissingCheckpointError(
                f"{reported} virtual epochs of this trial were reported, and on {socket.gethostname()} "
                f"there is no {name} in {trial_folder} ({there} there); every machine needs the search's "
                "results folder at the same path"
            )
        # A change of its own makes the machine look at the folder itself.
        touched = partial_path(trial_folder / "look")
        touched.touch()
        touched.unlink(missing_ok=True)
        time.sleep(_LOOK_SECONDS)
