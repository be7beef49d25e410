"""Holds everything that a search may draw against the task's options, before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from search.config.messages import explain
from search.errors import KeyPath, Problem
from search.space.space import Resolved, Space
from search.text import compact
from trainables.options import OptimizerOptions, TrialOptions, expand_paths

if TYPE_CHECKING:
    from trainables.task import Task

Found = tuple[KeyPath, str]
"""Path in a trial's options, and message."""


def check_trial(space: Space, task: type[Task], reported: Collection[KeyPath] = ()) -> list[Problem]:
    """What is wrong with the trials of this space, each problem once.

    Args:
        space: of the trials.
        task: which is to take them.
        reported: paths in the source whose problems are known; what is wrong below follows from that.
    """
    problems: dict[Problem, None] = {}
    optimizers: set[str] = set()
    for resolved in space.candidates():
        options, found = _validate(resolved, task.Options)
        for field in _optimizer_fields(task):
            optimizer = f"{field} {compact(resolved.options.get(field))}"
            if optimizer not in optimizers:
                optimizers.add(optimizer)
                found += _optimizer_problems(resolved, options, field, task)
        for path, message in found:
            source = resolved.source(path)
            if not any(source[: len(known)] == known for known in reported):
                problems[Problem.of(source, message, ("trial", *path))] = None
    return list(problems)


def _validate(resolved: Resolved, model: type[TrialOptions]) -> tuple[TrialOptions | None, list[Found]]:
    try:
        return model.model_validate(expand_paths(resolved.options)), []
    except ValidationError as error:
        return None, explain(error, model, resolved.options)
    except KeyError:  # a variable that is not set, which the check of texts reports
        return None, []
    except Exception as error:  # a validator of the user's task
        return None, [((), f"{model.__qualname__} raised {_text(error)}")]


def _optimizer_fields(task: type[Task]) -> list[str]:
    """Names of the options that are an optimizer: `optimizer`, and those of networks beside the model."""
    return [
        name
        for name, field in task.Options.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, OptimizerOptions)
    ]


def _optimizer_problems(
    resolved: Resolved, valid: TrialOptions | None, field: str, task: type[Task]
) -> Iterator[Found]:
    """Hold an optimizer against its class of torch.optim: names first, then a real one with these values."""
    from trainables.optim.optimizers import check_options, optimizer_class
    from trainables.task import Task

    options = getattr(valid, field, None) or _optimizer_options(resolved, field, task.Options)
    if options is None:
        return
    try:
        optimizer_class(options.name)
    except ValueError as error:
        yield (field, "name"), str(error)
        return
    found: list[Found] = []
    for key in options.extra:
        try:
            check_options(options.name, [key])
        except ValueError as error:
            found.append(((field, key), str(error)))
    if field == "optimizer" and options.layer_decay < 1.0 and task.layers is Task.layers:
        message = f"received {options.layer_decay:g}, but {task.__name__} has no layers(); must be 1"
        found.append((("optimizer", "layer_decay"), message))
    yield from found or _value_problems(field, options)


def _optimizer_options(resolved: Resolved, field: str, model: type[BaseModel]) -> OptimizerOptions | None:
    """The optimizer of a trial that is wrong elsewhere; None where the optimizer itself is wrong."""
    optimizer: Any = model.model_fields[field].annotation
    try:
        return optimizer.model_validate(resolved.options.get(field, {}))
    except Exception:
        return None


def _value_problems(field: str, options: OptimizerOptions) -> Iterator[Found]:
    import torch

    from trainables.optim.optimizers import build_optimizer

    try:
        # The layers are the task's; a small model stands in for its own.
        values = options.model_copy(update={"layer_decay": 1.0})
        build_optimizer(torch.nn.Linear(2, 2), values, torch.device("cpu"))
    except Exception as error:  # torch.optim raises all kinds for values of the wrong type
        yield (field,), f"torch.optim refuses these values: {_text(error.__cause__ or error)}"


def _text(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
