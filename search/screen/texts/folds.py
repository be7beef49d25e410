"""The training on folds, as text."""

from __future__ import annotations

from search.retraining.folds import FoldReport, FoldRetraining
from search.retraining.values import FOLDS, FoldValues
from search.screen.texts.summary import retraining_progress
from search.text import counted, number_text, short_path


def fold_progress(report: FoldReport) -> tuple[str, float, float]:
    """A line, and how much of all folds is done, in virtual epochs."""
    done = report.place * report.of + report.record["virtual_epoch"]
    text = retraining_progress(report.record, report.of)
    which = f"fold {report.fold}" if report.places == 1 else f"fold {report.fold} of {report.places}"
    return f"{which}  {text}", done, report.places * report.of


def folds_text(done: FoldRetraining, command: str) -> str:
    """The values of the folds so far, or the command that continues."""
    lines = [] if done.values is None else fold_lines(done.values)
    if done.last.export is None:
        where = f"fold {done.stopped_at} after virtual epoch {done.last.virtual_epochs} of {done.last.of}"
        return "\n".join([*lines, f"stopped in {where}; continue with", f"  {command}"])
    if not done.trained:
        lines.append(
            "nothing was trained: the folder holds this already; to train anew, give another --out, or "
            "remove it"
        )
    if done.note:
        lines.append(f"note: {done.note}")
    return "\n".join([*lines, f"exports in {short_path(done.folder)}/fold_*/export, values in {FOLDS}"])


def fold_lines(values: FoldValues) -> list[str]:
    """A row for each fold, and mean ± standard deviation."""
    rows = [("fold", values.metric, "virtual epoch", "validation")]
    rows += [
        (
            str(each.fold),
            number_text(each.value),
            str(each.virtual_epoch),
            f"{each.samples.get('validation', 0):,}",
        )
        for each in values.values
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    ]
    return [_headline(values), *table]


def _headline(values: FoldValues) -> str:
    trained = (
        f"{len(values.values)} of {values.folds} folds"
        if not values.complete
        else counted(values.folds, "fold")
    )
    groups = "" if values.group is None else f" by group {values.group}"
    told = f"trial {values.trial}: {values.metric} {number_text(values.mean)}"
    spread = "" if values.std is None else f" ± {number_text(values.std)} (mean ± standard deviation)"
    return f"{told}{spread} over {trained}{groups}"
