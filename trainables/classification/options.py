"""The `trial:` section of a classification: data, model, loss and augmentation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from trainables.base_options import Fraction, Name, Options
from trainables.images.options import ClassDatasetsOptions, ClassFolderOptions, ClassShardsOptions
from trainables.imported_options import (
    BUILT_IN_OR_IMPORTED,
    BY_NAME,
    BY_SOURCE,
    IMPORTED,
    ImportedCall,
    ImportedData,
    ImportedModel,
    ImportedTransform,
)
from trainables.networks.options import CNNOptions, MLPOptions, ResNetOptions
from trainables.supervised.options import SupervisedOptions
from trainables.tables.options import CSVOptions, SplitOptions

IMAGE_SOURCES = ("digits", "images", "datasets", "shards")
TABLE_SOURCES = ("breast_cancer", "csv")


class DigitsOptions(SplitOptions):
    """The 1,797 handwritten digits of scikit-learn, 8x8 pixels, ten classes; nothing to download."""

    source: Literal["digits"]
    """Images."""


class BreastCancerOptions(SplitOptions):
    """scikit-learn's breast cancer data: 569 rows of 30 numbers, two classes; nothing to download."""

    source: Literal["breast_cancer"]
    """A table."""


class ClassCSVOptions(CSVOptions):
    """A CSV file whose target is a class, text or number."""

    source: Literal["csv"]
    """A table on disk."""


class LossOptions(Options):
    """Cross-entropy."""

    label_smoothing: Fraction = 0.0
    """Share of the target that is spread over all classes (arXiv:1512.00567)."""
    class_weights: Literal["none", "balanced"] | tuple[PositiveFloat, ...] = "none"
    """One weight per class; balanced gives each class of the training data the same total weight."""
    mixup: NonNegativeFloat = 0.0
    """Alpha of the Beta distribution by which two samples are mixed (arXiv:1710.09412); 0 mixes none."""


class AugmentOptions(Options):
    """Of images, drawn for each sample; everything is off by default."""

    horizontal_flip: Fraction = 0.0
    """Probability; 0.5 suits most photographs, 0 digits and letters."""
    shift: Annotated[int, Field(ge=0, le=1024)] = 0
    """Largest shift along each side in pixels; what comes in has the mean colour."""
    transforms: dict[Name, ImportedTransform] = Field(default_factory=dict)
    """Transforms of yours by names of your choice, applied in this order before the others."""


DataOptions = Annotated[
    Annotated[DigitsOptions, Tag("digits")]
    | Annotated[ClassFolderOptions, Tag("images")]
    | Annotated[ClassDatasetsOptions, Tag("datasets")]
    | Annotated[ClassShardsOptions, Tag("shards")]
    | Annotated[BreastCancerOptions, Tag("breast_cancer")]
    | Annotated[ClassCSVOptions, Tag("csv")]
    | Annotated[ImportedData, IMPORTED],
    BY_SOURCE,
]


ModelOptions = Annotated[
    Annotated[CNNOptions, Tag("cnn")]
    | Annotated[ResNetOptions, Tag("resnet")]
    | Annotated[MLPOptions, Tag("mlp")]
    | Annotated[ImportedModel, IMPORTED],
    BY_NAME,
]
LossChoice = Annotated[
    Annotated[LossOptions, Tag("built_in")] | Annotated[ImportedCall, IMPORTED], BUILT_IN_OR_IMPORTED
]


class ClassificationOptions(SupervisedOptions):
    """Everything that one classification trial gets."""

    model_config = ConfigDict(validate_default=True)

    data: DataOptions = DigitsOptions(source="digits")  # type: ignore[assignment]  # narrows an open mapping
    model: ModelOptions = CNNOptions(name="cnn")  # type: ignore[assignment]  # narrows an open mapping
    loss: LossChoice = LossOptions()
    augment: AugmentOptions = AugmentOptions()

    @field_validator("model")
    @classmethod
    def _fits_the_data(
        cls, model: CNNOptions | ResNetOptions | MLPOptions | ImportedModel, info: ValidationInfo
    ) -> CNNOptions | ResNetOptions | MLPOptions | ImportedModel:
        if isinstance(model, ImportedModel):
            return model
        source = getattr(info.data.get("data"), "source", None)
        if source in TABLE_SOURCES and model.name != "mlp":
            raise ValueError(
                f"model.name is {model.name}, which needs images, but data.source {source} is a table; "
                "use model.name mlp, or a data.source of images: " + ", ".join(IMAGE_SOURCES)
            )
        if source in IMAGE_SOURCES and model.name == "mlp":
            raise ValueError(
                f"model.name is mlp, which needs a table, but data.source {source} holds images; "
                "use model.name cnn or resnet, or a data.source of a table: " + ", ".join(TABLE_SOURCES)
            )
        return model

    @model_validator(mode="after")
    def _fits_own_data(self) -> Self:
        if isinstance(self.data, ImportedData):
            if self.augment != AugmentOptions():
                raise ValueError("augment is the data set's own where data.source is a path; leave it out")
            if isinstance(self.loss, LossOptions) and (
                self.loss.mixup or self.loss.class_weights == "balanced"
            ):
                raise ValueError(
                    "loss.mixup and loss.class_weights: balanced need data of this program, and "
                    "data.source is a path; leave them out, or give a list of weights"
                )
        return self

    @field_validator("augment")
    @classmethod
    def _augments_images(cls, augment: AugmentOptions, info: ValidationInfo) -> AugmentOptions:
        source = getattr(info.data.get("data"), "source", None)
        if source in TABLE_SOURCES and augment != AugmentOptions():
            raise ValueError(f"augment applies to images, but data.source {source} is a table; leave it out")
        return augment
