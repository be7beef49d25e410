"""Options of what is imported by its path, and how built-ins are told apart from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from trainables.base_options import Options
from trainables.imported import check_path, is_path

PATH = WithJsonSchema({"type": "string", "pattern": ":"})
"""What a schema says of a path."""
_WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


class ImportedOptions(Options):
    """A class or function by its path; keys besides the fields are its arguments."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, AfterValidator(check_path), PATH]
    """`package.module:Name`, of an installed package or of a file in the current folder."""

    key: ClassVar[str] = "name"
    """Under which the path stands."""
    passed: ClassVar[tuple[str, ...]] = ()
    """What a function is called with before its arguments, by position."""
    passed_to_class: ClassVar[tuple[str, ...]] = ()
    """What the constructor of a class is called with before them."""
    given: ClassVar[tuple[str, ...]] = ()
    """Arguments that are added where they are taken."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments: all keys that are no fields here."""
        return dict(self.model_extra or {})


class WeightsOptions(Options):
    """Pretrained weights."""

    file: str
    """A .safetensors file, or a state dict that torch.save wrote; no code in it is executed."""
    strict: bool = False
    """Whether it is an error that a weight of the file or of the model has no counterpart of its shape."""


def _weights(given: Any) -> Any:
    return {"file": given} if isinstance(given, str) else given


Weights = Annotated[WeightsOptions, BeforeValidator(_weights, json_schema_input_type=str | WeightsOptions)]
"""A file, or a mapping with `file`."""


class NetworkOptions(Options):
    """A built-in model."""

    weights: Weights | None = None
    """Pretrained: of the file those are loaded whose names and shapes fit; the others are told."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the network."""
        return self.model_dump(exclude={"name", "weights"})


class ImportedModel(ImportedOptions):
    """A torch.nn.Module, or a function that returns one."""

    weights: Any = None
    """As for built-in models where it names a file; anything else is an argument, as in torchvision."""

    @field_validator("weights")
    @classmethod
    def _file(cls, weights: Any) -> Any:
        is_file = isinstance(weights, str) and weights.endswith(_WEIGHT_FILES)
        if is_file or (isinstance(weights, Mapping) and "file" in weights):
            return WeightsOptions.model_validate(_weights(weights))
        return weights

    @property
    def arguments(self) -> dict[str, Any]:
        own = self.weights is None or isinstance(self.weights, WeightsOptions)
        return super().arguments | ({} if own else {"weights": self.weights})


TargetForm = Literal["labels", "channel", "one_hot"]


class ImportedCall(ImportedOptions):
    """A loss or metric: a function of outputs and targets, or a class whose instances are such functions.

    Outputs are float32 [N, K, ...] before any softmax. A callable with an argument `ignore_index` is given
    the label of targets that do not count.
    """

    targets: TargetForm = "labels"
    """labels: int64 [N, ...]; channel: [N, 1, ...]; one_hot: 0 or 1, of the shape of the outputs."""

    passed: ClassVar[tuple[str, ...]] = ("outputs", "targets")
    given: ClassVar[tuple[str, ...]] = ("ignore_index",)


class ImportedTransform(ImportedOptions):
    """Augmentation of images: a function from image (uint8 [H, W, C]) and rng (numpy.random.Generator) to an
    image, or a class whose instances are such functions; or a transform of albumentations, kornia, or
    torchvision's v2."""

    passed: ClassVar[tuple[str, ...]] = ("image", "rng")


class ImportedJointTransform(ImportedOptions):
    """The same of images and masks: from image, mask (uint8 [H, W]) and rng to an image and a mask."""

    passed: ClassVar[tuple[str, ...]] = ("image", "mask", "rng")


class ImportedSchedule(ImportedOptions):
    """A class of torch.optim.lr_scheduler, or a function from step and number of steps to the factor."""

    passed: ClassVar[tuple[str, ...]] = ("step", "total_steps")
    passed_to_class: ClassVar[tuple[str, ...]] = ("optimizer",)


class ImportedDataset(ImportedOptions):
    """Map-style data sets of yours: `source` is called with split="train" and with split="valid".

    A sample is (inputs, target), inputs float32 as the model takes them. Augmentation is the data set's own:
    while a training sample is made, the global random numbers are a function of the trial's seed and the
    sample's number, and in validation always the same.
    """

    model_config = ConfigDict(extra="allow", validate_by_name=False, validate_by_alias=True)

    name: Annotated[str, AfterValidator(check_path), PATH] = Field(alias="source")
    """`package.module:Name`, of an installed package or of a file in the current folder."""
    workers: NonNegativeInt = 0
    """Processes of each trial that read its training samples, one core each; 0: the trial's own process."""

    key: ClassVar[str] = "source"
    given: ClassVar[tuple[str, ...]] = ("split",)


class ImportedData(ImportedDataset):
    """The same whose targets are classes or masks of classes: whole numbers."""

    num_classes: Annotated[int, Field(ge=2)] | None = None
    """This or `class_names` is needed."""
    class_names: tuple[str, ...] = ()
    """In the order of the numbers."""

    @model_validator(mode="after")
    def _known_classes(self) -> Self:
        if not self.class_names and self.num_classes is None:
            raise ValueError("needs class_names, or num_classes: a data set does not say them")
        if self.class_names and self.num_classes not in (None, len(self.class_names)):
            raise ValueError(
                f"num_classes is {self.num_classes}, and there are {len(self.class_names)} class_names; "
                "leave it out"
            )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, their numbers where there are no others."""
        return self.class_names or tuple(map(str, range(self.num_classes or 0)))


class ImportedNumberData(ImportedDataset):
    """The same whose target is a number in its own units."""

    target_mean: float | None = None
    """Of the training targets, which are standardized with it (default: that of up to 1,000 of them)."""
    target_std: PositiveFloat | None = None
    """Their standard deviation, given together with the mean."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.target_mean is None) != (self.target_std is None):
            given, other = ("mean", "std") if self.target_std is None else ("std", "mean")
            raise ValueError(f"target_{given} is given alone; give target_{other} too, or leave both out")
        return self


def by_name(options: Any) -> str | None:
    """The tag of a union's member: its own name, or `imported` for a path."""
    return _tag(_name(options))


def by_source(options: Any) -> str | None:
    """The same by the key `source`."""
    return _tag(_name(options, "source"))


def _tag(name: Any) -> Any:
    return "imported" if is_path(name) else name


def _name(options: Any, key: str = "name") -> Any:
    return options.get(key) if isinstance(options, Mapping) else getattr(options, key, None)


BY_NAME = Discriminator(by_name)
"""Tells built-ins and `Annotated[..., IMPORTED]` apart."""


BY_SOURCE = Discriminator(by_source)
"""The same by the key `source`."""


BUILT_IN_OR_IMPORTED = Discriminator(lambda options: "imported" if is_path(_name(options)) else "built_in")
"""The same where the built-in is one class, of the tag `built_in`, whose name may be left out."""


IMPORTED = Tag("imported")


Path = tuple[str, ...]
"""Keys from the `trial:` section down."""


def named_by_path(options: BaseModel, at: Path = ()) -> Iterator[tuple[Path, BaseModel]]:
    """All options in these whose `name` is a path, `package.module:Name`, with their keys."""
    if is_path(_name(options)):
        yield at, options
        return
    for key, value in options:
        items = value.items() if isinstance(value, dict) else [(None, value)]
        for name, item in items:
            if isinstance(item, BaseModel):
                yield from named_by_path(item, (*at, key) if name is None else (*at, key, name))


def path_of(options: BaseModel) -> str:
    """`package.module:Name`, of options that `named_by_path` found."""
    return str(_name(options))
