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

from trainables.networks.segformer import MISSING, transformers_found
from trainables.options import Fraction, Options, TrialOptions
from trainables.shards.options import ShardPlaces, Texts

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


class ImageOptions(Options):
    """Images (PNG or JPEG) and masks (PNG of class numbers, or palette PNG), whatever holds them.

    What fits into `max_memory` is decoded once and kept; else the masks' headers are read and a sample is
    decoded, see `scan`, and training decodes every batch.
    """

    channels: Annotated[int, Field(ge=1, le=32)] = 3
    """Images are converted to grey (1) or RGB (3). In layout nnunet also the number of one-channel files."""
    num_classes: Annotated[int, Field(ge=2, le=255)] | None = None
    """None: one more than the largest label in the masks."""
    class_names: tuple[str, ...] = ()
    """One per class; else the lines of classes.txt in a folder, else its layout's, else the class numbers."""
    ignore_index: Label = 255
    """Label of pixels that count neither in the loss nor in the metrics."""
    mask_values: dict[Label, Label] = Field(default_factory=dict)
    """Labels to replace, as {255: 1} for binary masks saved as 0 and 255. Others stay."""
    max_memory: NonNegativeInt = 4 * 2**30
    """Bytes. Decoded images and masks that need more stay on disk and are decoded for each batch."""
    scan: Literal["auto", "all", "sample"] = "auto"
    """What is decoded before a search begins, to find wrong files, classes and statistics: `all`; a `sample`,
    for which num_classes or class_names must be known; `auto` is a sample where all would not fit into
    `max_memory`, are more than twice `sample_size`, and the classes are known. Of a file outside of the
    sample it shows only when it is needed that it is wrong; then `bad_samples` says what follows."""
    sample_size: PositiveInt = 512
    """Samples of each part that are decoded where not all are, drawn with a fixed seed."""
    workers: NonNegativeInt = 0
    """Processes of each trial that decode and augment its training batches where they stay on disk, one core
    each, which `resources.cpus_per_trial` does not count; 0: the trial's own process, in threads, as for
    validation. Batches come through shared memory (/dev/shm). The number changes no result, bit for bit."""
    bad_samples: Literal["raise", "skip"] = "raise"
    """What a sample is that lacks its image or mask, cannot be decoded, has two sizes or a label that is no
    class: an error that names the file, or left out of losses and metrics, every pixel of it ignored."""
    max_skipped: NonNegativeInt = 10
    """With `bad_samples: skip`, more such samples than these are an error all the same."""
    normalization: Literal["data", "imagenet"] = "data"
    """Mean and deviation of the training images, or those of ImageNet (for pretrained weights)."""

    @property
    def skip_limit(self) -> int:
        """Samples that may be skipped."""
        return self.max_skipped if self.bad_samples == "skip" else 0

    @property
    def several_files(self) -> bool:
        """Whether an image may come in one file for each channel."""
        return False

    @model_validator(mode="after")
    def _imagenet_is_rgb(self) -> Self:
        if self.normalization == "imagenet" and self.channels != 3:
            raise ValueError(
                f"normalization is imagenet and channels {self.channels}; imagenet needs channels: 3"
            )
        return self

    @model_validator(mode="after")
    def _known_channels(self) -> Self:
        if self.channels not in (1, 3) and not self.several_files:
            raise ValueError(f"channels is {self.channels}; it must be 1 or 3, but in layout nnunet")
        return self

    @model_validator(mode="after")
    def _sample_of_known_classes(self) -> Self:
        # In a folder, classes.txt or the layout may have them.
        unknown = self.num_classes is None and not self.class_names and not isinstance(self, FolderOptions)
        if self.scan == "sample" and unknown:
            raise ValueError("scan is sample, so the classes must be told: set num_classes or class_names")
        return self


class FolderOptions(ImageOptions):
    """Files below one folder, paired by name.

    Layouts: `folders` is images/ and masks/ (with train.txt and val.txt, or split by `valid_fraction`), or
    train/images and train/masks beside val/images and val/masks, or images/train beside masks/train, or
    train/ beside trainannot/ (CamVid); `voc` Pascal VOC; `cityscapes`; `ade20k`; `nnunet` in two dimensions.
    """

    source: Literal["folder"]
    root: Annotated[str, Field(min_length=1)]
    layout: Literal["auto", "folders", "voc", "cityscapes", "ade20k", "nnunet"] = "auto"
    """auto: the one that the folder has, told in a line. A layout knows its void label and class names."""
    images_folder: str = "images"
    """In layout `folders`."""
    masks_folder: str = "masks"
    mask_suffix: str = ""
    """What a mask's name has more than its image's, as "_mask" for car.jpg and car_mask.png."""
    train_list: str | None = None
    """A file below `root` with one image name a line; none looks for train.txt, in layout voc below
    ImageSets/Segmentation."""
    valid_list: str | None = None
    """As `train_list`; none looks for val.txt and valid.txt."""
    valid_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """Share of images kept for validation where the folder has no split."""
    split_seed: NonNegativeInt = 0
    fold: NonNegativeInt = 0
    """In layout nnunet: which split of splits_final.json, from 0."""

    @property
    def several_files(self) -> bool:
        return self.layout in ("auto", "nnunet")


class DatasetsOptions(ImageOptions):
    """A DatasetDict of Hugging Face's `datasets`, saved with `save_to_disk`; nothing is downloaded."""

    source: Literal["datasets"]
    root: Annotated[str, Field(min_length=1)]
    """The folder that save_to_disk wrote."""
    image_column: str = "image"
    """Of the feature Image, as the masks."""
    mask_column: str = "mask"
    train_split: str = "train"
    valid_split: str | None = None
    """none: the first of validation, valid, val and test."""


class ShardsOptions(ShardPlaces, ImageOptions):
    """Tar files of images and masks; `max_memory` means nothing here.

    Without `augment.crop`, images of several sizes are padded to the largest of a batch.
    """

    source: Literal["shards"]
    mask: Texts = ("mask.png", "seg.png", "png")
    """As `image`."""

    @model_validator(mode="after")
    def _classes_told(self) -> Self:
        if self.num_classes is None and not self.class_names:
            raise ValueError("classes of shards are not looked for, reading all takes long: set num_classes")
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


class ValidationOptions(Options):
    """How whole images are predicted, in validation, in pictures and before an export."""

    window: Annotated[int, Field(ge=8)] | None = None
    """Side in pixels of overlapping square windows, whose logits are averaged with a Gaussian as weight
    (nnU-Net, Isensee et al. 2021). Images are then validated one at a time and at their own size, with
    `valid_batch_size` windows at once. none: whole images, padded to the largest of a batch."""
    overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    """Least share of a window that the next one covers too."""


class SegmentationOptions(TrialOptions):
    """Everything that one segmentation trial gets."""

    data: DigitsOptions | FolderOptions | DatasetsOptions | ShardsOptions = Field(  # type: ignore[assignment]  # narrows
        default=DigitsOptions(source="digits"), discriminator="source"
    )
    model: UNetOptions | SegformerOptions = Field(  # type: ignore[assignment]
        default=UNetOptions(name="unet"), discriminator="name"
    )
    loss: LossOptions = LossOptions()
    augment: AugmentOptions = AugmentOptions()
    validation: ValidationOptions = ValidationOptions()
