"""A training function as a task: its parameters are the options of a trial."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import ConfigDict, NonNegativeInt, create_model, model_validator

from trainables.data.virtual_epoch import Unit
from trainables.function.trainer import FunctionTrainer
from trainables.function.trial import Trial
from trainables.options import TrialSection
from trainables.task import Task

_TAKEN = {name for name in dir(Trial) if not name.startswith("_")} | {
    *("number", "device", "folder", "done", "num_virtual_epochs"),
    *("values", "state", "tracked", "images", "texts", "loads", "notes"),
}
"""Names of a trial's own, which a value would be hidden by."""


class FunctionOptions(TrialSection):
    """What every training function understands."""

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    seed: NonNegativeInt = 0
    """Of the random states before the function is called; the same for every trial unless searched."""


class _Open(FunctionOptions):
    """Of a function that takes any values."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _not_hidden(cls, values: Any) -> Any:
        for name in values if isinstance(values, Mapping) else ():
            if name in _TAKEN:
                raise ValueError(
                    f"{name!r} is a name of the trial's own, so trial.{name} would not be the value; rename "
                    f"it, or make it a parameter of the function: def train(trial, {name}): …"
                )
        return values


class FunctionTask(Task):
    """Base of the tasks that `function_task` makes."""

    Options: ClassVar[type[FunctionOptions]] = FunctionOptions  # type: ignore[assignment]
    function: ClassVar[Callable[..., None]]

    @classmethod
    def trainer(
        cls,
        options: FunctionOptions,
        *,
        number: int,
        device: torch.device,
        folder: Path,
        unit: Unit,
        count: int,
        num_virtual_epochs: int,
    ) -> FunctionTrainer:
        """Runs the function with these options."""
        values = dict(options)
        return FunctionTrainer(
            cls.function,
            arguments_of(cls.function, values),
            values,
            number=number,
            seed=options.seed,
            device=device,
            folder=folder,
            unit=unit,
            count=count,
            num_virtual_epochs=num_virtual_epochs,
        )


@functools.cache
def as_task(found: Any) -> type[Task]:
    """The class of a task as it is, or the task of a training function.

    Raises:
        ValueError: as `function_task`.
    """
    return found if isinstance(found, type) else function_task(found)


def function_task(function: Callable[..., None]) -> type[FunctionTask]:
    """The task of a function `def train(trial, lr: float = 0.1, …)`.

    Its parameters after the first are the options of a trial, with their types and defaults. One that has
    none, or `**options`, takes any values.

    Raises:
        ValueError: it has no parameter for the trial, or one that cannot be given by name.
    """
    name = getattr(function, "__qualname__", str(function))
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise ValueError(f"{name} takes no trial; a training function is `def {name}(trial, …)`")
    hints = typing.get_type_hints(function)
    first = parameters[0].name
    if "trial" not in first.lower() and hints.get(first) is not Trial:
        raise ValueError(
            f"the first parameter of {name} is {first!r}, and must be the trial: "
            f"`def {name}(trial, {first}, …)`"
        )
    fields: dict[str, Any] = {}
    is_open = len(parameters) == 1
    for parameter in parameters[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise ValueError(f"{name} has the positional parameter {parameter.name!r}; must be given by name")
        else:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints.get(parameter.name, Any), default)
    base = _Open if is_open else FunctionOptions
    options = create_model(
        f"{function.__name__}_options", __base__=base, __module__=function.__module__, **fields
    )
    members = {"Options": options, "function": staticmethod(function), "__module__": function.__module__}
    return type(function.__name__, (FunctionTask,), {**members, "__doc__": function.__doc__})


def arguments_of(function: Callable[..., None], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that it is called with: its parameters, or all where it takes `**options`."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    names = {parameter.name for parameter in parameters}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        names |= {name for name in values if name != "seed"}
    return {name: value for name, value in values.items() if name in names}
