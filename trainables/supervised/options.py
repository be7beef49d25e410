"""The options that segmentation, classification and regression share."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat

from trainables.base_options import Name
from trainables.imported_options import ImportedCall
from trainables.options import TrialOptions


class ImportedTerm(ImportedCall):
    """A term of a mixture of losses."""

    coefficient: NonNegativeFloat = 1.0
    """0 leaves the term out."""


class SupervisedOptions(TrialOptions):
    """Everything that one trial of outputs against targets gets."""

    metrics: dict[Name, ImportedCall] = Field(default_factory=dict)
    """Metrics of yours beside the task's own, by the name under which each is reported. Computed over all
    validation data by an object with `update` and `compute`, such as torchmetrics'; of a function the mean
    over the samples is taken."""
