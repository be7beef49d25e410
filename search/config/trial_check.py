"""Holds everything that a search may draw against the task's options, before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from search.config.document import Document
from search.config.messages import explain
from search.errors import KeyPath, Problem
from search.space.space import Resolved, Space
from search.text import compact, dotted
from trainables.process.environment import conceal

if TYPE_CHECKING:
    from trainables.task import Task

Mistake = tuple[KeyPath, str]


def check_trial(
    document: Document, space: Space, task: type[Task], told: Collection[KeyPath] = ()
) -> list[Problem]:
    """What is wrong with the trials of this space, each problem once and at its line.

    Args:
        told: paths in the source that have been reported already; what is wrong at or below them follows
            from that.
    """
    problems: dict[Problem, None] = {}
    checked: set[str] = set()
    for resolved in space.candidates():
        mistakes = list(_options_mistakes(resolved, task.Options, document))
        for field in _optimizer_fields(task):
            optimizer = f"{field} {compact(resolved.raw.get(field))}"
            if optimizer not in checked:
                checked.add(optimizer)
                mistakes += _optimizer_mistakes(resolved, field, task, document)
        for path, message in mistakes:
            source = resolved.source(path)
            if not any(source[: len(known)] == known for known in told):
                problems[Problem(document.where(source), dotted(("trial", *path)), message)] = None
    return list(problems)


def _options_mistakes(resolved: Resolved, model: type[BaseModel], document: Document) -> Iterator[Mistake]:
    try:
        model.model_validate(resolved.tree)
    except ValidationError as error:
        yield from explain(error, model, resolved.raw, document.variables)
    except Exception as error:  # a validator of the user's task
        yield (), f"{model.__qualname__} raised {_text(error, document)}"


def _optimizer_fields(task: type[Task]) -> list[str]:
    """Names of the options that are an optimizer: `optimizer`, and those of networks beside the model."""
    from trainables.options import OptimizerOptions

    fields = task.Options.model_fields.items()
    return [
        name
        for name, field in fields
        if isinstance(field.annotation, type) and issubclass(field.annotation, OptimizerOptions)
    ]


def _optimizer_mistakes(
    resolved: Resolved, field: str, task: type[Task], document: Document
) -> Iterator[Mistake]:
    """Hold an optimizer against its class of torch.optim: names first, then a real one with these values."""
    from trainables.optim.optimizers import check_options, optimizer_class
    from trainables.task import Task

    given = resolved.tree.get(field, {})
    model: Any = task.Options.model_fields[field].annotation
    try:
        options = model.model_validate(given)
    except Exception:  # told by the check of the whole
        return
    try:
        optimizer_class(options.name)
    except ValueError as error:
        yield (field, "name"), conceal(str(error), document.variables)
        return
    mistakes = []
    for key in options.extra:
        try:
            check_options(options.name, [key])
        except ValueError as error:
            mistakes.append(((field, key), conceal(str(error), document.variables)))
    if field == "optimizer" and options.layer_decay < 1.0 and task.layers is Task.layers:
        message = f"received {options.layer_decay:g}, but {task.__name__} has no layers(); must be 1"
        mistakes.append((("optimizer", "layer_decay"), message))
    yield from mistakes or _value_mistakes(field, options, document)


def _value_mistakes(field: str, options: Any, document: Document) -> Iterator[Mistake]:
    import torch

    from trainables.optim.optimizers import build_optimizer

    try:
        build_optimizer(
            torch.nn.Linear(2, 2),
            name=options.name,
            lr=options.lr,
            weight_decay=options.weight_decay,
            extra=options.extra,
            device=torch.device("cpu"),
        )
    except Exception as error:  # torch.optim raises all kinds for values of the wrong type
        cause = error.__cause__ or error
        yield (field,), f"torch.optim refuses these values: {_text(cause, document)}"


def _text(error: BaseException, document: Document) -> str:
    lines = str(error).splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return conceal(text, document.variables)
