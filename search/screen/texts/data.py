"""What was found in data: the progress of `check --data`, then problems, columns, classes and statistics."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from search.commands.check_data import PARTS, ClassSummary, DataCheck, Progress
from search.text import counted, cut, duration, printable, short_path, size_text
from trainables.findings import Finding, short_name

MAX_FILES = 3
"""Number of files that the table shows of each kind of finding."""
MAX_CLASSES = 40
"""Rows of the table of classes; of more classes, the most and the least frequent are shown."""
MAX_SHARES = 6
"""Classes whose shares the table of folds shows; of more the JSON has them."""
MAX_COLUMNS = 20
"""Rows of the table of a table's columns."""
MAX_TEXT = 400
"""Characters of a message; the whole is in the report."""
_STYLES = {"error": "bold red", "warning": "bold yellow"}


def data_check_text(
    found: DataCheck, *, color: bool = False, width: int | None = None, report: str = ""
) -> str:
    """Problems, columns, classes and statistics.

    Args:
        width: columns of the longest line (default: the terminal's).
        report: path of the file with everything.
    """
    parts: list[RenderableType] = [_head(found), *(Text(printable(note)) for note in found.notes), ""]
    parts += _all_problems(found)
    for name, text in found.facts.items():
        parts += [Text(f"{name}: {printable(text)}"), ""]
    if found.columns:
        parts += [_column_table(found), ""]
    if found.classes:
        parts += [_class_table(found), ""]
    if found.folds:
        parts += [_fold_table(found), ""]
    if found.parts:
        parts += [_statistics(found), ""]
    return _rendered([*parts, _verdict(found, report)], color, width)


def overview_text(found: DataCheck, *, color: bool = False, width: int | None = None) -> str:
    """What was understood of the samples that were looked at, and the problems with them."""
    parts: list[RenderableType] = [Text(_looked_at(found))]
    parts += [Text(f"{name}: {printable(text)}") for name, text in found.facts.items()]
    if found.columns:
        parts += ["", _column_table(found)]
    if found.classes:
        parts += ["", _class_table(found)]
    problems = _all_problems(found)
    return _rendered([*parts, "", *problems] if problems else parts, color, width)


def _rendered(parts: Sequence[RenderableType], color: bool, width: int | None) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
    )
    with console.capture() as captured:
        console.print(Group(*parts))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _looked_at(found: DataCheck) -> str:
    """How many samples of each part there are and were looked at, and their sizes."""
    texts = []
    for name, part in found.parts.items():
        looked = f", {part.samples:,} looked at" if part.samples < part.of_samples else ""
        sizes = list(dict.fromkeys("{}x{}".format(*size) for size in part.sizes.values()))
        size = f", {' to '.join(sizes[:: max(1, len(sizes) - 1)])}" if sizes else ""
        texts.append(f"{part.of_samples:,} to {'train' if name == 'train' else 'validate'}{looked}{size}")
    return f"samples: {'; '.join(texts)}"


def _all_problems(found: DataCheck) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for severity, findings in (("error", found.errors), ("warning", found.warnings)):
        if findings:
            width = max(len(finding.kind.name) for finding in found.findings)
            parts += [_problems(severity, findings, found.root, width), ""]
    return parts


def data_progress_text(progress: Progress) -> str:
    """How much was read, the time left, and the number of problems so far."""
    read = f"{progress.samples:,} of {counted(progress.of_samples, 'sample')}"
    if progress.of_bytes:
        read += f", {size_text(progress.num_bytes)} of {size_text(progress.of_bytes)}"
    if progress.fraction and progress.seconds > 1:
        read += f", about {duration(progress.seconds * (1 / progress.fraction - 1))} left"
    return f"{read}, {counted(progress.findings, 'problem')}" if progress.findings else read


def _head(found: DataCheck) -> Text:
    samples = sum(part.samples for part in found.parts.values())
    num_bytes = sum(part.num_bytes for part in found.parts.values())
    size = f" ({size_text(num_bytes)})" if num_bytes else ""
    speed = f", {samples / found.seconds:,.0f} samples/s" if found.seconds > 0.1 else ""
    where = f"below {printable(short_path(found.root))}" if found.root else f"of {found.name}"
    took = f"{found.seconds:.1f} s" if found.seconds < 10 else duration(found.seconds)
    return Text(f"read {counted(samples, 'sample')}{size} {where} in {took}{speed}")


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def _problems(severity: str, findings: Sequence[Finding], root: Path | None, width: int) -> Table:
    """A row for each kind; `width` is that of the longest kind's name in both tables."""
    kinds = [(kind, list(of_kind)) for kind, of_kind in groupby(findings, key=lambda finding: finding.kind)]
    table = _table()
    table.add_column(Text(severity + "s", style=_STYLES[severity]), min_width=min(width, 26), max_width=26)
    table.add_column("number", justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    for kind, of_kind in kinds:
        table.add_row(
            Text(kind.name),
            f"{len(of_kind):,}",
            Group(*_places(of_kind, root), *([Text(f"→ {kind.remedy}", style="dim")] if kind.remedy else [])),
        )
    return table


def _places(findings: Sequence[Finding], root: Path | None) -> Iterator[RenderableType]:
    for finding in findings[:MAX_FILES]:
        where = printable(short_name(finding.where, root))
        message = finding.message if root is None else finding.message.replace(f"{root}/", "")
        message = f": {printable(' '.join(message.split()))}" if message else ""
        yield Text(cut(where + message, MAX_TEXT))
    if len(findings) > MAX_FILES:
        yield Text(f"and {len(findings) - MAX_FILES:,} more", style="dim")


def _column_table(found: DataCheck) -> Table:
    """What the columns of a table were taken for; of many the first ones, the target among them."""
    table = _table()
    table.add_column("column", overflow="ellipsis", no_wrap=True, max_width=24)
    table.add_column("kind", no_wrap=True)
    table.add_column("missing", justify="right", no_wrap=True)
    table.add_column("example", overflow="ellipsis", no_wrap=True)
    ordered = sorted(found.columns, key=lambda column: not column.kind.startswith("target"))
    kept = {column.name for column in ordered[:MAX_COLUMNS]}
    for column in found.columns:
        if column.name in kept:
            texts = (column.name, column.kind, f"{column.missing:,}", column.example)
            table.add_row(*(Text(printable(text)) for text in texts))
    kinds = Counter(column.kind.partition(":")[0] for column in found.columns if column.name not in kept)
    if kinds:
        rest = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(3))
        table.add_row(f"and {sum(kinds.values()):,} more", rest)
    return table


def _class_table(found: DataCheck) -> Table:
    of_pixels = found.unit != "samples"
    table = _table()
    table.add_column("class", overflow="ellipsis", no_wrap=True, max_width=24)
    for part in found.parts:
        title = PARTS.get(part, part)
        table.add_column(f"{title}\n{found.unit}", justify="right", no_wrap=True)
        table.add_column("\nshare", justify="right", no_wrap=True)
        if of_pixels:
            table.add_column("\nsamples", justify="right", no_wrap=True)
    for row in _shown_classes(found.classes):
        if row is None:
            table.add_row("…")
            continue
        cells: list[RenderableType] = [Text(printable(row.name))]
        for part in found.parts:
            count, total = row.counts[part], found.totals[part]
            cells += [f"{count:,}", f"{count / total:.2%}" if total else ""]
            cells += [f"{row.samples[part]:,}"] if of_pixels else []
        table.add_row(*cells)
    return table


def _fold_table(found: DataCheck) -> Table:
    """The size of each fold, and of not too many classes their shares in it."""
    names = [row.name for row in found.classes if row.name != "ignored"]
    shown = names if len(names) <= MAX_SHARES else []
    table = _table()
    table.add_column("fold", no_wrap=True)
    table.add_column("samples", justify="right", no_wrap=True)
    for name in shown:
        table.add_column(Text(printable(name)), justify="right", no_wrap=True)
    table.add_column("")
    for number, fold in enumerate(found.folds):
        total = sum(fold.counts)
        shares = [f"{count / total:.1%}" if total else "" for count in fold.counts[: len(shown)]]
        table.add_row(str(number), f"{fold.samples:,}", *shares, "for validation" if fold.chosen else "")
    return table


def _shown_classes(classes: Sequence[ClassSummary]) -> list[ClassSummary | None]:
    """All classes in their order, or the most and the least frequent with None between them."""
    if len(classes) <= MAX_CLASSES:
        return list(classes)
    ordered = sorted(classes, key=lambda row: -sum(row.counts.values()))
    half = MAX_CLASSES // 2
    return [*ordered[:half], None, *ordered[-half:]]


def _statistics(found: DataCheck) -> Table:
    table = _table()
    table.add_column("statistics")
    parts = list(found.parts.values())
    for name in found.parts:
        table.add_column(PARTS.get(name, name), justify="right")
    table.add_row("samples", *(f"{part.samples:,}" for part in parts))
    if any(part.sizes for part in parts):
        for key, name in (("min", "smallest image"), ("median", "median image"), ("max", "largest image")):
            table.add_row(name, *("{}x{}".format(*part.sizes[key]) if part.sizes else "" for part in parts))
    if any(part.mean for part in parts):
        table.add_row("mean by channel", *(_numbers(part.mean) for part in parts))
        table.add_row("standard deviation", *(_numbers(part.std) for part in parts))
    return table


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)


def _verdict(found: DataCheck, report: str) -> Text:
    lines = []
    if found.compared:
        lines.append(f"Training and validation were compared by SHA-256 of the {found.compared}.")
    numbers = ((len(found.errors), "error"), (len(found.warnings), "warning"))
    counts = ", ".join(counted(number, noun) for number, noun in numbers if number)
    kinds = Counter(finding.kind for finding in found.findings)
    longest = max((len(finding.message) for finding in found.findings), default=0)
    is_cut = max(kinds.values(), default=0) > MAX_FILES or longest > MAX_TEXT
    where = printable(report) if report else "--json FILE"
    more = f"; {where} lists every file" if is_cut else ""
    return Text("\n".join([*lines, f"{counts or 'no problems found'}{more}"]))
