"""`plateau:`: the end of a trial that does not improve any more."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat

from search.config.sections.section import Count, Section


class Plateau(Section):
    """Ends a trial that has not improved by more than `min_delta` for `patience` virtual epochs.

    Works with any scheduler. With `patience` 1 on a loss it is the convergence test of many optimizers: train
    until an iteration lowers the loss by no more than `min_delta`.
    """

    patience: Count = 5
    """Virtual epochs."""
    min_delta: NonNegativeFloat = 0.0
    """In units of the objective."""
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay of the exponential moving average of the objective that is compared; 0 compares the objective
    itself. Its start at zero is corrected as in Adam (arXiv:1412.6980)."""
