"""The runs of a folder as a table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from search.listing.runs import ListedRun
from search.listing.state import RunState, State
from search.run.disk.owner import Owner
from search.screen.columns import Column, table_lines, width_of
from search.text import ago, counted, number_text, one_line, printable, short_path, size_text

_DROPPED = ("size", "by", "since", "host", "last report", "progress", "ended", "best")
"""What a narrow terminal does not show, in this order: columns, and parts of their cells."""


def runs_text(runs: Sequence[ListedRun], folder: Path | str, *, width: int | None = None) -> str:
    """A line for each run, the newest activity first, and below what is wrong with some.

    Args:
        folder: that was listed, or its address.
        width: of the terminal; None leaves nothing out.
    """
    if not runs:
        return f"no runs in {printable(folder if isinstance(folder, str) else short_path(folder))}"
    for number in range(len(_DROPPED) + 1):
        columns = _columns(runs, frozenset(_DROPPED[:number]))
        if width is None or width_of(columns) <= width:
            break
    notes = [
        f"{printable(run.name)}: {one_line(run.state.reason)}"
        for run in runs
        if run.state.state in (State.FAILED, State.DAMAGED)
    ]
    return "\n".join([*table_lines(columns, width), *([""] if notes else []), *notes])


def _columns(runs: Sequence[ListedRun], dropped: frozenset[str]) -> list[Column]:
    now = time.time()
    columns = [
        Column("run", [run.name for run in runs]),
        Column("state", [state_text(run.state, dropped) for run in runs]),
        Column("best", [best_text(run) for run in runs]),
        Column("ended", [trials_text(run) for run in runs], right=True),
        Column("progress", [progress_text(run, dropped) for run in runs]),
        Column("last report", [last_report_text(run, now) for run in runs], right=True),
        Column("size", [disk_text(run) for run in runs], right=True),
    ]
    return [column for column in columns if column.title not in dropped]


def state_text(state: RunState, dropped: frozenset[str] = frozenset()) -> str:
    """`running on gpu-3 since 14:02`, `perhaps running on gpu-3, last heard of 12 s ago`, `complete`.

    Args:
        dropped: `since` and `host` may be left out.
    """
    text, heard = state.state.value, state.heard
    if heard is not None and "host" not in dropped:
        text += f" on {heard.owner.host}"
    if heard is not None and "since" not in dropped:
        since = _since(heard.owner)
        text += f" since {since}" if heard.is_certain else f", last heard of {ago(heard.silent)}"
    return f"{text}: {state.damaged}" if state.damaged else text


def _since(owner: Owner) -> str:
    """The hour by the clock here, and the day if that is not today."""
    try:
        since = datetime.strptime(owner.since, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).astimezone()
    except ValueError:
        return owner.since
    return f"{since:%H:%M}" if since.date() == datetime.now().astimezone().date() else f"{since:%F %H:%M}"


def best_text(run: ListedRun) -> str:
    """`miou 0.9127`, or the size of the front."""
    if run.front is not None:
        return f"front of {counted(run.front, 'trial')}"
    if run.best is None:
        return ""
    other = " (other data)" if run.best[1].of_other_data else ""
    return f"{run.objectives[0].metric} {number_text(run.best_value)}{other}"


def trials_text(run: ListedRun) -> str:
    """Ended trials of all, as far as their number is known."""
    progress = run.progress
    if progress is None:
        return ""
    return f"{progress.ended:,}" if progress.of is None else f"{progress.ended:,}/{progress.of:,}"


def progress_text(run: ListedRun, dropped: frozenset[str] = frozenset()) -> str:
    """`62% of time`.

    Args:
        dropped: `by` may be left out.
    """
    if run.progress is None:
        return ""
    share = f"{run.progress.share:.0%}"
    is_over = run.state.state is State.COMPLETE
    return share if is_over or "by" in dropped else f"{share} of {run.progress.by}"


def last_report_text(run: ListedRun, now: float) -> str:
    return "" if run.last_report is None else ago(now - run.last_report)


def disk_text(run: ListedRun) -> str:
    """`1.4 GB`, `> 1.4 GB` where not all files were counted."""
    if run.size is None:
        return ""
    return f"{'' if run.size.is_whole else '> '}{size_text(run.size.num_bytes)}"
