"""The `trial:` section of a regression: data, model and loss."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import PositiveFloat, Tag

from trainables.base_options import Options
from trainables.imported_options import (
    BY_NAME,
    BY_SOURCE,
    IMPORTED,
    ImportedCall,
    ImportedModel,
    ImportedNumberData,
)
from trainables.networks.options import MLPOptions
from trainables.supervised.options import SupervisedOptions
from trainables.tables.options import CSVOptions, SplitOptions


class DiabetesOptions(SplitOptions):
    """scikit-learn's diabetes data: 442 rows of 10 numbers, and how it progressed; nothing to download."""

    source: Literal["diabetes"]
    """Its target is a number from 25 to 346."""


class NumberCSVOptions(CSVOptions):
    """A CSV file whose target is a number."""

    source: Literal["csv"]
    """A table on disk."""


class MSEOptions(Options):
    """Mean squared error."""

    name: Literal["mse"]
    """The one whose best prediction is the mean."""


class MAEOptions(Options):
    """Mean absolute error."""

    name: Literal["mae"]
    """The one whose best prediction is the median."""


class HuberOptions(Options):
    """Squared for small errors and linear beyond (Huber 1964, doi:10.1214/aoms/1177703732)."""

    name: Literal["huber"]
    """As mse near 0, and as mae beyond `delta`."""
    delta: PositiveFloat = 1.0
    """Where it becomes linear, in deviations of the target."""


DataOptions = Annotated[
    Annotated[DiabetesOptions, Tag("diabetes")]
    | Annotated[NumberCSVOptions, Tag("csv")]
    | Annotated[ImportedNumberData, IMPORTED],
    BY_SOURCE,
]
ModelOptions = Annotated[Annotated[MLPOptions, Tag("mlp")] | Annotated[ImportedModel, IMPORTED], BY_NAME]
LossOptions = Annotated[
    Annotated[MSEOptions, Tag("mse")]
    | Annotated[MAEOptions, Tag("mae")]
    | Annotated[HuberOptions, Tag("huber")]
    | Annotated[ImportedCall, IMPORTED],
    BY_NAME,
]


class RegressionOptions(SupervisedOptions):
    """Everything that one regression trial gets."""

    data: DataOptions = DiabetesOptions(source="diabetes")  # type: ignore[assignment]
    model: ModelOptions = MLPOptions(name="mlp")  # type: ignore[assignment]
    loss: LossOptions = MSEOptions(name="mse")
    """Loss of the standardized target."""
