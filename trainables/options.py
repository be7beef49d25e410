"""The `trial:` section of a configuration, resolved: what every task understands.

A task adds its own fields by subclassing `TrialOptions` (see `trainables.task.Task.Options`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    Tag,
)

from trainables.base_options import Fraction, Options
from trainables.imported_options import BUILT_IN_OR_IMPORTED, IMPORTED, ImportedSchedule

REFERENCE = re.compile(r"\$\{env:([^}]*)\}")
"""`${env:NAME}`; group 1 is the variable's name."""


Mode = Literal["max", "min"]
MEASURED = ("parameters", "flops", "latency", "memory")
"""What can be measured of a model before its first step: the first two are counted, a latency is in seconds
and memory in bytes."""
"""Whether the objective is to become large or small."""


Patterns = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(
        lambda given: (given,) if isinstance(given, str) else given,
        json_schema_input_type=str | tuple[str, ...],
    ),
    Field(min_length=1),
]
"""Of names of parameters, `*` standing for any text: one or a list."""


class GroupOptions(Options):
    """Parameters that are trained otherwise than the rest."""

    match: Patterns
    """As "encoder.*", or ["*.bias", "*.norm.weight"]."""
    lr_factor: PositiveFloat = 1.0
    """Of the learning rate that they would have."""
    weight_decay: Annotated[float, Field(ge=0.0)] | None = None
    """Instead of the one that they would have."""

    @property
    def patterns(self) -> tuple[str, ...]:
        return self.match


class FreezeOptions(Options):
    """Parameters that are not trained."""

    match: Patterns
    """As in `optimizer.groups`."""
    until: PositiveInt | None = None
    """The optimizer step from which they are trained after all."""

    @property
    def patterns(self) -> tuple[str, ...]:
        return self.match


class OptimizerOptions(Options):
    """`name` is any class of torch.optim, in any case, or the path of one; keys besides these go to it."""

    model_config = ConfigDict(extra="allow")

    name: str = "adamw"
    """Such as adamw, sgd, or package.module:Class."""
    lr: PositiveFloat = 1e-3
    """Peak learning rate; `lr_schedule` scales it."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """Applied to matrices and kernels only; biases and normalization parameters are left out."""
    layer_decay: Fraction = 1.0
    """Factor of the learning rate from one layer to the one before it, the head having `lr` (ELECTRA,
    arXiv:2003.10555; BEiT, arXiv:2106.08254). 1 trains all layers alike, 0 the head alone; below 1 the task
    must name its model's layers."""
    groups: tuple[GroupOptions, ...] = ()
    """Where several match a parameter, a later one decides, each of its settings by itself."""

    @property
    def extra(self) -> dict[str, Any]:
        """Keyword arguments for the optimizer's class: all keys that are no fields here."""
        return dict(self.model_extra or {})


class ScheduleOptions(Options):
    """Learning rate over the optimizer steps of the whole trial, as a factor of the peak."""

    name: Literal["constant", "linear", "cosine", "polynomial", "one_cycle"] = "constant"
    """What follows the warm-up; one_cycle without a `warmup` rises over the first 30 % of the steps."""
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


def _match(given: Any) -> Any:
    return {"match": given} if isinstance(given, str) else given


class TrialOptions(TrialSection):
    """The settings of one trial. In a search's YAML, each value may be a domain."""

    data: dict[str, Any] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    optimizer: OptimizerOptions = OptimizerOptions()
    lr_schedule: ScheduleChoice = ScheduleOptions()
    freeze: tuple[
        Annotated[FreezeOptions, BeforeValidator(_match, json_schema_input_type=str | FreezeOptions)], ...
    ] = ()
    """Patterns of parameters that are not trained, as ["encoder.*"], or mappings with `match` and `until`."""
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
    """Images and weights of convolutions in torch's memory format channels_last."""
    compile: bool = False
    """torch.compile: tens of seconds at the start, faster steps afterwards."""
    ema: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Decay of an exponential moving average of the weights, which is then validated and exported."""
    sync_batch_norm: bool = True
    """In a trial of several processes: batch normalization takes its statistics over the samples of all of
    them, as one process has it. Without, each takes those of its own samples, which is faster."""
    valid_batch_size: PositiveInt = 32
    """Samples that are validated at once; with `validation.window`, windows of one image."""
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
