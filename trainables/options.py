"""The `trial:` section of a configuration, resolved: what every task understands.

A task adds its own fields by subclassing `TrialOptions` (see `trainables.task.Task.Options`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    Tag,
    model_validator,
)

from trainables.imported import check_path, is_path

REFERENCE = re.compile(r"\$\{env:([^}]*)\}")
"""`${env:NAME}`; group 1 is the variable's name."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
"""Of a loss, metric or transform of the user's, by which it is reported."""
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Mode = Literal["max", "min"]
"""Whether the objective is to become large or small."""


class Options(BaseModel):
    """Frozen, typed, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class ImportedOptions(Options):
    """A class or function by its path; keys besides the fields are its arguments."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, AfterValidator(check_path)]
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


class ImportedModel(ImportedOptions):
    """A torch.nn.Module, or a function that returns one."""


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


class ImportedData(ImportedOptions):
    """Map-style data sets of yours: `source` is called with split="train" and with split="valid".

    A sample is (inputs, target): inputs float32 as the model takes them, and a class or a mask of classes,
    whole numbers. Augmentation is the data set's own: while a training sample is made, the global random
    numbers are a function of the trial's seed and the sample's number, and in validation always the same.
    """

    model_config = ConfigDict(extra="allow", validate_by_name=False, validate_by_alias=True)

    name: Annotated[str, AfterValidator(check_path)] = Field(alias="source")
    """`package.module:Name`, of an installed package or of a file in the current folder."""
    num_classes: Annotated[int, Field(ge=2)] | None = None
    """This or `class_names` is needed."""
    class_names: tuple[str, ...] = ()
    """In the order of the numbers."""
    workers: NonNegativeInt = 0
    """Processes of each trial that read its training samples, one core each; 0: the trial's own process."""

    key: ClassVar[str] = "source"
    given: ClassVar[tuple[str, ...]] = ("split",)

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


def by_name(options: Any) -> str | None:
    """The tag of a union's member: its own name, or `imported` for a path."""
    return _tag(_name(options))


def _tag(name: Any) -> Any:
    return "imported" if is_path(name) else name


def _name(options: Any, key: str = "name") -> Any:
    return options.get(key) if isinstance(options, Mapping) else getattr(options, key, None)


BY_NAME = Discriminator(by_name)
"""Tells built-ins and `Annotated[..., IMPORTED]` apart."""
BY_SOURCE = Discriminator(lambda options: _tag(_name(options, "source")))
"""The same by the key `source`."""
BUILT_IN_OR_IMPORTED = Discriminator(lambda options: "imported" if is_path(_name(options)) else "built_in")
"""The same where the built-in is one class, of the tag `built_in`, whose name may be left out."""
IMPORTED = Tag("imported")


class OptimizerOptions(Options):
    """`name` is any class of torch.optim, in any case, or the path of one; keys besides these go to it."""

    model_config = ConfigDict(extra="allow")

    name: str = "adamw"
    lr: PositiveFloat = 1e-3
    """Peak learning rate; `lr_schedule` scales it."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """Applied to matrices and kernels only; biases and normalization parameters are left out."""
    layer_decay: Fraction = 1.0
    """Factor of the learning rate from one layer to the one before it, the head having `lr` (ELECTRA,
    arXiv:2003.10555; BEiT, arXiv:2106.08254). 1 trains all layers alike, 0 the head alone; below 1 the task
    must name its model's layers."""

    @property
    def extra(self) -> dict[str, Any]:
        """Keyword arguments for the optimizer's class: all keys that are no fields here."""
        return dict(self.model_extra or {})


class ScheduleOptions(Options):
    """Learning rate over the optimizer steps of the whole trial, as a factor of the peak."""

    name: Literal["constant", "linear", "cosine", "polynomial", "one_cycle"] = "constant"
    warmup: Annotated[float, Field(ge=0.0)] = 0.0
    """Linear warm-up: below 1 a fraction of the trial's full length, else a number of steps."""
    final_factor: Fraction = 0.0
    """Factor of the peak at the last step."""
    power: PositiveFloat = 0.9
    """Exponent of the polynomial schedule (0.9 in DeepLab, arXiv:1606.00915)."""


ScheduleChoice = Annotated[
    Annotated[ScheduleOptions, Tag("built_in")] | Annotated[ImportedSchedule, IMPORTED],
    BUILT_IN_OR_IMPORTED,
]


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


class TrialSection(Options):
    """A resolved `trial:` section, whatever its task understands."""

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Self:
        """The options of a resolved `trial:` section, with the paths of this machine, see `expand_paths`.

        Raises:
            ValidationError: they are not what the task takes.
            KeyError: an environment variable is not set; its text names it.
        """
        return cls.model_validate(expand_paths(options))


class TrialOptions(TrialSection):
    """The settings of one trial. In a search's YAML, each value may be a domain."""

    data: dict[str, Any] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    optimizer: OptimizerOptions = OptimizerOptions()
    lr_schedule: ScheduleChoice = ScheduleOptions()
    batch_size: PositiveInt | Literal["full"] = 16
    """Samples in one micro-batch, that is in one forward and backward; full is the whole training data. In a
    search's YAML also auto, the largest number that fits into memory, alone or as the end of a range."""
    accumulate: PositiveInt = 1
    """Micro-batches whose gradients make one optimizer step."""
    clip_norm: PositiveFloat | None = None
    """Largest gradient norm; none leaves gradients as they are."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto is bf16 on a GPU that has it, fp16 on an older one, fp32 on a CPU."""
    deterministic: bool = False
    """On a GPU only algorithms that give the same bits each time, also after a restart; some are slower. On a
    CPU they always do."""
    channels_last: bool = True
    compile: bool = False
    """torch.compile: tens of seconds at the start, faster steps afterwards."""
    ema: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Decay of an exponential moving average of the weights, which is then validated and exported."""
    valid_batch_size: PositiveInt = 32
    seed: Annotated[int, Field(ge=0)] = 0
    """Of initial weights, order of the data and augmentation; the same for every trial unless searched."""


def expand_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with each `${env:NAME}` in the texts of `data` replaced from the environment.

    Every file and message keeps the reference, so that a run can be moved to another machine.

    Raises:
        KeyError: a variable is not set; its text names it.
    """

    def expanded(value: Any) -> Any:
        if isinstance(value, str):
            return REFERENCE.sub(lambda found: _variable(found[1]), value)
        if isinstance(value, Mapping):
            return {key: expanded(item) for key, item in value.items()}
        return [expanded(item) for item in value] if isinstance(value, list | tuple) else value

    return {key: expanded(value) if key == "data" else value for key, value in options.items()}


def _variable(name: str) -> str:
    if name not in os.environ:
        raise KeyError(
            f"the environment variable {name} is not set; ${{env:{name}}} in the data options needs it"
        )
    return os.environ[name]
