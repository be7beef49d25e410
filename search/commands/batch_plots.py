"""The figures of batch-sizes. Only this file imports matplotlib, and only when it draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from search.commands.batch_analysis import BatchNoise, Curve
from trainables.files import atomic_file

_WIDE = 30
"""Ratio of the largest to the smallest loss above which the axis is logarithmic."""

_LABELS = {"epochs": "epochs over the training data", "steps": "optimizer steps"}


def plot_convergence(
    curves: Sequence[Curve], path: Path, *, axis: Literal["epochs", "steps"], target: float
) -> None:
    """Training loss against epochs or steps, one line per batch size."""
    from matplotlib import colormaps

    figure, axes = _figure()
    for index, curve in enumerate(curves):
        color = colormaps["viridis"](0.9 * index / max(1, len(curves) - 1))
        positions = getattr(curve, axis)
        axes.plot(positions, curve.losses, color=color, lw=1.3, label=f"{curve.batch_size:,}")
        axes.plot(positions[-1], curve.losses[-1], "o", color=color, ms=4)
    axes.axhline(target, color="0.4", ls=":", lw=1, zorder=0)
    axes.set_xlabel(_LABELS[axis])
    axes.set_ylabel("training loss")
    if axis == "steps":
        axes.set_xscale("log")
    lowest, highest = (of(of(curve.losses) for curve in curves) for of in (min, max))
    if lowest > 0 and highest > _WIDE * lowest:
        axes.set_yscale("log")
    axes.legend(title="batch size", frameon=False)
    _save(figure, path)


def plot_batch_noise(noise: BatchNoise, path: Path) -> None:
    """Mean and standard deviation of a batch's loss against its size."""
    figure, axes = _figure()
    axes.plot(noise.batch_sizes, noise.means, marker=".", label="mean of the loss")
    axes.plot(noise.batch_sizes, noise.deviations, marker=".", label="standard deviation of the loss")
    label = f"coefficient of variation below 1 from {noise.smallest_batch_cv_below_1:,} on"
    axes.axvline(noise.smallest_batch_cv_below_1, color="0.4", ls=":", lw=1, zorder=0, label=label)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("batch size")
    axes.set_ylabel("loss per sample")
    axes.legend(frameon=False)
    _save(figure, path)


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # without pyplot, which keeps every figure

    figure = Figure(figsize=(6.4, 4.0), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    with atomic_file(path) as partial:
        figure.savefig(partial, format="png")
