"""The table of checks, in the order in which they are made: a new check is a line in the list of its file."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.gpu import arithmetic, labels, mps, repeating, scaling, sharing, sizes, trials
from benchmarks.gpu.check import Check

CHECKS: list[Check] = [
    *arithmetic.CHECKS,
    *scaling.CHECKS,
    *labels.CHECKS,
    *repeating.CHECKS,
    *sharing.CHECKS,
    *trials.CHECKS,
    *sizes.CHECKS,
    *mps.CHECKS,
]


def chosen(only: Sequence[str], checks: Sequence[Check] = CHECKS) -> list[Check]:
    """The checks whose names begin with one of these, part by part; all where none is named.

    Raises:
        ValueError: no check has such a name.
    """
    if not only:
        return list(checks)
    wanted = [name.rstrip("/") for name in only]
    for name in wanted:
        if not any(_begins(check, name) for check in checks):
            known = sorted({check.name.partition("/")[0] for check in checks})
            raise ValueError(
                f"--only {name}: no check has that name; there are {', '.join(known)} (see --list)"
            )
    return [check for check in checks if any(_begins(check, name) for name in wanted)]


def _begins(check: Check, name: str) -> bool:
    return f"{check.name}/".startswith(f"{name}/")
