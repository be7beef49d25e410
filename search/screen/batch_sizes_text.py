"""The last screen of `tune-search batch-sizes`, as text."""

from __future__ import annotations

from pathlib import Path

from search.commands.batch_claims import Reached
from search.commands.batch_sizes import BatchSizes, Curve
from search.screen.live import number_text, short_path


def batch_sizes_text(study: BatchSizes) -> str:
    """A row per batch size, the verdict on each claim, and what was written."""
    big = study.curves[-1]
    head = (
        f"training loss of {len(study.curves)} batch sizes over {study.num_train:,} samples; the biggest, "
        f"{big.batch_size:,}, ends at {number_text(study.target)} after {big.epochs[-1]:g} epochs"
    )
    rows: list[tuple[str, ...]] = [
        ("batch size", "trial", "loss at end", "best loss", "epochs to reach it", "steps to reach it")
    ]
    rows += [_row(curve, here) for curve, here in zip(study.curves, study.reached, strict=True)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [head, ""]
    lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    noise = study.noise
    lines += [
        "",
        f"spread of the loss: trial {noise.trial} at virtual epoch {noise.virtual_epoch}, on "
        f"{noise.num_samples:,} training samples",
    ]
    for claim in study.claims:
        lines += ["", f"{claim.verdict}: {claim.claim}", f"  {claim.numbers}"]
    for note in study.notes:
        lines += ["", f"note: {note}"]
    folder = short_path(Path(study.folder))
    return "\n".join([*lines, "", *(f"  {folder}/{name}" for name in study.files)])


def _row(curve: Curve, here: Reached | None) -> tuple[str, ...]:
    return (
        f"{curve.batch_size:,}",
        str(curve.trial),
        number_text(curve.losses[-1]),
        number_text(min(curve.losses)),
        "not reached" if here is None else f"{here.epochs:g}",
        "not reached" if here is None else f"{here.steps:,}",
    )
