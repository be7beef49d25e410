"""What `predict` prints: its progress with an estimate, and what was written."""

from __future__ import annotations

import time
from pathlib import Path

from search.predicting.exported import told_in
from search.predicting.folder import Predicted
from search.predicting.predict import FAILED
from search.text import command, counted, duration, number_text, one_line, short_path
from trainables.findings import SHOWN
from trainables.predicting.inference import read_inference

_SOON = 1.0
"""Seconds before which the pace is not known."""


class Pace:
    """How fast images, rows or samples are predicted."""

    def __init__(self) -> None:
        self._what, self._begun, self._first = "", 0.0, 0

    def text(self, what: str, done: int, total: int) -> str:
        """`120 of 400 images, 14.2 a second, about 20 s left`."""
        if what != self._what:  # what was there before is not counted
            self._what, self._begun, self._first = what, time.monotonic(), done
        begin = f"{done:,} of {total:,} {what}"
        seconds, new = time.monotonic() - self._begun, done - self._first
        if seconds < _SOON or not new:
            return begin
        left = (total - done) * seconds / new
        return f"{begin}, {new / seconds:.3g} a second, about {duration(left)} left"


def predict_lines(export: Path) -> list[str]:
    """The command that predicts with an export; none for one of which its code alone knows how."""
    inference = read_inference(told_in(export))
    if inference is None:
        return []
    given = "IMAGES" if inference.images is not None else "FILE.csv"
    return [f"  {command('predict', export, *([] if inference.task == 'gan' else [given]), '--out', 'DIR')}"]


def predicted_text(found: Predicted) -> str:
    """What was predicted and where it lies, the metrics against masks, and what could not be predicted."""
    before = f" ({found.kept:,} were there)" if found.kept else ""
    main = short_path(found.folder / found.main)
    lines = [f"{counted(found.written, found.unit)} predicted{before}: {main}"]
    if found.scores is not None:
        compared = f"against {counted(found.num_scored, 'mask')}"
        if found.num_scored < found.written + found.kept:
            compared += f" of {counted(found.written + found.kept, found.unit)}"
        lines.append(
            f"{compared}: mIoU {number_text(found.scores['miou'])}, "
            f"pixel accuracy {number_text(found.scores['pixel_accuracy'])}"
        )
    lines += [one_line(note) for note in found.notes]
    if found.failed:
        what = "predicted" if found.scores is None else "predicted or compared"
        lines += ["", f"{counted(len(found.failed), found.unit)} could not be {what}:"]
        lines += [f"  {one_line(f'{name}: {why}')}" for name, why in list(found.failed.items())[:SHOWN]]
        if len(found.failed) > SHOWN:
            lines.append(f"  and {len(found.failed) - SHOWN} more in {short_path(found.folder / FAILED)}")
    return "\n".join(lines)
