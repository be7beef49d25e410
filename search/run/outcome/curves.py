"""The picture of all learning curves of a search."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

_COLOUR = "#1f77b4"


class Curve(NamedTuple):
    """One trial's objective."""

    trial: int
    steps: Sequence[int]
    """Optimizer steps at each report."""
    values: Sequence[float]
    outcome: str
    best: int
    """Its best virtual epoch, from 1."""


class CurvesFigure(Figure):
    """A figure that a notebook shows, also without pyplot, which would keep it."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png")
        return stream.getvalue()


def draw_curves(curves: Sequence[Curve], *, best: int | None, metric: str) -> CurvesFigure:
    """All curves, each ending where its trial was paused or stopped; the best one on top and named."""
    figure = CurvesFigure(figsize=(6.4, 4.0), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    for curve in curves:
        if curve.trial != best:
            axes.plot(curve.steps, curve.values, color="0.6", lw=0.9, alpha=0.7)
            axes.plot(curve.steps[-1], curve.values[-1], ".", color="0.6", ms=4)
    for curve in curves:
        if curve.trial == best:
            label = f"trial {curve.trial}, the best"
            axes.plot(curve.steps, curve.values, color=_COLOUR, lw=1.8, label=label)
            place = curve.best - 1
            axes.plot(curve.steps[place], curve.values[place], "o", color=_COLOUR, ms=5)
            axes.legend(frameon=False)
    axes.set_xlabel("optimizer steps")
    axes.set_ylabel(metric)
    axes.set_title(f"{len(curves)} trials", fontsize=10)
    return figure
