"""The `augment:` of images and masks together."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from trainables.base_options import Fraction, Name, Options
from trainables.imported_options import ImportedJointTransform


class SometimesOptions(Options):
    """An augmentation of some samples; `{}` is one with the values below."""

    p: Fraction = 0.5
    """Probability."""


class OversampleOptions(SometimesOptions):
    """Crops that are placed to show a random pixel of a class, drawn alike from those that the image has (as
    nnU-Net does for its foreground)."""

    p: Fraction = 0.33
    """Probability; other crops lie anywhere."""
    classes: tuple[Annotated[int, Field(ge=0, le=254)] | str, ...] = ()
    """Names of those to show, or their numbers; empty: all. Images without them are cropped anywhere."""


class RotationOptions(SometimesOptions):
    """A turn about the middle of the crop."""

    degrees: Annotated[float, Field(ge=0.0, le=180.0)] = 15.0
    """Largest angle to either side, drawn uniformly."""


class ElasticOptions(SometimesOptions):
    """Displacements `alpha * gaussian(noise, sigma)` of uniform noise from -1 to 1 (Simard et al. 2003)."""

    alpha: NonNegativeFloat = 200.0
    """The standard deviation of a displacement is 0.16 * alpha / sigma pixels of the crop along each side."""
    sigma: Annotated[float, Field(ge=1.0)] = 10.0
    """In pixels of the crop; larger is smoother."""


class BlurOptions(SometimesOptions):
    """A Gaussian blur."""

    sigma: Annotated[float, Field(ge=0.0, le=64.0)] = 1.0
    """Largest standard deviation in pixels, drawn uniformly from 0."""


class LowResolutionOptions(SometimesOptions):
    """Fewer pixels, by the nearest, and back by bilinear interpolation (nnU-Net, Isensee et al. 2021)."""

    zoom: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Least share of the pixels along each side, drawn uniformly up to 1."""


class NoiseOptions(SometimesOptions):
    """Gaussian noise."""

    std: Fraction = 0.1
    """Largest standard deviation, 1 being the full range, drawn uniformly from 0."""


class CutoutOptions(SometimesOptions):
    """Squares that become the mean colour (arXiv:1708.04552), and keep their mask."""

    size: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    """Side, as a share of the shorter side of the image; the middle lies anywhere in it."""
    holes: Annotated[int, Field(ge=1, le=100)] = 1
    """Number of squares."""


class CutmixOptions(SometimesOptions):
    """A rectangle of another training sample and its mask, in the same place (arXiv:1905.04899)."""

    alpha: PositiveFloat = 1.0
    """Of the Beta distribution of the share that the rectangle leaves, before it is cut at the borders."""


class MosaicOptions(SometimesOptions):
    """Four training samples, one in each corner (arXiv:2004.10934). They meet in the middle half."""


class JointAugmentOptions(Options):
    """Of images and masks together, drawn for each sample; everything is off by default.

    First what moves pixels, of the image bilinearly and of the mask by the nearest: crop, scale, rotation and
    elastic deformation at once, then turns by 90 degrees and flips. What comes from outside of the image has
    the mean colour, and is ignored. Blur, low resolution and noise come next, then mosaic, cutmix,
    `transforms`, light and cutout.
    """

    horizontal_flip: Fraction = 0.0
    """Probability; 0.5 suits most photographs."""
    vertical_flip: Fraction = 0.0
    """Probability; for images without an up and down, such as those from above."""
    rotate_90: Fraction = 0.0
    """Probability of a turn by 90, 180 or 270 degrees."""
    crop: PositiveInt | None = None
    """Side in pixels of a random square crop; needed where training images differ in size."""
    oversample: OversampleOptions | None = None
    """Crops that show chosen classes more often; `{}` turns it on, as each section below."""
    scale_min: PositiveFloat = 1.0
    """Least random enlargement before the crop, drawn log-uniformly; below 1 shrinks, and pads where the
    image ends."""
    scale_max: PositiveFloat = 1.0
    """Largest random enlargement before the crop."""
    rotation: RotationOptions | None = None
    """Turns by any angle."""
    elastic: ElasticOptions | None = None
    """Smooth random displacements."""
    blur: BlurOptions | None = None
    """Gaussian blur."""
    low_resolution: LowResolutionOptions | None = None
    """Fewer pixels and back."""
    noise: NoiseOptions | None = None
    """Gaussian noise on each pixel and channel."""
    mosaic: MosaicOptions | None = None
    """Four samples in one."""
    cutmix: CutmixOptions | None = None
    """A rectangle of another sample."""
    brightness: Fraction = 0.0
    """Largest shift, 1 being the full range."""
    contrast: Fraction = 0.0
    """Largest relative change of the distance from the mean."""
    gamma: Annotated[float, Field(ge=0.0, le=3.0)] = 0.0
    """Largest absolute logarithm of the exponent."""
    cutout: CutoutOptions | None = None
    """Squares without content."""
    transforms: dict[Name, ImportedJointTransform] = Field(default_factory=dict)
    """Transforms of yours by names of your choice, applied in this order after all others but those
    of light and cutout."""

    @property
    def changes_each(self) -> bool:
        """Whether samples are changed one by one, before they are a batch."""
        of_one = self.rotation, self.elastic, self.blur, self.low_resolution, self.noise
        return bool(self.crop or self.rotate_90 or any(each is not None for each in of_one))

    @model_validator(mode="after")
    def _scale_range(self) -> Self:
        if self.scale_min > self.scale_max:
            raise ValueError(
                f"scale_min is {self.scale_min} and scale_max {self.scale_max}; scale_min may not be larger"
            )
        if self.crop is None and (self.scale_min != 1.0 or self.scale_max != 1.0):
            raise ValueError("scale_min and scale_max need a crop: set crop to a side in pixels")
        return self

    @model_validator(mode="after")
    def _oversampled_crop(self) -> Self:
        if self.oversample is not None and self.crop is None:
            raise ValueError("oversample places crops, and crop is none: set crop to a side in pixels")
        return self
