"""What `check --data` prints: problems, classes and statistics, and how far the reading has come."""

from __future__ import annotations

import io
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.commands.check_data import ClassSummary, DataCheck, Reached
from search.screen.progress_bar import ProgressBar
from search.text import counted, duration, printable, short_path, size_text
from trainables.findings import Finding, short_name

MAX_FILES = 3
"""Files that the table names of each kind."""
MAX_CLASSES = 40
"""Rows of the table of classes; of more, the most and the least frequent are shown."""
_STYLES = {"error": "bold red", "warning": "bold yellow"}
_TITLES = {"train": "training", "valid": "validation"}


def data_check_text(found: DataCheck, *, color: bool = False, width: int | None = None) -> str:
    """Everything a person wants to know of the data, in lines of at most `width` columns.

    Args:
        width: of the terminal without it.
    """
    columns = width or shutil.get_terminal_size().columns
    console = Console(
        file=io.StringIO(),
        width=columns,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
    )
    parts: list[RenderableType] = [_head(found), ""]
    for severity, findings in (("error", found.errors), ("warning", found.warnings)):
        if findings:
            width = max(len(finding.kind.name) for finding in found.findings)
            parts += [_problems(severity, findings, found.root, width), ""]
    if found.classes:
        parts += [_class_table(found), ""]
    if found.parts:
        parts += [_statistics(found), ""]
    console.print(Group(*parts, _verdict(found)))
    file = console.file
    assert isinstance(file, io.StringIO)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def _head(found: DataCheck) -> Text:
    samples = sum(part.samples for part in found.parts.values())
    num_bytes = sum(part.num_bytes for part in found.parts.values())
    size = f" ({size_text(num_bytes)})" if num_bytes else ""
    speed = f", {samples / found.seconds:,.0f} samples/s" if found.seconds > 0.1 else ""
    where = f"below {printable(short_path(found.root))}" if found.root else f"of {found.name}"
    took = f"{found.seconds:.1f} s" if found.seconds < 10 else duration(found.seconds)
    return Text(f"read {counted(samples, 'sample')}{size} {where} in {took}{speed}")


def _problems(severity: str, findings: Sequence[Finding], root: Path | None, width: int) -> Table:
    """A row for each kind; `width` is that of the longest kind's name, also of the other table."""
    kinds = [(kind, list(of_kind)) for kind, of_kind in groupby(findings, key=lambda finding: finding.kind)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", expand=False)
    table.add_column(Text(severity + "s", style=_STYLES[severity]), min_width=min(width, 26), max_width=26)
    table.add_column("number", justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    for kind, of_kind in kinds:
        table.add_row(
            Text(kind.name),
            f"{len(of_kind):,}",
            Group(*_places(of_kind, root), Text(f"→ {kind.remedy}", style="dim")),
        )
    return table


def _places(findings: Sequence[Finding], root: Path | None) -> Iterator[RenderableType]:
    for finding in findings[:MAX_FILES]:
        where = printable(short_name(finding.where, root))
        message = finding.message if root is None else finding.message.replace(f"{root}/", "")
        message = f": {printable(' '.join(message.split()))}" if message else ""
        yield Text(where + message)
    if len(findings) > MAX_FILES:
        yield Text(f"and {len(findings) - MAX_FILES:,} more", style="dim")


def _class_table(found: DataCheck) -> Table:
    of_pixels = found.unit != "samples"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("class", overflow="ellipsis", no_wrap=True, max_width=24)
    for part in found.parts:
        title = _TITLES.get(part, part)
        table.add_column(f"{title}\n{found.unit}", justify="right", no_wrap=True)
        table.add_column("\nshare", justify="right", no_wrap=True)
        if of_pixels:
            table.add_column("\nsamples", justify="right", no_wrap=True)
    totals = {part: sum(row.counts[part] for row in found.classes) for part in found.parts}
    for row in _shown_classes(found.classes):
        cells: list[RenderableType] = [Text(printable(row.name) if row is not None else "…", style="")]
        for part in found.parts:
            if row is None:
                continue
            cells += [f"{row.counts[part]:,}", _share(row.counts[part], totals[part])]
            cells += [f"{row.samples[part]:,}"] if of_pixels else []
        table.add_row(*cells)
    return table


def _shown_classes(classes: Sequence[ClassSummary]) -> list[ClassSummary | None]:
    """All of them in their order, or the most and the least frequent with None between them."""
    if len(classes) <= MAX_CLASSES:
        return list(classes)
    ordered = sorted(classes, key=lambda row: -sum(row.counts.values()))
    half = MAX_CLASSES // 2
    return [*ordered[:half], None, *ordered[-half:]]


def _share(count: int, total: int) -> str:
    return f"{count / total:.2%}" if total else ""


def _statistics(found: DataCheck) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("statistics")
    parts = list(found.parts.values())
    for name in found.parts:
        table.add_column(_TITLES.get(name, name), justify="right")
    table.add_row("samples", *(f"{part.samples:,}" for part in parts))
    for which in ("min", "median", "max"):
        if any(part.sizes for part in parts):
            name = {"min": "smallest image", "median": "median image", "max": "largest image"}[which]
            table.add_row(name, *("{}x{}".format(*part.sizes[which]) if part.sizes else "" for part in parts))
    if any(part.mean for part in parts):
        table.add_row("mean by channel", *(_numbers(part.mean) for part in parts))
        table.add_row("standard deviation", *(_numbers(part.std) for part in parts))
    return table


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def _verdict(found: DataCheck) -> Text:
    errors, warnings = len(found.errors), len(found.warnings)
    doubled = (
        f"Training and validation were compared by SHA-256 of the {found.compared}.\n"
        if found.compared
        else ""
    )
    if not errors and not warnings:
        return Text(f"{doubled}no problems found")
    told = [counted(n, noun) for n, noun in ((errors, "error"), (warnings, "warning")) if n]
    kinds = Counter(finding.kind for finding in found.findings)
    more = "; --json FILE names every file" if max(kinds.values()) > MAX_FILES else ""
    return Text(f"{doubled}{', '.join(told)}{more}")


class DataProgress:
    """Shows on a bar how far the reading of the data has come."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar, self._began = bar, time.monotonic()

    def report(self, reached: Reached) -> None:
        now = time.monotonic()
        if reached.samples == 1:
            self._began = now
        done, total = _amounts(reached)
        self._bar.report(_progress_text(reached, now - self._began), done, total)


def _progress_text(reached: Reached, seconds: float) -> str:
    done, total = _amounts(reached)
    read = f"{reached.samples:,} of {counted(reached.of_samples, 'sample')}"
    size = f", {size_text(reached.num_bytes)} of {size_text(reached.of_bytes)}" if reached.of_bytes else ""
    left = f", about {duration(seconds * (total - done) / done)} left" if done and seconds > 1 else ""
    problems = f", {counted(reached.findings, 'problem')}" if reached.findings else ""
    return f"{read}{size}{left}{problems}"


def _amounts(reached: Reached) -> tuple[int, int]:
    """How much is done, and of how much: bytes where they are known."""
    if reached.of_bytes:
        return reached.num_bytes, reached.of_bytes
    return reached.samples, reached.of_samples
