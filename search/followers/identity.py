"""What identifies a run whatever its folder is called: the beginning of its journal, which never changes."""

from __future__ import annotations

import hashlib

from search.run.disk.folder import RunFolder

_CHARACTERS = 12


def run_id(folder: RunFolder) -> str:
    """The id of a run that has begun, of twelve characters; a renamed or moved run keeps it.

    Optuna writes the first entry of a journal with a random number of its own. Of a run in stages the first
    stage counts.

    Raises:
        OSError: the journal cannot be read.
    """
    with folder.stages()[0].journal.open("rb") as file:
        return hashlib.sha256(file.readline()).hexdigest()[:_CHARACTERS]


def trial_id(run: str, name: int | str) -> str:
    """The id of a trial by its name: `7`, or `1-optimizer/7` in a run in stages.

    A name of a stage may have eighty characters, and an id at most sixty-four.
    """
    text = str(name)
    if "/" not in text:
        return f"{run}-{text}"
    stage, _, number = text.rpartition("/")
    return f"{run}-s{stage.partition('-')[0]}-{number}"
