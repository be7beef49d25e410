"""How far a run has come: `python -m search.slurm.progress RUN` prints what moves while a search does."""

from __future__ import annotations

import sys
from pathlib import Path

from search.errors import SearchError

_JOURNALS = ("study.journal", "stages/*/study.journal", "confirm/study.journal")


def progress(run: Path) -> str:
    """Numbers of trials, of virtual epochs that they have reported, and of those that they broke off.

    Of all stages and the race; zeros before a search.

    Raises:
        SearchError: a journal is damaged.
    """
    journals = [file for pattern in _JOURNALS for file in run.glob(pattern)]
    if not journals:
        return "0 0 0"
    from search.study.spent import read_spent  # which takes seconds, and the first start of a search has none

    spent = [read_spent(file) for file in journals]
    trials = sum(one.trials for one in spent)
    epochs = sum(one.of_trials.virtual_epochs for one in spent)
    return f"{trials} {epochs} {sum(one.of_trials.broken_off for one in spent)}"


if __name__ == "__main__":
    try:
        print(progress(Path(sys.argv[1])))
    except SearchError as error:
        sys.exit(str(error))
