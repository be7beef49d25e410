"""How far a run has come: `python -m search.slurm.progress RUN` prints its number of virtual epochs."""

from __future__ import annotations

import sys
from pathlib import Path

from search.errors import SearchError

_JOURNALS = ("study.journal", "stages/*/study.journal", "confirm/study.journal")


def num_virtual_epochs(run: Path) -> int:
    """Virtual epochs that all trials have reported, in all stages and the race; 0 before a search.

    Raises:
        SearchError: a journal is damaged.
    """
    journals = [file for pattern in _JOURNALS for file in run.glob(pattern)]
    if not journals:
        return 0
    from search.study.spent import read_spent  # which takes seconds, and the first start of a search has none

    return sum(read_spent(file).of_trials.virtual_epochs for file in journals)


if __name__ == "__main__":
    try:
        print(num_virtual_epochs(Path(sys.argv[1])))
    except SearchError as error:
        sys.exit(str(error))
