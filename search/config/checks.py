"""Checks before anything runs: secrets and references in texts, and all trials of a space."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from search.config.auto_batch import AUTO
from search.config.keys import with_place
from search.config.messages import explain
from search.errors import KeyPath, Problem
from search.space.parse import CONFIDENCE, PRIOR
from search.space.space import Resolved, Space
from search.text import compact, cut, shown, value_at
from trainables.base_options import decides_validation
from trainables.imported import argument_problems, import_path
from trainables.imported_options import ImportedOptions, named_by_path
from trainables.options import REFERENCE, OptimizerOptions, TrialOptions, TrialSection

if TYPE_CHECKING:
    from trainables.task import Task

_SECRET = re.compile(
    r"(.*_)?(password|passwd|passphrase|secret|credentials?|api_?key|access_?key|private_?key|secret_?key)"
    r"|((auth|access|api|hf|bearer|refresh|session)_?)?token",
    re.IGNORECASE,
)


def check_texts(tree: Any) -> Iterator[Problem]:
    """Everything that is wrong with the texts of a configuration, without stages.

    A run's files keep all that its configuration holds, so a secret must not be in it at all.
    """
    for path, text in _texts(tree, ()):
        if any(_SECRET.fullmatch(str(key).replace("-", "_")) for key in path):
            message = "is a secret by its name, and a run's files keep it; remove it, and let the task "
            yield Problem.of(path, f"{message}read it from the environment (os.environ)")
        for name in REFERENCE.findall(text):
            if path[:2] != ("trial", "data") and path[0] not in ("log", "notify"):
                message = f"${{env:{cut(name)}}} is part of a path, and only texts under trial.data are paths"
                yield Problem.of(path, f"{message}; write the value, or give it with --set")
            elif name not in os.environ:
                message = f"the environment variable {cut(name) or '(empty name)'} is not set"
                what = "path" if path[0] == "trial" else "value"
                yield Problem.of(path, f"{message}; export it, or write the {what}")


def _texts(tree: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, dict | list):
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _texts(item, (*path, key))


_WORDS: dict[KeyPath, str] = {("batch_size",): AUTO}
"""By path, what a configuration may have where a trial has the number found for it."""
_OF_THE_SPLIT = ("folds", "fold", "split_seed", "valid_fraction")
"""Keys of `data` that decide what is validated, also where they are arguments of a data set of the user's."""
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
        found = _validate(resolved, task.Options)
        for field in _optimizer_fields(task):
            optimizer = f"{field} {compact(resolved.options.get(field))}"
            if optimizer not in optimizers:
                optimizers.add(optimizer)
                found += _optimizer_problems(resolved, field, task)
        for path, message in found:
            source = resolved.source(path)
            if not any(source[: len(known)] == known for known in reported):
                problems[Problem.of(source, message, ("trial", *path))] = None
    if not problems and not reported:
        problems |= dict.fromkeys(_searched_validation(space, task))
    known = {*reported, *(problem.at for problem in problems if problem.at)}
    return [*problems, *_problems_inside(space, task, known)]


def _searched_validation(space: Space, task: type[Task]) -> Iterator[Problem]:
    """Trials that differ in what they are validated on: the one with the easiest samples would win."""
    seen: dict[KeyPath, Any] = {}
    for resolved in space.candidates():
        for path, value in _of_validation(resolved.options, task).items():
            if seen.setdefault(path, value) != value:
                folds = "; `retrain --fold all` trains what was found on each of data.folds"
                yield Problem.of(
                    resolved.source(path),
                    "is searched, and values on different validation data do not compare: give "
                    f"{path[-1]} one value{folds if path[-1] in _OF_THE_SPLIT else ''}",
                    ("trial", *path),
                )


def _of_validation(options: Mapping[str, Any], task: type[Task]) -> dict[KeyPath, Any]:
    """What decides the validation data of a trial, by path."""
    data = options.get("data")
    named = {key: data[key] for key in _OF_THE_SPLIT if key in data} if isinstance(data, Mapping) else {}
    try:
        parsed = task.Options.parse(options)
    except KeyError:  # a variable that is not set, which check_texts reports
        parsed = None
    found: dict[KeyPath, Any] = {("data", key): value for key, value in named.items()}
    if parsed is not None:
        found.update(decides_validation(parsed))
    return found


def _problems_inside(space: Space, task: type[Task], known: Collection[KeyPath]) -> list[Problem]:
    """What is wrong with numbers between the bounds of ranges that are right: they may have to be whole."""
    problems: dict[KeyPath, Problem] = {}
    for resolved in space.inner():
        for path, message in _validate(resolved, task.Options):
            source = resolved.source(path)
            if not any(source[: len(each)] == each for each in (*known, *problems)):
                problems[source] = Problem.of(source, message, ("trial", *path))
    return list(problems.values())


def _validate(resolved: Resolved, model: type[TrialSection]) -> list[Found]:
    try:
        options = model.parse(resolved.options)
        return [*_truths(resolved.options, options), *_imported_problems(options)]
    except ValidationError as error:
        found = explain(error, model, resolved.options, _WORDS)
        found = [(path, message + _prior_hint(value_at(resolved.options, path))) for path, message in found]
        if not issubclass(model, TrialOptions):  # of a training function, which has no optimizer.lr
            return found
        return [(path, with_place(("trial", *path), message)) for path, message in found]
    except KeyError:  # a variable that is not set, which check_texts reports
        pass
    except Exception as error:  # a validator of the user's task
        return [((), f"{model.__qualname__} raised {_text(error)}")]
    return []


def _prior_hint(value: Any) -> str:
    """The way out where a prior was given to what is no domain."""
    if not isinstance(value, dict) or not {PRIOR} <= set(value) <= {PRIOR, CONFIDENCE}:
        return ""
    return (
        f"; a prior stands beside a domain, as in {{loguniform: [low, high], prior: {shown(value[PRIOR])}}}"
    )


def _truths(given: Any, parsed: Any, path: KeyPath = ()) -> Iterator[Found]:
    """Where true or false was taken for a number: `horizontal_flip: true` would flip every image."""
    if isinstance(given, bool):
        if isinstance(parsed, int | float) and not isinstance(parsed, bool):
            yield path, f"received {shown(given)}; must be a number"
    elif isinstance(given, Mapping):
        for key, item in given.items():
            part = parsed.get(key) if isinstance(parsed, Mapping) else getattr(parsed, str(key), None)
            yield from _truths(item, part, (*path, key))
    elif isinstance(given, list | tuple) and isinstance(parsed, list | tuple):
        for index, (item, part) in enumerate(zip(given, parsed, strict=False)):
            yield from _truths(item, part, (*path, index))


def _imported_problems(options: TrialSection) -> Iterator[Found]:
    """What is wrong with the paths in these options, and with the arguments beside them."""
    for path, named in named_by_path(options):
        if not isinstance(named, ImportedOptions):  # an optimizer, checked with the built-in ones
            continue
        try:
            is_class = isinstance(import_path(named.name), type)
            passed = named.passed_to_class if is_class else named.passed
            for key, message in argument_problems(named.name, named.arguments, passed, named.given):
                yield (*path, named.key if key is None else key), message
        except ValueError as error:
            yield (*path, named.key), str(error)


def _optimizer_fields(task: type[Task]) -> list[str]:
    """Names of the options that are an optimizer: `optimizer`, and those of networks beside the model."""
    return [
        name
        for name, field in task.Options.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, OptimizerOptions)
    ]


def _optimizer_problems(resolved: Resolved, field: str, task: type[Task]) -> Iterator[Found]:
    """Check an optimizer against its class of torch.optim: names first, then a real one with these values."""
    from trainables.optim.optimizers import check_options, optimizer_class
    from trainables.task import Task

    options = _optimizer_options(resolved, field, task.Options)
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
    """The optimizer of a trial that may be wrong elsewhere; None where the optimizer itself is wrong."""
    optimizer: Any = model.model_fields[field]
    try:
        if field not in resolved.options:
            return optimizer.get_default(call_default_factory=True)
        return optimizer.annotation.model_validate(resolved.options[field])
    except Exception:
        return None


def _value_problems(field: str, options: OptimizerOptions) -> Iterator[Found]:
    import torch

    from trainables.optim.optimizers import build_optimizer

    try:
        # Layers and names are those of the task's model; a small one stands in for it.
        values = options.model_copy(update={"layer_decay": 1.0, "groups": ()})
        build_optimizer(torch.nn.Linear(2, 2), values, torch.device("cpu"))
    except Exception as error:  # torch.optim raises all kinds for values of the wrong type
        yield (field,), f"torch.optim refuses these values: {_text(error.__cause__ or error)}"


def _text(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
