"""Figures as PNG files. Nothing else imports matplotlib, which takes a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from search.commands.batch_noise import BatchNoise

if TYPE_CHECKING:
    from search.commands.batch_sizes import Curve

_SIZE, _DPI = (6.4, 4.0), 110
_WIDE = 30
"""A range of losses beyond this ratio is shown on a logarithmic axis."""

_LABELS = {"epochs": "epochs over the training data", "steps": "function calls (optimizer steps)"}


def plot_convergence(
    curves: Sequence[Curve], path: Path, *, axis: Literal["epochs", "steps"], target: float
) -> None:
    """Training loss against epochs or steps, one line per batch size, the last being the big batch."""
    figure, axes = _figure()
    colors = _colors(len(curves))
    for curve, color in zip(curves, colors, strict=True):
        one_big = " (one big batch)" if curve is curves[-1] and curve.batch_size > 1 else ""
        positions = getattr(curve, axis)
        axes.plot(positions, curve.losses, color=color, lw=1.3, label=f"{curve.batch_size:,}{one_big}")
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
    label = f"standard deviation below the mean from {noise.calm_from:,} on"
    axes.axvline(noise.calm_from, color="0.4", ls=":", lw=1, zorder=0, label=label)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("batch size")
    axes.set_ylabel("loss per sample")
    axes.legend(frameon=False)
    _save(figure, path)


def _figure() -> tuple[Any, Any]:
    # Figure by itself: pyplot would look for a screen and keep every figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _colors(count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["viridis"](0.9 * index / max(1, count - 1)) for index in range(count)]


def _save(figure: Any, path: Path) -> None:
    """Write beside and rename: a reader finds the old figure or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        figure.savefig(partial, format="png")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
