"""The `data:` of images in files, with masks or with classes, whatever holds them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from trainables.base_options import VALIDATES, VALIDATES_WITH_FOLDS
from trainables.folds.options import ColumnFolds, FoldOptions, NameFolds
from trainables.images.decode import Reading
from trainables.images.depth import ValueRange
from trainables.images.masks.colours import ColourTable
from trainables.shards.options import ShardPlaces, Texts
from trainables.tables.options import SplitOptions, ValidFraction

MOST_OVERLAPPING = 30
"""Classes of labels: multilabel."""

Value = Annotated[int, Field(ge=0, le=255)]
Label = Annotated[int, Field(ge=0, le=255)]
Root = Annotated[str, Field(min_length=1)]


class ImageOptions(FoldOptions):
    """Images, PNG, JPEG, TIFF or WebP, each with a mask or a class.

    What fits into `max_memory` is decoded once and kept; else a sample is decoded, see `scan`, and training
    decodes every batch.
    """

    channels: Annotated[int, Field(ge=1, le=1024)] | None = None
    """PNG, JPEG and WebP are converted to grey (1) or RGB (3); TIFF and .npy have any number. None: that of
    the images, RGB for those that are converted."""
    channels_first: bool | None = None
    """Whether arrays in .npy and .npz are [C, H, W], or [H, W, C]. None: the shorter of the first and the
    last side is the channels."""
    shown_channels: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt] = (0, 1, 2)
    """Numbers, from 0, of the channels that pictures show as red, green and blue; the first three. Of more
    than three, each is stretched to its own range. Nothing but pictures depends on it."""
    range: Literal["auto", "8bit", "16bit"] | tuple[float, float] | tuple[tuple[float, float], ...] = "auto"
    """Values in the files that become 0 and 255, such as [0, 4095] for a camera of 12 bits: `8bit` is
    [0, 255], `16bit` [0, 65535]; or a pair for each channel. auto: of images of more than 8 bits the least
    and the largest value among some training images, reported in a line, of arrays and TIFFs of several
    channels for each channel; images of 8 bits stay as they are."""
    orientation: Literal["exif", "stored"] = "exif"
    """Whether images are turned as their EXIF says, or stay as they are stored; masks are never turned."""
    max_memory: NonNegativeInt = 4 * 2**30
    """Bytes. Decoded images that need more stay on disk and are decoded for each batch."""
    scan: Literal["auto", "all", "sample"] = "auto"
    """What is decoded before a search begins, to find wrong files, classes and statistics: `all`; a `sample`,
    for which the classes must be known; `auto` is a sample where all would not fit into `max_memory`, are
    more than twice `sample_size`, and the classes are known. A wrong file outside of the sample
    is found when it is needed; `bad_samples` says what follows."""
    sample_size: PositiveInt = 512
    """Samples of each part that are decoded where not all are, drawn with a fixed seed."""
    workers: NonNegativeInt = 0
    """Processes of each trial that decode and augment its training batches where they stay on disk, one core
    each, which `resources.cpus_per_trial` does not count; 0: the trial's own process, in threads, as for
    validation. Batches come through shared memory (/dev/shm). The number changes no result, bit for bit."""
    bad_samples: Literal["raise", "skip"] = "raise"
    """What a sample is that cannot be decoded, or whose mask or class is missing or wrong: an error that
    names the file, or left out of losses and metrics."""
    max_skipped: NonNegativeInt = 10
    """With `bad_samples: skip`, more such samples than these are an error all the same."""
    normalization: Literal["data", "imagenet"] = "data"
    """Mean and deviation of the training images, or those of ImageNet (for pretrained weights)."""

    @property
    def skip_limit(self) -> int:
        """Samples that may be skipped."""
        return self.max_skipped if self.bad_samples == "skip" else 0

    @field_validator("range")
    @classmethod
    def _ascending(cls, value: Any) -> Any:
        pairs = () if isinstance(value, str) else value if isinstance(value[0], tuple) else (value,)
        for low, high in pairs:
            if not low < high:
                raise ValueError(f"is {low:g} to {high:g}; the second must be larger than the first")
        return value

    @property
    def value_range(self) -> ValueRange | None:
        """The one that is set; None for auto."""
        named = {"8bit": (0.0, 255.0), "16bit": (0.0, 65535.0)}
        if isinstance(self.range, str):
            return ValueRange(*named[self.range]) if self.range in named else None
        if isinstance(self.range[0], tuple):
            low, high = zip(*self.range, strict=True)
            return ValueRange(low, high, of_all=True)
        return ValueRange(*self.range, of_all=True)

    def reading(self, found: ValueRange | None = None, channels: int = 3) -> Reading:
        """How images are read, with the range and the number of channels found where none are set."""
        return Reading(
            channels=self.channels or channels,
            value_range=self.value_range or found,
            is_found=self.value_range is None,
            upright=self.orientation == "exif",
            channels_first=self.channels_first,
            channels_found=self.channels is None,
        )

    @model_validator(mode="after")
    def _imagenet_is_rgb(self) -> Self:
        if self.normalization == "imagenet" and self.channels not in (None, 3):
            raise ValueError(
                f"normalization is imagenet and channels {self.channels}; imagenet needs channels: 3"
            )
        return self


class SavedOptions(ColumnFolds):
    """A DatasetDict of Hugging Face's `datasets`, saved with `save_to_disk`; nothing is downloaded.

    With `folds` the name of a row is its split and its number; `train_split` and the split of validation, if
    there is one, are joined. One that is called test is only taken if `valid_split` names it.
    """

    source: Literal["datasets"]
    """Needs `pip install 'tune-search[datasets]'`."""
    root: Root
    """The folder that save_to_disk wrote."""
    image_column: str = "image"
    """Of the feature Image."""
    train_split: Annotated[str, VALIDATES_WITH_FOLDS] = "train"
    """The name of the split for training."""
    valid_split: Annotated[str | None, VALIDATES] = None
    """none: the first of validation, valid, val and, without `folds`, test."""


class MaskOptions(ImageOptions):
    """Masks are PNG, or TIFF or WebP without loss, of class numbers or with a palette. The headers of all of
    them are read in any case."""

    labels: Literal["multiclass", "binary", "multilabel"] = "multiclass"
    """What masks hold. `multiclass`: each pixel has one of the classes. `binary`: it is of one class, label
    1, or of the background, 0; the model has one output. `multilabel`: it has any of the `class_names`, 30 at
    most; saved as a file for each class (masks/<class>/7.png or masks/7_<class>.png, of 0 and one other
    number), an array [H, W, classes] of 0 and 1, and `ignore_index` in all classes of a pixel, or a number
    whose bit k is class k. Outputs of binary and multilabel are for the sigmoid, and are yes above 0.5."""
    num_classes: Annotated[int, Field(ge=2, le=255)] | None = None
    """None: one more than the largest label in the masks."""
    class_names: tuple[str, ...] = ()
    """One per class; else the lines of classes.txt in a folder, else its layout's, else the class numbers."""
    ignore_index: Label = 255
    """Label of pixels that count neither in the loss nor in the metrics."""
    colors: tuple[tuple[Value, Value, Value], ...] = ()
    """Of masks with colours: red, green and blue of each label in turn, as [[0, 0, 0], [128, 64, 128]]. Masks
    with a palette are then read by colour too, and not by index."""
    palettes: Literal["compare", "ignore"] = "compare"
    """Whether it is an error that a label has another colour in the palette of another mask."""
    mask_values: dict[Label, Label] = Field(default_factory=dict)
    """Labels to replace, as {255: 1} for binary masks saved as 0 and 255. Others stay."""

    @field_validator("colors")
    @classmethod
    def _distinct(cls, colors: Any) -> Any:
        if colors and (len(set(colors)) < len(colors) or not 2 <= len(colors) <= 255):
            raise ValueError(f"holds {len(set(colors))} different colours in {len(colors)}; must be 2 to 255")
        return colors

    @property
    def known_classes(self) -> int | None:
        """Number of classes, if it is set; a last colour may be that of what is ignored."""
        if self.labels == "binary":
            return 2
        if self.num_classes is not None or not self.colors or self.mask_values:
            return self.num_classes
        return len(self.colors) - (self.ignore_index == len(self.colors) - 1)

    @property
    def colour_table(self) -> ColourTable | None:
        """The colours, if masks have some."""
        return ColourTable(self.colors) if self.colors else None

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if self.labels == "binary" and self.num_classes not in (None, 2):
            raise ValueError(f"num_classes is {self.num_classes} and labels binary: leave num_classes out")
        if self.labels != "multilabel":
            return self
        for name in ("colors", "mask_values"):
            if getattr(self, name):
                raise ValueError(f"{name} has no meaning where labels is multilabel: leave it out")
        number = max(len(self.class_names), self.num_classes or 0)
        if number > MOST_OVERLAPPING:
            raise ValueError(f"labels is multilabel with {number} classes; there may be {MOST_OVERLAPPING}")
        if not number and not isinstance(self, MaskFolderOptions):
            raise ValueError("labels is multilabel: set class_names, in the order of the planes or bits")
        return self

    @model_validator(mode="after")
    def _sample_of_known_classes(self) -> Self:
        known = self.known_classes is not None or self.class_names
        # In a folder, classes.txt or the layout may name them.
        if self.scan == "sample" and not known and not isinstance(self, MaskFolderOptions):
            raise ValueError("scan is sample, so the classes must be known: set num_classes or class_names")
        return self


class MaskFolderOptions(NameFolds, MaskOptions):
    """Files below one folder, paired by name.

    Layouts: `folders` is images/ and masks/ (with train.txt and val.txt, or split by `valid_fraction`), or
    train/images and train/masks beside val/images and val/masks, or images/train beside masks/train, or
    train/ beside trainannot/ (CamVid); `voc` Pascal VOC; `cityscapes`; `ade20k`; `nnunet` in two dimensions,
    where `channels` may also be the number of one-channel files.
    """

    numbers_other_folds: ClassVar[bool] = True

    source: Literal["folder"]
    """Images and masks as files."""
    root: Root
    """Relative to where the search was started."""
    follow_links: bool = False
    """Whether links may lead out of `root`, as those of DVC and git-annex do. Else a folder from elsewhere
    cannot make a search read other files of yours."""
    layout: Annotated[Literal["auto", "folders", "voc", "cityscapes", "ade20k", "nnunet"], VALIDATES] = "auto"
    """auto: the folder's own, reported in a line. A layout knows its void label and class names."""
    images_folder: str | None = None
    """In layout `folders`. None: images, image, imgs, img or JPEGImages, in any case."""
    masks_folder: str | None = None
    """None: masks, mask, labels, label, annotations or SegmentationClass, in any case."""
    image_prefix: str | None = None
    """In layout `folders`: what the names of images have before that of the sample, as "img_" for img_7.jpg
    and mask_7.png. None, for this and the next three: nothing, or what pairs all images and masks, if
    something does; it is reported in a line."""
    image_suffix: str | None = None
    """What the names of images have after that of the sample, as "_img" for car_img.jpg."""
    mask_prefix: str | None = None
    """What the names of masks have before that of the sample."""
    mask_suffix: str | None = None
    """As "_mask" for car.jpg and car_mask.png."""
    train_list: Annotated[str | None, VALIDATES_WITH_FOLDS] = None
    """A file below `root` with an image, or an image and its mask, in each line: names with or without
    suffix, or paths. None looks for train.txt, in layout voc below ImageSets/Segmentation."""
    valid_list: Annotated[str | None, VALIDATES] = None
    """As `train_list`; none looks for val.txt and valid.txt."""
    valid_fraction: ValidFraction = 0.2
    """Share of images kept for validation where the folder has no split and there are no `folds`."""
    fold: Annotated[NonNegativeInt, VALIDATES] = 0
    """Which of the `folds` is for validation, from 0. In layout nnunet with splits_final.json also without
    `folds`: which of its splits; `folds` is their number there."""


class MaskDatasetsOptions(SavedOptions, MaskOptions):
    """Images and masks of a saved data set."""

    mask_column: str = "mask"
    """Of the feature Image too."""


class MaskShardsOptions(ShardPlaces, MaskOptions):
    """Tar files of images and masks; `max_memory` means nothing here.

    Without `augment.crop`, images of several sizes are padded to the largest of a batch.
    """

    source: Literal["shards"]
    """Tar files, as WebDataset's."""
    mask: Texts = ("mask.png", "seg.png", "png", "mask.tif", "mask.tiff", "mask.npy", "mask.npz")
    """As `image`."""

    @model_validator(mode="after")
    def _known_classes(self) -> Self:
        if self.known_classes is None and not self.class_names:
            raise ValueError(
                "shards are not scanned for classes, as that would take too long: set num_classes"
            )
        return self


class ClassOptions(ImageOptions):
    """Every image has one class."""

    resize: Annotated[int, Field(ge=1, le=4096)] | None = None
    """In pixels: the shorter side is scaled to it, and the middle square kept. None: all have one size."""


class ClassFolderOptions(NameFolds, SplitOptions, ClassOptions):
    """Images below one folder, a folder for each class.

    Layouts: root/<class>/*.png, split by train.txt and val.txt in the root, paths such as <class>/7.png with
    or without a class beside them, else by the hash of each name; or root/train/<class> and root/val/<class>.
    """

    source: Literal["images"]
    """Images as files."""
    root: Root
    """Relative to where the search was started."""
    follow_links: bool = False
    """Whether links may lead out of `root`, as those of DVC and git-annex do."""


class ClassDatasetsOptions(SavedOptions, ClassOptions):
    """Images and classes of a saved data set."""

    label_column: str = "label"
    """Of the feature ClassLabel, whose names are those of the classes, or of whole numbers from 0."""
    class_names: tuple[str, ...] = ()
    """In the order of the numbers; needed where the feature has no names."""


class ClassShardsOptions(ShardPlaces, ClassOptions):
    """Tar files of images with the number of each one's class, from 0, as text; `max_memory` means nothing
    here."""

    source: Literal["shards"]
    """Tar files, as WebDataset's."""
    label: Texts = ("cls",)
    """What follows the first dot in the name of a class number."""
    class_names: Annotated[tuple[str, ...], Field(min_length=2)]
    """In the order of the numbers."""


FolderData = MaskFolderOptions | ClassFolderOptions
SavedData = MaskDatasetsOptions | ClassDatasetsOptions
ShardData = MaskShardsOptions | ClassShardsOptions
