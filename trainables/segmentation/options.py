"""The `trial:` section of a segmentation: data, model, loss and augmentation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

from trainables.base_options import VALIDATES, Fraction, Name, Options
from trainables.folds.options import FoldOptions
from trainables.images.augmentation.options import JointAugmentOptions
from trainables.images.options import (
    MaskDatasetsOptions,
    MaskFolderOptions,
    MaskShardsOptions,
)
from trainables.imported_options import (
    BY_NAME,
    BY_SOURCE,
    IMPORTED,
    ImportedData,
    ImportedModel,
    NetworkOptions,
)
from trainables.networks.segformer import MISSING, transformers_found
from trainables.supervised.options import ImportedTerm, SupervisedOptions

Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


class DigitsOptions(FoldOptions):
    """Handwritten digits of scikit-learn on canvases: 11 classes, nothing to download."""

    source: Literal["digits"]
    """Canvases of training and validation have no digit in common."""
    size: Annotated[int, Field(ge=8, le=1024), VALIDATES] = 40
    """Side of a canvas in pixels."""
    enlarge: Annotated[int, Field(ge=1, le=16), VALIDATES] = 1
    """Canvas pixels per pixel of a digit (8x8), along each side."""
    num_train: PositiveInt = 2048
    """Canvases for training."""
    num_valid: Annotated[PositiveInt, VALIDATES] = 128
    """Canvases for validation."""
    noise: Annotated[NonNegativeFloat, VALIDATES] = 0.1
    """Standard deviation of Gaussian noise; 1 is the full range of grey."""
    empty: Annotated[Fraction, VALIDATES] = 0.1
    """Share of grid cells without a digit."""
    seed: Annotated[NonNegativeInt, VALIDATES] = 0
    """Of the split into training and validation digits, unless there are `folds`, and of the composition."""


class UNetOptions(NetworkOptions):
    """U-Net (arXiv:1505.04597)."""

    name: Literal["unet"]
    """A single file that imports torch alone."""
    width: Annotated[int, Field(ge=1, le=1024)] = 16
    """Channels of the first level; each level below has twice as many."""
    depth: Annotated[int, Field(ge=0, le=8)] = 2
    """Number of halvings."""
    normalization: Literal["batch", "instance", "group", "none"] = "batch"
    """group takes 4 channels together; where most of an image is plain background, instance learns faster."""
    dropout: Dropout = 0.0
    """Share of channels dropped at the lowest level."""


class SegformerOptions(NetworkOptions):
    """SegFormer (arXiv:2105.15203) from transformers: random weights, or those of a local folder."""

    name: Literal["segformer"]
    """Needs `pip install 'tune-search[transformers]'`."""
    size: Literal["tiny", "b0", "b1", "b2", "b3", "b4", "b5"] = "b0"
    """Not used with `path`."""
    path: str | None = None
    """A folder with config.json and model.safetensors. A head with other classes is drawn afresh."""
    dropout: Dropout = 0.1
    """In the classifier of the decoder."""
    drop_path: Dropout = 0.1
    """Stochastic depth of the deepest block."""

    @field_validator("name")
    @classmethod
    def _installed(cls, name: str) -> str:
        """Reported before training; importing the library takes seconds, finding it does not."""
        if not transformers_found():
            raise ValueError(MISSING)
        return name


class LossOptions(Options):
    """Coefficients of a mixture; 0 leaves a term out."""

    cross_entropy: NonNegativeFloat = 1.0
    """Over pixels; where `labels` is binary or multilabel the binary one of each class."""
    dice: NonNegativeFloat = 0.0
    """1 minus the soft Dice ratio of each image and class (arXiv:1606.04797)."""
    focal: NonNegativeFloat = 0.0
    """Cross-entropy with less weight on pixels that are easy (arXiv:1708.02002)."""
    focal_gamma: NonNegativeFloat = 2.0
    """Focusing exponent (arXiv:1708.02002)."""
    label_smoothing: Fraction = 0.0
    """Of the cross-entropy."""
    class_weights: Literal["none", "median_frequency"] | tuple[PositiveFloat, ...] = "none"
    """One weight per class for cross-entropy and focal; median_frequency computes them (arXiv:1411.4734)."""
    terms: dict[Name, ImportedTerm] = Field(default_factory=dict)
    """Losses of yours, by names of your choice."""

    @field_validator("terms")
    @classmethod
    def _other_names(cls, terms: dict[str, ImportedTerm]) -> dict[str, ImportedTerm]:
        for name in terms:
            if name in cls.model_fields:
                raise ValueError(f"the term {name!r} has the name of an option of the loss; give it another")
        return terms

    @model_validator(mode="after")
    def _some_term(self) -> Self:
        if self.cross_entropy + self.dice + self.focal + sum(t.coefficient for t in self.terms.values()) == 0:
            raise ValueError("cross_entropy, dice, focal and all terms are 0; at least one must be above 0")
        return self


class ValidationOptions(Options):
    """How whole images are predicted, in validation, in pictures and before an export."""

    window: Annotated[int, Field(ge=8)] | None = None
    """Side in pixels of overlapping square windows, whose logits are averaged with a Gaussian as weight
    (nnU-Net, Isensee et al. 2021). Images are then validated one at a time and at their own size, with
    `valid_batch_size` windows at once. none: whole images, padded to the largest of a batch."""
    overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    """Least share of a window that the next one covers too."""
    flips: Literal["none", "horizontal", "vertical", "both"] = "none"
    """Test-time augmentation: the softmax or sigmoid is averaged over the image and its mirror image, two
    predictions; both: four, as in nnU-Net. Metrics and loss are those of the average, which the exported
    model alone does not reach."""
    boundary_iou: Annotated[float | None, Field(gt=0.0, le=0.5, examples=[0.02])] = None
    """Distance from edges, as a share of the image's diagonal, in which boundary IoU (arXiv:2103.16562) looks
    at pixels; the paper has 0.02. Reported as `boundary_iou`. none: not computed."""


ModelOptions = Annotated[
    Annotated[UNetOptions, Tag("unet")]
    | Annotated[SegformerOptions, Tag("segformer")]
    | Annotated[ImportedModel, IMPORTED],
    BY_NAME,
]
DataOptions = Annotated[
    Annotated[DigitsOptions, Tag("digits")]
    | Annotated[MaskFolderOptions, Tag("folder")]
    | Annotated[MaskDatasetsOptions, Tag("datasets")]
    | Annotated[MaskShardsOptions, Tag("shards")]
    | Annotated[ImportedData, IMPORTED],
    BY_SOURCE,
]


class SegmentationOptions(SupervisedOptions):
    """Everything that one segmentation trial gets."""

    data: DataOptions = DigitsOptions(source="digits")  # type: ignore[assignment]  # narrows an open mapping
    model: ModelOptions = UNetOptions(name="unet")  # type: ignore[assignment]
    loss: LossOptions = LossOptions()
    augment: JointAugmentOptions = JointAugmentOptions()
    validation: ValidationOptions = ValidationOptions()

    @model_validator(mode="after")
    def _fits_own_data(self) -> Self:
        if isinstance(self.data, ImportedData):
            if self.augment != JointAugmentOptions():
                raise ValueError("augment is the data set's own where data.source is a path; leave it out")
            if self.loss.class_weights == "median_frequency":
                raise ValueError(
                    "loss.class_weights is median_frequency, and a data set of yours does not count its "
                    "classes; give a list of weights"
                )
        return self
