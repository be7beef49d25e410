"""The `trial:` section of a segmentation: data, model, loss and augmentation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from trainables.options import Fraction, Options, TrialOptions
from trainables.segmentation.segformer import MISSING, transformers_found

Label = Annotated[int, Field(ge=0, le=255)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


class DigitsOptions(Options):
    """Handwritten digits of scikit-learn on canvases: 11 classes, nothing to download."""

    source: Literal["digits"]
    size: Annotated[int, Field(ge=8, le=1024)] = 40
    """Side of a canvas in pixels."""
    enlarge: Annotated[int, Field(ge=1, le=16)] = 1
    """Canvas pixels per pixel of a digit (8x8), along each side."""
    num_train: PositiveInt = 2048
    num_valid: PositiveInt = 128
    noise: NonNegativeFloat = 0.1
    """Standard deviation of Gaussian noise; 1 is the full range of grey."""
    empty: Fraction = 0.1
    """Share of grid cells without a digit."""
    seed: NonNegativeInt = 0
    """Of the split into training and validation digits, and of the composition."""


class FolderOptions(Options):
    """Images (PNG or JPEG) and masks (PNG of class numbers, or palette PNG) below one folder.

    Every file is decoded once before a search begins, also where it stays on disk.

    Layouts: images/ and masks/ (with train.txt and val.txt, or split by `valid_fraction`); train/images and
    train/masks beside val/images and val/masks; images/train beside masks/train; train/ beside trainannot/.
    """

    source: Literal["folder"]
    root: Annotated[str, Field(min_length=1)]
    channels: Literal[1, 3] = 3
    """Images are converted to grey (1) or RGB (3)."""
    num_classes: Annotated[int, Field(ge=2, le=255)] | None = None
    """None: one more than the largest label in the masks."""
    class_names: tuple[str, ...] = ()
    """One per class; else the lines of classes.txt in `root`, else the class numbers."""
    ignore_index: Label = 255
    """Label of pixels that count neither in the loss nor in the metrics."""
    mask_values: dict[Label, Label] = Field(default_factory=dict)
    """Labels to replace, as {255: 1} for binary masks saved as 0 and 255. Others stay."""
    images_folder: str = "images"
    masks_folder: str = "masks"
    mask_suffix: str = ""
    """What a mask's name has more than its image's, as "_mask" for car.jpg and car_mask.png."""
    train_list: str | None = None
    """A file below `root` with one image name a line; none looks for train.txt."""
    valid_list: str | None = None
    """As `train_list`; none looks for val.txt and valid.txt."""
    valid_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """Share of images kept for validation where the folder has no split."""
    split_seed: NonNegativeInt = 0
    max_memory: NonNegativeInt = 4 * 2**30
    """Bytes. Decoded images and masks that need more stay on disk and are decoded for each batch."""
    on_error: Literal["raise", "skip"] = "raise"
    """What a sample is that lacks its image or mask, cannot be decoded, has two sizes or a label that is no
    class: an error that names the file, or left out of losses and metrics, every pixel of it ignored."""
    max_skipped: NonNegativeInt = 10
    """With `on_error: skip`, more such samples than these are an error all the same."""
    normalization: Literal["data", "imagenet"] = "data"
    """Mean and deviation of the training images, or those of ImageNet (for pretrained weights)."""

    @property
    def skip_limit(self) -> int:
        """Samples that may be skipped."""
        return self.max_skipped if self.on_error == "skip" else 0

    @model_validator(mode="after")
    def _imagenet_is_rgb(self) -> Self:
        if self.normalization == "imagenet" and self.channels != 3:
            raise ValueError(
                f"normalization is imagenet and channels {self.channels}; imagenet needs channels: 3"
            )
        return self


class UNetOptions(Options):
    """U-Net (arXiv:1505.04597)."""

    name: Literal["unet"]
    width: Annotated[int, Field(ge=1, le=1024)] = 16
    """Channels of the first level; each level below has twice as many."""
    depth: Annotated[int, Field(ge=0, le=8)] = 2
    """Number of halvings."""
    normalization: Literal["batch", "instance", "group", "none"] = "batch"
    """group takes 4 channels together; where most of an image is plain background, instance learns faster."""
    dropout: Dropout = 0.0
    """Share of channels dropped at the lowest level."""


class SegformerOptions(Options):
    """SegFormer (arXiv:2105.15203) from transformers: random weights, or those of a local folder."""

    name: Literal["segformer"]
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
        """Said before anything is trained; importing it takes seconds, finding it does not."""
        if not transformers_found():
            raise ValueError(MISSING)
        return name


class LossOptions(Options):
    """Coefficients of a mixture; 0 leaves a term out."""

    cross_entropy: NonNegativeFloat = 1.0
    dice: NonNegativeFloat = 0.0
    focal: NonNegativeFloat = 0.0
    focal_gamma: NonNegativeFloat = 2.0
    """Focusing exponent (arXiv:1708.02002)."""
    label_smoothing: Fraction = 0.0
    """Of the cross-entropy."""
    class_weights: Literal["none", "median_frequency"] | tuple[PositiveFloat, ...] = "none"
    """One weight per class for cross-entropy and focal; median_frequency computes them (arXiv:1411.4734)."""

    @model_validator(mode="after")
    def _some_term(self) -> Self:
        if self.cross_entropy + self.dice + self.focal == 0:
            raise ValueError("cross_entropy, dice and focal are all 0; at least one must be above 0")
        return self


class AugmentOptions(Options):
    """Drawn anew for each sample; everything off by default."""

    horizontal_flip: Fraction = 0.0
    """Probability; 0.5 suits most photographs."""
    vertical_flip: Fraction = 0.0
    crop: PositiveInt | None = None
    """Side in pixels of a random square crop; needed where training images differ in size."""
    scale_min: PositiveFloat = 1.0
    """Least random enlargement before the crop; below 1 shrinks, and pads where the image ends."""
    scale_max: PositiveFloat = 1.0
    brightness: Fraction = 0.0
    """Largest shift, 1 being the full range."""
    contrast: Fraction = 0.0
    """Largest relative change of the distance from the mean."""
    gamma: Annotated[float, Field(ge=0.0, le=3.0)] = 0.0
    """Largest absolute logarithm of the exponent."""

    @model_validator(mode="after")
    def _scale_range(self) -> Self:
        if self.scale_min > self.scale_max:
            raise ValueError(
                f"scale_min is {self.scale_min} and scale_max {self.scale_max}; scale_min may not be larger"
            )
        if self.crop is None and (self.scale_min != 1.0 or self.scale_max != 1.0):
            raise ValueError("scale_min and scale_max need a crop: set crop to a side in pixels")
        return self


class SegmentationOptions(TrialOptions):
    """Everything that one segmentation trial gets."""

    data: DigitsOptions | FolderOptions = Field(  # type: ignore[assignment]  # narrows the base's open mapping
        default=DigitsOptions(source="digits"), discriminator="source"
    )
    model: UNetOptions | SegformerOptions = Field(  # type: ignore[assignment]
        default=UNetOptions(name="unet"), discriminator="name"
    )
    loss: LossOptions = LossOptions()
    augment: AugmentOptions = AugmentOptions()
